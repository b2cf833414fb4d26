"""Audio of any rate and number of channels on its way into a stream that has one format."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lipforge.kernels.errors import InputError
from lipforge.runtime.mono_resampler import MonoResampler
from lipforge.runtime.sample_queue import Samples

LOWEST_HZ, HIGHEST_HZ = 1000, 384_000


@dataclass(frozen=True)
class AudioFormat:
    """Format of audio.

    Attributes:
        sample_rate_hz: 1000 to 384000.
        channels: 1 or more.

    Raises:
        InputError: a value is not allowed.
    """

    sample_rate_hz: int
    channels: int = 1

    def __post_init__(self) -> None:
        rate = self.sample_rate_hz
        if not isinstance(rate, int) or not LOWEST_HZ <= rate <= HIGHEST_HZ:
            raise InputError(f"sample_rate_hz is {rate!r}; allowed are whole numbers from {LOWEST_HZ} to {HIGHEST_HZ}.")
        if self.channels < 1:
            raise InputError(f"audio has {self.channels} channels; allowed are 1 and more.")


class FormatConverter:
    """Brings consecutive audio of changing formats into one; audio that has it already passes unchanged.

    Args:
        to: the wanted format.
    """

    def __init__(self, to: AudioFormat) -> None:
        self.to = to
        self._rate_hz = to.sample_rate_hz
        self._resamplers: list[MonoResampler] = []

    def convert(self, samples: Samples, sample_rate_hz: int) -> Samples:
        """Convert float32 (n, channels) in [-1, 1]; what a resampler still holds back comes with the next call."""
        samples = _with_channels(samples, self.to.channels)
        if sample_rate_hz == self._rate_hz:
            return self._resampled(samples)
        rest = self.flush()
        self._rate_hz = sample_rate_hz
        if sample_rate_hz != self.to.sample_rate_hz:
            self._resamplers = [MonoResampler(sample_rate_hz, self.to.sample_rate_hz) for _ in range(self.to.channels)]
        return np.concatenate([rest, self._resampled(samples)])

    def flush(self) -> Samples:
        """Return what was held back, float32 (k, channels); the next audio starts anew."""
        rest = [resampler.flush() for resampler in self._resamplers]
        self._resamplers, self._rate_hz = [], self.to.sample_rate_hz
        return np.stack(rest, axis=1) if rest else np.zeros((0, self.to.channels), np.float32)

    def _resampled(self, samples: Samples) -> Samples:
        if not self._resamplers:
            return samples
        return np.stack([resampler.push(samples[:, [c]]) for c, resampler in enumerate(self._resamplers)], axis=1)


def _with_channels(samples: Samples, channels: int) -> Samples:
    if samples.shape[1] == channels:
        return samples
    mono = samples.mean(axis=1, dtype=np.float32, keepdims=True)
    return np.repeat(mono, channels, axis=1)
