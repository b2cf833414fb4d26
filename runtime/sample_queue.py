"""Raw audio on its way to the frames that carry it."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import InputError

Samples = NDArray[np.float32]

SHORT_BLOCK_SAMPLES = 1024
"""A shorter block is joined with the next one: many tiny pushes must not make reading slow."""


class SampleQueue:
    """Consecutive float32 (n, channels) samples, numbered from 0, kept until they are dropped."""

    def __init__(self) -> None:
        self._blocks: deque[tuple[int, Samples]] = deque()
        self.stop = 0
        self.channels = 1

    def append(self, samples: Samples) -> None:
        """Append samples, float32 (n, channels)."""
        self.channels = samples.shape[1]
        if not len(samples):
            return
        if self._blocks and len(self._blocks[-1][1]) < SHORT_BLOCK_SAMPLES:
            first, last = self._blocks.pop()
            self._blocks.append((first, np.concatenate([last, samples])))
        else:
            self._blocks.append((self.stop, samples))
        self.stop += len(samples)

    def read(self, start: int, stop: int) -> Samples:
        """Return the samples from ``start`` to ``stop - 1``; zeros where there are none."""
        out = np.zeros((max(0, stop - start), self.channels), np.float32)
        for first, block in self._blocks:
            if first >= stop:
                break
            begin, end = max(start, first), min(stop, first + len(block))
            if begin < end:
                out[begin - start : end - start] = block[begin - first : end - first]
        return out

    def cut(self, number: int) -> None:
        """Forget the samples from sample ``number`` on; the next ones are appended there."""
        while self._blocks and self._blocks[-1][0] >= number:
            self._blocks.pop()
        if self._blocks and self._blocks[-1][0] + len(self._blocks[-1][1]) > number:
            first, block = self._blocks.pop()
            self._blocks.append((first, block[: number - first].copy()))
        self.stop = min(self.stop, number)

    def drop_before(self, number: int) -> None:
        """Free the blocks whose samples all come before sample ``number``."""
        while self._blocks and self._blocks[0][0] + len(self._blocks[0][1]) <= number:
            self._blocks.popleft()


def as_int16(samples: NDArray[np.floating]) -> NDArray[np.int16]:
    """Return audio in [-1, 1] as 16-bit samples, rounded, clipped where it is louder; of the same shape."""
    return np.asarray(np.clip(np.rint(samples * 32768.0), -32768, 32767), np.int16)


def as_samples(pcm: NDArray[np.float32] | NDArray[np.int16]) -> Samples:
    """Return a copy of audio as float32 (n, channels) in [-1, 1].

    Args:
        pcm: float32 in [-1, 1] or int16; (n,) or (n, channels); n may be 0.

    Raises:
        InputError: another dtype or shape, or a value that is not finite.
    """
    array = np.asarray(pcm)
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] == 0):
        raise InputError(f"pcm has shape {array.shape}; allowed are (n,) and (n, channels).")
    if array.dtype == np.int16:
        samples = array.astype(np.float32) / np.float32(32768)
    elif array.dtype == np.float32:
        samples = array.astype(np.float32)  # a copy: the caller may use its buffer again
        if not np.isfinite(samples).all():
            raise InputError("pcm holds values that are not finite (NaN or infinite). Send silence instead.")
    else:
        raise InputError(f"pcm has dtype {array.dtype}; allowed are float32 in [-1, 1] and int16.")
    return samples.reshape(len(samples), -1) if len(samples) else samples.reshape(0, max(1, *array.shape[1:], 1))
