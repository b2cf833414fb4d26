"""Clips for the Wav2Lip trainers from packed shards: mapped into memory, so that a window is a view of the file.

``lipforge preprocess synth --faces`` and ``lipforge preprocess pack`` write them; docs/formats.md says what they hold.
"""

from __future__ import annotations

import io
import math
import tarfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lipforge.kernels.errors import InputError
from lipforge.kernels.mel import VALUES_VERSION, log_mel
from lipforge.kernels.spec import FaceBoxSpec, MelSpec
from lipforge.train.clips import read_wave
from lipforge.train.face_clips import DETECTED_BOX, FPS, FaceClip, FaceSet
from lipforge.train.shards import read_header, wrong_header

FACES, FRAMES, MEL, SOUND = ".faces.npy", ".frames.npy", ".mel.npy", ".wav"
HOW_TO_WRITE = "`lipforge preprocess pack` writes shards from video that is preprocessed, `synth --faces` rendered ones"
NPY_HEADER_BYTES = 4096  # more than an array header of ours takes
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class PackedClip:
    """One clip inside a shard; its arrays are views of the mapped file.

    Attributes:
        name: shard and sample.
        frames: int64 (T,), ascending.
        seconds: length of the sound.
        pictures: uint8 (T, 3, S, S), RGB.
        sound: the WAV file.
        columns: float16 (M, C), the spectrogram by ``kept_with``; None where another kernel version made it.
        kept_with: recipe of ``columns``.
    """

    name: str
    frames: npt.NDArray[np.int64]
    seconds: float
    pictures: Bytes
    sound: Bytes
    columns: npt.NDArray[np.float16] | None
    kept_with: MelSpec

    def read_frames(self, first: int, count: int, size_px: int) -> Bytes:
        """Return consecutive crops, uint8 (count, 3, S, S) BGR, a view.

        Raises:
            InputError: a frame is missing, or the crops have another side than S.
        """
        place = int(np.searchsorted(self.frames, first))
        if list(self.frames[place : place + count]) != list(range(first, first + count)):
            raise InputError(f"{self.name}: has no frames {first} to {first + count - 1} in a row.")
        if self.pictures.shape[2] != size_px:
            raise InputError(
                f"{self.name}: crops of {self.pictures.shape[2]} px, the networks take {size_px}; pack them again."
            )
        return self.pictures[place : place + count, ::-1]

    def read_mel(self, mel: MelSpec) -> npt.NDArray[np.float16]:
        """Return the whole mel spectrogram, float16 (M, C), as kept or, for another recipe, newly made."""
        if self.columns is not None and mel == self.kept_with:
            return self.columns
        audio = read_wave(self.name, self.sound.tobytes(), mel.sample_rate_hz)
        return log_mel(audio.astype(np.float32) / np.float32(32768.0), mel).astype(np.float16)


@dataclass(frozen=True)
class _Header:
    """What ``dataset.json`` says about face clips."""

    root: Path
    size_px: int
    mel: MelSpec
    mel_version: int
    shards: tuple[tuple[str, int, str | None], ...]
    skipped: dict[str, int]
    face_box: FaceBoxSpec = DETECTED_BOX


def open_face_shards(root: Path, validation_share: float) -> FaceSet:
    """Open a dataset of face clips.

    Args:
        root: the folder.
        validation_share: share of the clips that is held out, the last ones, where shards do not say which they are.

    Raises:
        InputError: it is no dataset or has no face clips, a shard is missing or damaged, or one side is empty.
    """
    values, fingerprint = read_header(root)
    header = _parse(root, values)
    sides: dict[str | None, list[FaceClip]] = {"train": [], "val": [], None: []}
    for name, expected, split in header.shards:
        found = _open_shard(header, name)
        if len(found) != expected:
            raise InputError(
                f"{root / name}: holds {len(found)} samples, dataset.json says {expected}; write it again."
            )
        sides[split] += found
    undecided = sides[None]
    held_out = min(len(undecided) - 1, max(1, round(validation_share * len(undecided)))) if undecided else 0
    training = (*sides["train"], *undecided[: len(undecided) - held_out])
    held = (*sides["val"], *undecided[len(undecided) - held_out :])
    if not training or not held:
        raise InputError(f"{root}: {len(training)} clips for training, {len(held)} held out; need both.")
    notes: tuple[str, ...] = ()
    if header.mel_version != VALUES_VERSION:
        notes = (
            "the shards' mel spectrograms are of another version; they are made again in memory, pack to keep them",
        )
    return FaceSet(root, training, held, header.skipped, fingerprint, FPS, header.mel, notes, header.face_box)


