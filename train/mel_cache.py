"""Mel spectrograms kept on disk: made once a clip, and never used for another sound, recipe or kernel version.

A clip's spectrogram is kept beside its sound in a file of our own name, or in the user's cache folder where that is
not allowed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lipforge.kernels.cache_folder import cache_dir
from lipforge.kernels.mel import VALUES_VERSION, log_mel
from lipforge.kernels.spec import MelSpec

NAME = "lipforge-mel.npz"
DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
F16 = npt.NDArray[np.float16]


def mel_key(sound: bytes, mel: MelSpec) -> str:
    """Return the sha256 of everything that a spectrogram depends on."""
    recipe = json.dumps({"version": VALUES_VERSION, **mel.to_dict()}, sort_keys=True)
    return hashlib.sha256(recipe.encode() + b"\0" + sound).hexdigest()


def kept_mel(folder: Path, sound: bytes, mel: MelSpec, decode: Callable[[], npt.NDArray[np.float32]]) -> F16:
    """Return a clip's spectrogram, float16 (M, C), from where it is kept or newly made.

    Args:
        folder: of the clip.
        sound: the sound file.
        mel: recipe.
        decode: gives the samples, float32 (n,); called only if nothing is kept.
    """
    key = mel_key(sound, mel)
    places = (folder / NAME, cache_dir() / "mels" / key[:2] / f"{key}.npz")
    for place in places:
        kept = _read(place, key, mel)
        if kept is not None:
            return kept
    made: F16 = log_mel(decode(), mel).astype(np.float16)
    for place in places:
        if _write(place, key, made, make_folder=place is not places[0]):
            break
    return made


def _read(path: Path, key: str, mel: MelSpec) -> F16 | None:
    try:
        with np.load(path) as file:
            if str(file["key"]) != key:
                return None
            columns = file["mel"]
    except DAMAGED:
        return None
    return columns if columns.dtype == np.float16 and columns.shape[:-1] == (mel.n_mels,) else None


def _write(path: Path, key: str, columns: F16, *, make_folder: bool) -> bool:
    """Write a file that appears under its name only when whole; say whether it worked."""
    temporary = ""
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=".mel-", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, key=np.array(key), mel=columns)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        return False
    return True
