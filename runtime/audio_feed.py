"""The audio of a session: the samples that travel with the frames, and the mel columns that drive them."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import InputError
from lipforge.kernels.mel import MelStream
from lipforge.kernels.spec import MelSpec
from lipforge.runtime.column_ring import ColumnRing
from lipforge.runtime.frame_window import FrameWindow
from lipforge.runtime.mono_resampler import MonoResampler
from lipforge.runtime.sample_queue import SampleQueue, Samples, as_samples
from lipforge.runtime.speech_gate import loudest_dbfs

BLOCK_SECONDS = Fraction(1, 50)
"""Audio that is turned into mel columns in one step."""


class AudioFeed:
    """Takes audio in chunks of any size and gives a frame's window of mel columns and its share of the samples.

    Time 0 is the first sample. Nothing depends on how the audio was cut into chunks. Samples are held until a frame
    has taken them, mel columns only as long as a window can still need them.
    """

    def __init__(self, mel: MelSpec, window: FrameWindow) -> None:
        self._mel_spec, self._frame_window = mel, window
        self._mel = MelStream(mel)
        self._columns = ColumnRing(mel.n_mels, _ring_columns(mel, window), -mel.max_abs)
        self._samples = SampleQueue()
        self._history_samples = 0
        self._resampler: MonoResampler | None = None
        self._mel_position = 0
        self._taken = 0
        self._mel_flushed = False
        self.sample_rate_hz = 0
        self.ended = False

    @property
    def pushed_seconds(self) -> Fraction:
        """Length of all audio that was pushed, in seconds."""
        return Fraction(self._samples.stop, self.sample_rate_hz) if self.sample_rate_hz else Fraction(0)

    @property
    def waiting_seconds(self) -> Fraction:
        """Length of the audio that no frame has taken yet, in seconds."""
        waiting = max(0, self._samples.stop - self._taken)
        return Fraction(waiting, self.sample_rate_hz) if self.sample_rate_hz else Fraction(0)

    def push(self, pcm: NDArray[np.float32] | NDArray[np.int16], sample_rate_hz: int) -> None:
        """Append audio.

        Args:
            pcm: float32 in [-1, 1] or int16; (n,) or (n, channels); n may be 0.
            sample_rate_hz: the same for the whole session.

        Raises:
            InputError: dtype, shape, rate or a value is not usable; nothing was appended.
        """
        samples = as_samples(pcm)
        self._check_format(samples, sample_rate_hz)
        if self._resampler is None:
            self.sample_rate_hz = sample_rate_hz
            columns = _history_columns(self._mel_spec, self._frame_window)
            self._history_samples = ceil(columns * sample_rate_hz / self._mel_spec.columns_per_second)
            self._resampler = MonoResampler(sample_rate_hz, self._mel_spec.sample_rate_hz)
        self._samples.append(samples)

    def end(self) -> None:
        """Say that no more audio comes; what lies beyond the last sample is silence."""
        self.ended = True

    def covers(self, time: Fraction) -> bool:
        """Tell whether there is speech at ``time``; only certain once the audio reaches beyond it or has ended."""
        return time < self.pushed_seconds

    def ready(self, time: Fraction, until: Fraction) -> bool:
        """Tell whether the window at ``time`` and all samples before ``until`` are there."""
        if not self.ended and self.pushed_seconds < until:
            return False
        return self._advance_to(self._frame_window.first_column(time, self._mel_spec) + self._frame_window.columns - 1)

    def window(self, time: Fraction, out: NDArray[np.float32]) -> None:
        """Copy the mel columns that drive a frame at ``time`` into ``out``, float32 (n_mels, columns).

        ``ready`` must have said so. Columns before the first sample and after the last one are silence.
        """
        self._columns.read(self._frame_window.first_column(time, self._mel_spec), out)

    def take(self, until: Fraction) -> tuple[int, Samples]:
        """Take the samples from the last call's end up to ``until``; silence where the audio has ended.

        Returns:
            The first sample's number and float32 (n, channels).
        """
        start, stop = self._taken, max(self._taken, round(until * self.sample_rate_hz))
        samples = self._samples.read(start, stop)
        self._taken = stop
        self._samples.drop_before(min(stop, self._mel_position) - self._history_samples)
        return start, samples

    @property
    def channels(self) -> int:
        """Channels of the audio; 1 before the first."""
        return self._samples.channels

    def level_dbfs(self, start: Fraction, stop: Fraction) -> float:
        """Return how loud the loudest 20 ms between two times are, in dB below full scale; see ``loudest_dbfs``."""
        if not self.sample_rate_hz:
            return float("-inf")
        first, last = round(start * self.sample_rate_hz), round(stop * self.sample_rate_hz)
        return loudest_dbfs(self._samples.read(max(0, first), last), self.sample_rate_hz)

    def cut(self, number: int) -> None:
        """Forget all audio from sample ``number`` on, as if it had never been pushed.

        What frames have taken beyond it counts as silence; the next audio follows on that.

        Args:
            number: of a sample that no frame but the last one has taken.
        """
        if self._resampler is None:
            return
        self._samples.cut(number)
        if self._samples.stop < self._taken:
            self._samples.append(np.zeros((self._taken - self._samples.stop, self._samples.channels), np.float32))
        self._restart_mel()

    def _restart_mel(self) -> None:
        """Start the mel anew, early enough that every window from the next frame on is as if it had never ended."""
        rate, spec = self.sample_rate_hz, self._mel_spec
        time = Fraction(self._taken, rate)
        column = max(0, self._frame_window.first_column(time, spec) - _settling_columns(spec))
        self._mel_position = round(Fraction(column * spec.hop_samples, spec.sample_rate_hz) * rate)
        self._mel.reset()
        self._resampler = MonoResampler(rate, spec.sample_rate_hz)
        self._columns.restart(column)
        self._mel_flushed = False

    def _advance_to(self, column: int) -> bool:
        while self._columns.stop <= column and not self._mel_flushed:
            if self._mel_position < self._samples.stop:
                self._feed_block()
            elif self.ended:
                self._flush_mel()
            else:
                return False
        return True

    def _feed_block(self) -> None:
        stop = min(self._samples.stop, self._mel_position + max(1, round(BLOCK_SECONDS * self.sample_rate_hz)))
        block = self._samples.read(self._mel_position, stop)
        self._mel_position = stop
        if self._resampler is not None:
            self._columns.append(self._mel.push(self._resampler.push(block)))

    def _flush_mel(self) -> None:
        if self._resampler is not None and self._samples.stop:
            self._columns.append(self._mel.push(self._resampler.flush()))
            self._columns.append(self._mel.flush())
        self._mel_flushed = True

    def _check_format(self, samples: Samples, sample_rate_hz: int) -> None:
        if not isinstance(sample_rate_hz, int) or not 1000 <= sample_rate_hz <= 384_000:
            raise InputError(f"sample_rate_hz is {sample_rate_hz!r}; allowed are whole numbers from 1000 to 384000.")
        if self.ended:
            raise InputError("audio was pushed after the end of the audio. Start a new session.")
        if self._resampler is None:
            return
        channels = self._samples.channels
        if sample_rate_hz != self.sample_rate_hz or samples.shape[1] != channels:
            raise InputError(
                f"audio of {sample_rate_hz} Hz and {samples.shape[1]} channels was pushed into a session that began "
                f"with {self.sample_rate_hz} Hz and {channels}. Resample it, or start a new session."
            )


def _settling_columns(mel: MelSpec) -> int:
    """Columns at the start of a mel that its padding, or its resampler's, can reach."""
    return ceil(mel.n_fft / 2 / mel.hop_samples) + 2


def _history_columns(mel: MelSpec, window: FrameWindow) -> int:
    """Columns before a frame's time whose samples are kept, so that the mel can be started anew."""
    return max(0, -window.first_column(Fraction(0), mel)) + 1 + _settling_columns(mel)


def _ring_columns(mel: MelSpec, window: FrameWindow) -> int:
    """A window, plus all that one step can add: a block of audio and the flush of resampler and mel."""
    return (
        window.columns + ceil(2 * BLOCK_SECONDS * Fraction(mel.columns_per_second)) + 2 * mel.n_fft // mel.hop_samples
    )
