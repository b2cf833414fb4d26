"""The published layout of preprocessed video: folders of ``<frame>.jpg`` with an ``audio.wav`` (docs/formats.md).

``ROOT/<clip>/0.jpg, 1.jpg, ... audio.wav`` and two lists of clips, ``filelists/train.txt`` and ``filelists/val.txt``,
one path below ROOT a line. All clips have 25 frames a second, as the published networks expect.
"""

from __future__ import annotations

import hashlib
import io
import wave
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lipforge.kernels.errors import InputError
from lipforge.runtime.mono_resampler import MonoResampler

FPS = 25.0
SOUND = "audio.wav"
SPLITS = {"train": "train.txt", "val": "val.txt"}
SAMPLE_BYTES = 2
FULL_SCALE = np.float32(32768.0)
LAYOUT = "it needs <clip>/<frame>.jpg, <clip>/audio.wav, and filelists/train.txt and val.txt that name the clips"
# More pictures than sound by this share and these frames is a video of another rate: nothing was spoken meanwhile.
LONGER_SHARE, LONGER_FRAMES = 1.08, 5.0


@dataclass(frozen=True)
class FrameFolder:
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
        """Return consecutive crops, uint8 (count, 3, S, S) BGR, scaled to the side S as published.

        Raises:
            InputError: a picture is missing or damaged.
        """
        planes = np.empty((count, 3, size_px, size_px), np.uint8)
        folder = str(self.folder)
        for place in range(count):
            path = f"{folder}/{first + place}.jpg"
            picture = read_picture(path)
            if picture is None:
                raise InputError(f"{path}: missing or damaged; delete the clip's folder or preprocess it again.")
            cv2.split(scaled(picture, size_px), list(planes[place]))
        return planes

    def sound_file(self) -> bytes:
        """Return ``audio.wav``.

        Raises:
            InputError: it cannot be read.
        """
        try:
            return (self.folder / SOUND).read_bytes()
        except OSError as error:
            raise InputError(f"{self.folder / SOUND}: not readable ({error.strerror}).") from error

    def read_sound(self, sample_rate_hz: int) -> npt.NDArray[np.float32]:
        """Return the sound, float32 (n,) in [-1, 1], mono, at a rate; channels are averaged.

        Raises:
            InputError: the file is damaged.
        """
        return decode_sound(self.folder / SOUND, self.sound_file(), sample_rate_hz)


@dataclass(frozen=True)
class PublishedLayout:
    """A folder of preprocessed clips.

    Attributes:
        clips: usable clips by split, ``train`` and ``val``.
        skipped: how many clips were left out, by reason.
        fingerprint: sha256 of both lists.
    """

    root: Path
    clips: dict[str, tuple[FrameFolder, ...]]
    skipped: dict[str, int]
    fingerprint: str


def open_published_layout(root: Path, filelists: Path | None = None) -> PublishedLayout:
    """Read the lists and look at every clip they name; unusable ones are counted, not fatal.

    Args:
        root: folder above the clips.
        filelists: folder of the two lists; by default ``ROOT/filelists``.

    Raises:
        InputError: no such folder or lists, or no usable clip on one side.
    """
    names, fingerprint = read_lists(root, filelists)
    skipped, clips = Counter[str](), {}
    for split, of_split in names.items():
        found = (look_at(root / clip) for clip in of_split)
        kept = []
        for clip in found:
            if isinstance(clip, str):
                skipped[clip] += 1
            else:
                kept.append(clip)
        if not kept:
            where = (filelists or root / "filelists") / SPLITS[split]
            raise InputError(f"{where}: none of its {len(of_split)} clips is usable ({dict(skipped)}); {LAYOUT}.")
        clips[split] = tuple(kept)
    return PublishedLayout(root, clips, dict(skipped), fingerprint)


def read_lists(root: Path, filelists: Path | None) -> tuple[dict[str, list[str]], str]:
    """Return the clips' paths by split, and the sha256 of both lists.

    Raises:
        InputError: no such folder or lists.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; {LAYOUT}.")
    digest, names = hashlib.sha256(), {}
    for split, file in SPLITS.items():
        names[split], raw = _read_list((filelists or root / "filelists") / file)
        digest.update(raw)
    return names, digest.hexdigest()


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


def look_at(folder: Path) -> FrameFolder | str:
    """Return the clip, or the reason why it is of no use."""
    if not folder.is_dir():
        return "no folder"
    frames = np.array(sorted(int(file.stem) for file in folder.glob("*.jpg") if file.stem.isdigit()), np.int64)
    try:
        with wave.open(str(folder / SOUND)) as file:
            width, seconds = file.getsampwidth(), file.getnframes() / file.getframerate()
    except (OSError, wave.Error, EOFError, ZeroDivisionError):
        return f"no readable {SOUND}"
    if width != SAMPLE_BYTES:
        return f"{SOUND} not 16 bit"
    if len(frames) and frames[-1] + 1 > LONGER_SHARE * FPS * seconds + LONGER_FRAMES:
        return f"more pictures than {FPS:.0f} a second"
    return FrameFolder(folder, frames, seconds)


def read_picture(path: Path | str) -> npt.NDArray[np.uint8] | None:
    """Return a picture, uint8 (H, W, 3) BGR, or None where there is none that can be decoded."""
    try:
        with open(path, "rb", buffering=0) as file:
            content = file.read()
    except OSError:
        return None
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    return None if picture is None else np.asarray(picture, np.uint8)


def scaled(picture: npt.NDArray[np.uint8], size_px: int) -> npt.NDArray[np.uint8]:
    """Return a picture as a square of the side S, uint8 (S, S, 3), scaled as published."""
    if picture.shape[:2] == (size_px, size_px):
        return picture
    return np.asarray(cv2.resize(picture, (size_px, size_px), interpolation=cv2.INTER_LINEAR), np.uint8)


def decode_sound(path: Path, content: bytes, sample_rate_hz: int) -> npt.NDArray[np.float32]:
    """Return the sound of a 16-bit WAV file, float32 (n,) in [-1, 1], mono, at a rate; channels are averaged.

    Raises:
        InputError: the file, named by ``path``, is damaged.
    """
    try:
        with wave.open(io.BytesIO(content)) as file:
            channels, rate_hz = file.getnchannels(), file.getframerate()
            raw = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise InputError(f"{path}: damaged ({error}); delete the clip's folder or preprocess it again.") from error
    samples = np.frombuffer(raw[: len(raw) // (SAMPLE_BYTES * channels) * SAMPLE_BYTES * channels], "<i2")
    resampler = MonoResampler(rate_hz, sample_rate_hz)
    parts = [resampler.push(samples.reshape(-1, channels).astype(np.float32) / FULL_SCALE), resampler.flush()]
    return np.concatenate(parts)
