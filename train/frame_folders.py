"""Reading the published layout of preprocessed video: folders of ``<frame>.jpg`` with an ``audio.wav``.

``ROOT/<clip>/0.jpg, 1.jpg, ... audio.wav`` and two lists of clips, ``filelists/train.txt`` and ``filelists/val.txt``,
one path below ROOT a line. All clips have 25 frames a second, as the published networks expect.
"""

from __future__ import annotations

import hashlib
import wave
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lipforge.kernels.errors import InputError
from lipforge.kernels.spec import MelSpec
from lipforge.runtime.mono_resampler import MonoResampler

FPS = 25.0
SOUND = "audio.wav"
LISTS = ("train.txt", "val.txt")
SAMPLE_BYTES = 2
FULL_SCALE = np.float32(32768.0)
LAYOUT = "it needs <clip>/<frame>.jpg, <clip>/audio.wav, and filelists/train.txt and val.txt that name the clips"


@dataclass(frozen=True)
class FaceClip:
    """One clip: face crops on disk and their sound.

    Attributes:
        folder: where they are.
        frames: int64 (T,), numbers of the frames that there are, ascending; a frame without a face leaves a gap.
        seconds: length of the sound.
    """

    folder: Path
    frames: npt.NDArray[np.int64]
    seconds: float

    def read_frames(self, first: int, count: int, size_px: int) -> npt.NDArray[np.uint8]:
        """Return consecutive crops, uint8 (count, S, S, 3) BGR, scaled to the side S as published.

        Raises:
            InputError: a picture is missing or damaged.
        """
        pictures = np.empty((count, size_px, size_px, 3), np.uint8)
        for place in range(count):
            path = self.folder / f"{first + place}.jpg"
            picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if picture is None:
                raise InputError(f"{path}: missing or damaged; delete the clip's folder or preprocess it again.")
            cv2.resize(picture, (size_px, size_px), dst=pictures[place], interpolation=cv2.INTER_LINEAR)
        return pictures

    def read_sound(self, sample_rate_hz: int) -> npt.NDArray[np.float32]:
        """Return the sound, float32 (n,) in [-1, 1], mono, at a rate; channels are averaged.

        Raises:
            InputError: the file is damaged.
        """
        path = self.folder / SOUND
        try:
            with wave.open(str(path)) as file:
                channels, rate_hz = file.getnchannels(), file.getframerate()
                raw = file.readframes(file.getnframes())
        except (OSError, wave.Error, EOFError) as error:
            raise InputError(f"{path}: damaged ({error}); delete the clip's folder or preprocess it again.") from error
        samples = np.frombuffer(raw[: len(raw) // (SAMPLE_BYTES * channels) * SAMPLE_BYTES * channels], "<i2")
        resampler = MonoResampler(rate_hz, sample_rate_hz)
        parts = [resampler.push(samples.reshape(-1, channels).astype(np.float32) / FULL_SCALE), resampler.flush()]
        return np.concatenate(parts)


@dataclass(frozen=True)
class FrameFolders:
    """An opened folder of preprocessed clips.

    Attributes:
        training: clips of ``train.txt``.
        held_out: clips of ``val.txt``.
        skipped: how many clips were left out, by reason.
        fingerprint: sha256 of both lists.
    """

    root: Path
    training: tuple[FaceClip, ...]
    held_out: tuple[FaceClip, ...]
    skipped: dict[str, int]
    fingerprint: str
    fps: float = FPS
    mel: MelSpec = field(default_factory=MelSpec)

    @property
    def samples(self) -> int:
        """Number of usable clips."""
        return len(self.training) + len(self.held_out)


def open_frame_folders(root: Path, filelists: Path | None = None) -> FrameFolders:
    """Read the lists and look at every clip they name; unusable ones are counted, not fatal.

    Args:
        root: folder above the clips.
        filelists: folder of the two lists; by default ``ROOT/filelists``.

    Raises:
        InputError: no such folder or lists, or no usable clip on one side.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; {LAYOUT}.")
    lists = filelists or root / "filelists"
    digest, skipped, sides = hashlib.sha256(), Counter[str](), []
    for name in LISTS:
        names, raw = _read_list(lists / name)
        digest.update(raw)
        found = [_look_at(root / clip, skipped) for clip in names]
        sides.append(tuple(clip for clip in found if clip is not None))
        if not sides[-1]:
            raise InputError(f"{lists / name}: none of its {len(names)} clips is usable ({dict(skipped)}); {LAYOUT}.")
    return FrameFolders(root, sides[0], sides[1], dict(skipped), digest.hexdigest())


def _read_list(path: Path) -> tuple[list[str], bytes]:
    if not path.is_file():
        raise InputError(f"{path}: no such list; {LAYOUT}.")
    raw = path.read_bytes()
    try:
        lines = raw.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no text file; it names one clip a line.") from error
    # LRS2's own lists carry a second word on some lines.
    return [line.split()[0] for line in lines if line.strip()], raw


def _look_at(folder: Path, skipped: Counter[str]) -> FaceClip | None:
    if not folder.is_dir():
        skipped["no folder"] += 1
        return None
    frames = np.array(sorted(int(file.stem) for file in folder.glob("*.jpg") if file.stem.isdigit()), np.int64)
    try:
        with wave.open(str(folder / SOUND)) as file:
            width, seconds = file.getsampwidth(), file.getnframes() / file.getframerate()
    except (OSError, wave.Error, EOFError, ZeroDivisionError):
        skipped[f"no readable {SOUND}"] += 1
        return None
    if width != SAMPLE_BYTES:
        skipped[f"{SOUND} not 16 bit"] += 1
        return None
    return FaceClip(folder, frames, seconds)