def _parse(root: Path, values: dict[str, Any]) -> _Header:
    if "faces" not in values:
        raise InputError(f"{root}: its clips have no pictures of faces; {HOW_TO_WRITE}.")
    if values.get("fps") != FPS:
        raise InputError(f"{root}: {values.get('fps')} frames a second; the Wav2Lip networks are made for {FPS:.0f}.")
    try:
        skipped = Counter[str]()
        for shard in values["shards"]:
            skipped.update({str(reason): int(count) for reason, count in shard.get("skipped", {}).items()})
            if shard.get("split") not in (None, "train", "val"):
                raise ValueError(f"split {shard['split']!r}")
        shards = tuple((str(s["name"]), int(s["samples"]), s.get("split")) for s in values["shards"])
        mel = MelSpec.from_dict(values["mel"])
        box = FaceBoxSpec.from_dict(values["face_box"]) if "face_box" in values else DETECTED_BOX
        size_px, version = int(values["faces"]["size_px"]), int(values["mel_version"])
        return _Header(root, size_px, mel, version, shards, dict(skipped), box)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise wrong_header(root, error) from error


def _open_shard(header: _Header, name: str) -> list[FaceClip]:
    path = header.root / name
    if not path.is_file():
        raise InputError(f"{path}: missing, although dataset.json lists it; finish or repeat the preprocessing.")
    damaged = "delete it and run the preprocessing again"
    samples: dict[str, dict[str, Bytes]] = {}
    try:
        content = np.memmap(path, np.uint8, "r")
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                key, _, rest = Path(member.name).name.partition(".")
                end = member.offset_data + member.size
                if end > len(content):
                    raise InputError(f"{path}: cut short inside {member.name}; {damaged}.")
                if member.isfile():
                    samples.setdefault(key, {})[f".{rest}"] = content[member.offset_data : end]
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise InputError(f"{path}: damaged or cut short ({error}); {damaged}.") from error
    return [_clip(header, f"{path}: {key}", files) for key, files in samples.items()]


def _clip(header: _Header, name: str, files: dict[str, Bytes]) -> PackedClip:
    missing = {FACES, FRAMES, MEL, SOUND} - set(files)
    if missing:
        raise InputError(f"{name}: {', '.join(sorted(missing))} missing; {HOW_TO_WRITE}.")
    frames = _array(name, FRAMES, files, np.int32, (None,)).astype(np.int64)
    pictures = _array(name, FACES, files, np.uint8, (len(frames), 3, header.size_px, header.size_px))
    columns = _array(name, MEL, files, np.float16, (header.mel.n_mels, None))
    if (np.diff(frames) <= 0).any():
        raise InputError(f"{name}{FRAMES}: frame numbers do not ascend; write the dataset again.")
    seconds = max(0, columns.shape[1] - 1) * header.mel.hop_samples / header.mel.sample_rate_hz
    current = header.mel_version == VALUES_VERSION
    return PackedClip(name, frames, seconds, pictures, files[SOUND], columns if current else None, header.mel)


def _array(
    name: str, suffix: str, files: dict[str, Bytes], dtype: npt.DTypeLike, shape: tuple[int | None, ...]
) -> npt.NDArray[Any]:
    """Return the array of a ``.npy`` file as a view of its bytes; None in ``shape`` allows any length."""
    content = files[suffix]
    stream = io.BytesIO(content[:NPY_HEADER_BYTES].tobytes())
    try:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError("not version 1.0 of the format")
        found, fortran, kind = np.lib.format.read_array_header_1_0(stream)
    except (ValueError, EOFError) as error:
        raise InputError(f"{name}{suffix}: damaged ({error}); write the dataset again.") from error
    fits = len(found) == len(shape) and all(want in (None, have) for have, want in zip(found, shape, strict=True))
    if kind != np.dtype(dtype) or fortran or not fits:
        wanted = tuple("any" if want is None else want for want in shape)
        raise InputError(f"{name}{suffix}: {kind} {found}, expected {np.dtype(dtype)} {wanted}; write it again.")
    count = math.prod(found)
    if len(content) - stream.tell() != count * kind.itemsize:
        raise InputError(f"{name}{suffix}: damaged (wrong length); write the dataset again.")
    return content[stream.tell() :].view(kind).reshape(found)
