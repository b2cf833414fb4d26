"""Streaming conversion of audio of any rate and number of channels to what the mel recipe wants."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


class MonoResampler:
    """Averages the channels and resamples; the result does not depend on how the audio was cut into chunks.

    Args:
        from_hz: sample rate of the audio.
        to_hz: wanted sample rate; if it is the same, samples pass unchanged and without delay.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        from av.audio.resampler import AudioResampler

        self._from_hz, self._position = from_hz, 0
        self._resampler = AudioResampler(format="flt", layout="mono", rate=to_hz) if from_hz != to_hz else None

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert float32 (n, channels) and return float32 (k,), as far as it is determined."""
        mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)
        if self._resampler is None or not len(mono):
            return np.ascontiguousarray(mono, dtype=np.float32)
        from av.audio.frame import AudioFrame

        frame = AudioFrame.from_ndarray(np.ascontiguousarray(mono[np.newaxis]), format="flt", layout="mono")
        frame.sample_rate, frame.pts = self._from_hz, self._position
        frame.time_base = Fraction(1, self._from_hz)
        self._position += len(mono)
        return self._collect(frame)

    def flush(self) -> NDArray[np.float32]:
        """Return what was held back, float32 (k,)."""
        if self._resampler is None or not self._position:
            return np.zeros(0, np.float32)
        return self._collect(None)

    def _collect(self, frame: object) -> NDArray[np.float32]:
        if self._resampler is None:
            return np.zeros(0, np.float32)
        parts = [np.asarray(out.to_ndarray(), np.float32).ravel() for out in self._resampler.resample(frame)]  # type: ignore[arg-type]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)
