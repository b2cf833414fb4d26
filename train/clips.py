"""Clips of speech with true lip motion, held in memory: 32 kB a second of sound and 12 kB of lips."""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lipforge.kernels.errors import InputError
from lipforge.train.shards import Dataset, Sample


@dataclass(frozen=True)
class Clip:
    """One clip.

    Attributes:
        audio: int16 (n,), mono, at the dataset's mel rate.
        lips: float32 (T, N, 3), displacement in the head frame.
    """

    audio: npt.NDArray[np.int16]
    lips: npt.NDArray[np.float32]


def load_clips(dataset: Dataset, validation_share: float) -> tuple[list[Clip], list[Clip]]:
    """Load all clips of two frames or more; the last ones are held out.

    Raises:
        InputError: a sample is damaged, or there are no clips on one side.
    """
    first_held_out = dataset.first_validation_sample(validation_share)
    sides: tuple[list[Clip], list[Clip]] = ([], [])
    for number, sample in enumerate(dataset.read({".wav", ".lips.npy"})):
        clip = _parse(dataset, sample)
        if len(clip.lips) >= 2:
            sides[number >= first_held_out].append(clip)
    if not sides[0] or not sides[1]:
        raise InputError(f"{dataset.root}: {len(sides[0])} clips for training, {len(sides[1])} held out; need both.")
    return sides


def _parse(dataset: Dataset, sample: Sample) -> Clip:
    where = f"{dataset.root}: {sample.key}"
    missing = {".wav", ".lips.npy"} - set(sample.files)
    if missing:
        raise InputError(f"{where}: {', '.join(sorted(missing))} missing; write the dataset again.")
    try:
        lips = np.load(io.BytesIO(sample.files[".lips.npy"]))
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{where}.lips.npy: damaged ({error}); write the dataset again.") from error
    if lips.dtype != np.float32 or lips.ndim != 3 or lips.shape[1:] != (dataset.lips.points, 3):
        raise InputError(f"{where}.lips.npy: {lips.dtype} {lips.shape}, not float32 (T, {dataset.lips.points}, 3).")
    if not np.isfinite(lips).all():
        raise InputError(f"{where}.lips.npy: holds values that are not finite; write the dataset again.")
    audio = read_wave(where, sample.files[".wav"], dataset.mel.sample_rate_hz)
    expected = round(len(lips) / dataset.fps * dataset.mel.sample_rate_hz)
    if len(audio) != expected:
        raise InputError(f"{where}.wav: {len(audio)} samples, {len(lips)} frames need {expected}; write it again.")
    return Clip(audio, lips)


def read_wave(where: str, content: bytes, sample_rate_hz: int) -> npt.NDArray[np.int16]:
    """Return a sample's sound, int16 (n,).

    Raises:
        InputError: the file is damaged, or is not mono, 16 bits, at the rate.
    """
    try:
        with wave.open(io.BytesIO(content)) as file:
            found = (file.getnchannels(), file.getsampwidth(), file.getframerate())
            raw = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise InputError(f"{where}.wav: damaged ({error}); write the dataset again.") from error
    if found != (1, 2, sample_rate_hz):
        raise InputError(f"{where}.wav: channels, bytes, rate are {found}, expected (1, 2, {sample_rate_hz}).")
    return np.frombuffer(raw, "<i2").astype(np.int16)
