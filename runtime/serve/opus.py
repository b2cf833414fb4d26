"""Audio as Opus over RTP wants it: 48 kHz stereo in pieces of one packet."""

from __future__ import annotations

from typing import Any

import numpy as np
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from lipforge.runtime.sample_queue import as_int16
from lipforge.runtime.serve.playout import Heard

OPUS_HZ = 48_000
OPUS_DELAY_S = 312 / OPUS_HZ
"""By how much sound is late after the Opus encoder: its look-ahead (OPUS_GET_LOOKAHEAD). RTP does not tell of it."""

OPUS_SAMPLES = 960
"""20 ms: the encoder must get exactly one packet's worth at a time, or packets share a timestamp."""


class OpusPieces:
    """Cuts audio of any rate and number of channels into 20 ms of 48 kHz int16 stereo, numbered by their first sample.

    Where audio is missing, silence keeps the count.
    """

    def __init__(self) -> None:
        self._resampler: Any = None
        self._held = np.zeros((0, 2), np.int16)
        self._start: int | None = None
        self._rate_hz = OPUS_HZ

    def add(self, heard: Heard) -> None:
        """Append a piece of audio, which follows on the last one."""
        if self._start is None:
            self._start = round(heard.start * OPUS_HZ / heard.rate_hz)
        stereo = as_stereo_s16(heard.samples)
        if heard.rate_hz != OPUS_HZ:
            stereo = self._resampled(stereo, heard.rate_hz)
        self._held = np.concatenate([self._held, stereo])

    @property
    def next_start(self) -> int | None:
        """Number of the first sample of the next piece; None before any audio came."""
        return self._start

    def take(self) -> tuple[int, NDArray[np.int16]] | None:
        """Return the number of the first sample and int16 (960, 2), or None if there is less."""
        if self._start is None or len(self._held) < OPUS_SAMPLES:
            return None
        start, piece = self._start, self._held[:OPUS_SAMPLES]
        self._held = self._held[OPUS_SAMPLES:]
        self._start += OPUS_SAMPLES
        return start, np.ascontiguousarray(piece)

    def _resampled(self, stereo: NDArray[np.int16], rate_hz: int) -> NDArray[np.int16]:
        from av import AudioResampler

        if self._resampler is None or rate_hz != self._rate_hz:
            self._resampler, self._rate_hz = AudioResampler("s16", "stereo", OPUS_HZ), rate_hz
        frame = AudioFrame.from_ndarray(stereo.reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate = rate_hz
        parts = [out.to_ndarray().reshape(-1, 2) for out in self._resampler.resample(frame)]
        return np.concatenate(parts) if parts else np.zeros((0, 2), np.int16)


def as_stereo_s16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Return int16 (n, 2) of float32 (n, channels) in [-1, 1]; more than two channels are mixed down."""
    if samples.shape[1] > 2:
        samples = samples.mean(axis=1, keepdims=True)
    return np.ascontiguousarray(np.broadcast_to(as_int16(samples), (len(samples), 2)))
