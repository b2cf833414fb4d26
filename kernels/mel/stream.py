"""Mel of a signal that comes in chunks: the same columns as offline, bit for bit, as early as they can be known."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import InputError
from lipforge.kernels.mel.columns import finished_columns
from lipforge.kernels.mel.plan import check_spec
from lipforge.kernels.mel.samples import check_audio, check_length, emphasise, left_padding, right_padding
from lipforge.kernels.spec import MelSpec


def samples_needed(column: int, spec: MelSpec) -> int:
    """Return how many samples from the start of a stream make a column final.

    That is half an FFT window beyond the column's centre at ``column * hop_samples`` (the look-ahead); reflect padding
    needs one more for column 0.
    """
    half = spec.n_fft // 2
    return max(column * spec.hop_samples + half, half + 1 if spec.padding == "reflect" else 0)


def _no_samples() -> NDArray[np.float64]:
    return np.empty(0)


@dataclass
class MelState:
    """All that a stream remembers.

    Attributes:
        signal: float64, pre-emphasised samples that later columns or the final padding still need, behind the left
            padding once that is known.
        signal_start: position of ``signal[0]`` in the padded signal.
        previous: last raw sample, for pre-emphasis.
        samples: samples received.
        columns: columns given out.
        padded: whether the left padding stands in ``signal``.
        closed: whether the stream was flushed.
    """

    signal: NDArray[np.float64] = field(default_factory=_no_samples)
    signal_start: int = 0
    previous: float = 0.0
    samples: int = 0
    columns: int = 0
    padded: bool = False
    closed: bool = False


class MelStream:
    """Streaming twin of ``log_mel``: the columns of all calls together equal ``log_mel`` of all chunks together.

    Raises:
        ConfigError: the recipe is not usable.
    """

    def __init__(self, spec: MelSpec) -> None:
        check_spec(spec)
        self.spec = spec
        self.state = MelState()

    def push(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the next samples and return the columns that they complete.

        Args:
            audio: float32 (k,), mono, in [-1, 1]; any k, also 0.

        Returns:
            float32 (n_mels, new columns), possibly none.

        Raises:
            InputError: audio is not a finite float32 vector (the stream stays as it was), or the stream is flushed.
        """
        state, spec = self.state, self.spec
        self._refuse_if_closed()
        check_audio(audio, state.samples)
        state.signal = np.concatenate([state.signal, emphasise(audio, state.previous, spec)])
        state.samples += audio.size
        if audio.size:
            state.previous = float(audio[-1])
        if not state.padded and state.samples >= samples_needed(0, spec):
            state.signal = np.concatenate([left_padding(state.signal, spec), state.signal])
            state.padded = True
        if not state.padded:
            return self._emit(state.columns)
        return self._emit((state.samples - spec.n_fft // 2) // spec.hop_samples + 1)

    def flush(self) -> NDArray[np.float32]:
        """Pad the end as offline does and return the remaining columns; the stream takes no more samples.

        Returns:
            float32 (n_mels, rest).

        Raises:
            InputError: the stream had no samples, or with reflect padding no more than n_fft / 2, or is flushed.
        """
        state, spec = self.state, self.spec
        self._refuse_if_closed()
        check_length(state.samples, spec)
        if not state.padded:
            state.signal = np.concatenate([left_padding(state.signal, spec), state.signal])
            state.padded = True
        state.signal = np.concatenate([state.signal, right_padding(state.signal, spec)])
        state.closed = True
        return self._emit(1 + state.samples // spec.hop_samples)

    def reset(self) -> None:
        """Forget everything: the next sample starts a new signal."""
        self.state = MelState()

    def _emit(self, end: int) -> NDArray[np.float32]:
        state, spec = self.state, self.spec
        first = state.columns * spec.hop_samples - state.signal_start
        columns = finished_columns(state.signal[first:], end - state.columns, spec)
        state.columns = end
        # Reflecting the end needs the last n_fft / 2 + 1 samples; sample i stands at i + n_fft / 2.
        keep = min(state.columns * spec.hop_samples, state.samples - 1)
        if state.padded and keep > state.signal_start:
            state.signal = state.signal[keep - state.signal_start :].copy()
            state.signal_start = keep
        return columns

    def _refuse_if_closed(self) -> None:
        if self.state.closed:
            raise InputError("This mel stream is flushed; call reset() or make a new MelStream for another signal.")
