"""Mel of a signal that comes in chunks: the same columns as offline, bit for bit, as early as they can be known."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.kernels.mel.engine import engine_for
from lipforge.kernels.mel.kernels import clamp_columns, stream_lanes
from lipforge.kernels.mel.recipe import AnyMelSpec, recipe_of
from lipforge.kernels.mel.samples import check_length, checked_audio

PIECE_HOPS = 16
"""A chunk is worked off in pieces of at most this many hops, so that a stream's memory does not depend on the chunks.

It also keeps moves rare: what later columns need is moved to the buffer's start only when the end is reached.
"""


def samples_needed(column: int, spec: AnyMelSpec) -> int:
    """Return how many samples from the start of a stream make a column final.

    That is half an FFT window beyond the column's centre at ``column * hop_samples`` (the look-ahead); reflect padding
    needs one more for column 0.
    """
    return recipe_of(spec).samples_needed(column)


@dataclass
class MelState:
    """All that a stream remembers.

    Attributes:
        signal: a part of the padded, emphasised signal; float32 for the published recipes, otherwise float64.
        begin: where in ``signal`` the next column starts.
        end: where in ``signal`` the next sample goes.
        previous: last raw sample, for pre-emphasis.
        samples: samples received.
        columns: columns given out.
        maximum: largest value so far, for Whisper's running clamp.
        padded: whether the left padding stands in ``signal``.
        closed: whether the stream was flushed.
    """

    signal: NDArray[Any]
    end: int
    begin: int = 0
    previous: float = 0.0
    samples: int = 0
    columns: int = 0
    maximum: float = -inf
    padded: bool = False
    closed: bool = False


class MelStream:
    """Streaming twin of ``log_mel``: the columns of all calls together equal ``log_mel`` of all chunks together.

    Args:
        spec: the recipe, a ``MelSpec`` or a ``WhisperMelSpec`` whose clamp is "running" or "none".

    Raises:
        ConfigError: the recipe is not usable.
    """

    def __init__(self, spec: AnyMelSpec) -> None:
        self._recipe = recipe_of(spec)
        if self._recipe.clamp == "global":
            raise ConfigError(
                "WhisperMelSpec.clamp is 'global', but a stream cannot know the maximum of samples still to come; "
                "use dataclasses.replace(spec, clamp='running'), or 'none' and clamp when the signal has ended."
            )
        self.spec = spec
        self._engine = engine_for(spec, stream_lanes())
        self._half = spec.n_fft // 2
        self.reset()

    def push(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the next samples and return the columns that they complete.

        Args:
            audio: float32 (k,), mono, in [-1, 1]; any k, also 0.

        Returns:
            float32 (n_mels, new columns), possibly none.

        Raises:
            InputError: audio is not a finite float32 vector (the stream stays as it was), or the stream is flushed.
        """
        state, recipe = self.state, self._recipe
        self._refuse_if_closed()
        audio = checked_audio(audio, state.samples)
        size, taken, done = audio.size, 0, state.columns
        out = np.empty((recipe.n_mels, recipe.final_columns(state.samples + size) - done), np.float32)
        while taken < size:
            piece = self._make_room(size - taken)
            self._engine.emphasise(audio, taken, piece, state.previous, recipe.preemphasis, state.signal, state.end)
            taken += piece
            state.end += piece
            state.samples += piece
            if not state.padded and state.samples >= recipe.samples_needed(0):
                self._pad_left()
            self._emit(recipe.final_columns(state.samples), out, state.columns - done)
        if size:
            state.previous = float(audio[-1])
        return out

    def flush(self) -> NDArray[np.float32]:
        """Pad the end as offline does and return the remaining columns; the stream takes no more samples.

        Returns:
            float32 (n_mels, rest).

        Raises:
            InputError: the stream had no samples, or with reflect padding no more than n_fft / 2, or is flushed.
        """
        state, recipe, half = self.state, self._recipe, self._half
        self._refuse_if_closed()
        check_length(state.samples, self.spec)
        if not state.padded:
            self._pad_left()
        # There is always room for it behind ``end``, see ``_new_state``.
        end, signal = state.end, state.signal
        signal[end : end + half] = signal[end - 2 : end - half - 2 : -1] if recipe.reflect else 0.0
        columns = recipe.columns(state.samples)
        out = np.empty((recipe.n_mels, columns - state.columns), np.float32)
        self._emit(columns, out, 0)
        state.closed = True
        return out

    def reset(self) -> None:
        """Forget everything: the next sample starts a new signal."""
        self.state = self._new_state()

    def _new_state(self) -> MelState:
        recipe, half = self._recipe, self._half
        self._capacity = 2 * recipe.n_fft + PIECE_HOPS * recipe.hop_samples
        signal = np.zeros(self._capacity + half + self._engine.spare_samples, self._engine.dtype)
        return MelState(signal, end=half)

    def _make_room(self, wanted: int) -> int:
        """Return how many samples fit behind ``end``, at most ``wanted``; move the signal if they would be few."""
        state = self.state
        if state.end + wanted > self._capacity and state.padded:
            # Reflecting the end needs the last n_fft / 2 + 1 samples.
            keep = min(state.begin, state.end - self._half - 1)
            count = state.end - keep
            state.signal[:count] = state.signal[keep : state.end]
            state.begin -= keep
            state.end = count
        return min(wanted, self._capacity - state.end)

    def _pad_left(self) -> None:
        state, half = self.state, self._half
        if self._recipe.reflect:
            state.signal[:half] = state.signal[2 * half : half : -1]
        state.padded = True

    def _emit(self, until: int, out: NDArray[np.float32], to: int) -> None:
        state, recipe = self.state, self._recipe
        count = until - state.columns
        if count <= 0:
            return
        self._engine.columns(state.signal, state.begin, count, out, to)
        if recipe.clamp == "running":
            state.maximum = clamp_columns(out, to, count, recipe.clamp_range, True, state.maximum)
        state.begin += count * recipe.hop_samples
        state.columns = until

    def _refuse_if_closed(self) -> None:
        if self.state.closed:
            raise InputError("This mel stream is flushed; call reset() or make a new MelStream for another signal.")
