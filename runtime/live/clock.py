"""The caller's clock: how many seconds of a stream should be over by now."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from time import monotonic

LONGEST_STEP_S = 1.0
"""A longer time between two looks is a machine that slept or a debugger: the clock then goes on where it was."""


class WallClock:
    """Runs by itself, for speech that is pushed ahead of time (voice agents, files).

    Args:
        time: seconds, never falling; the machine's monotonic clock by default.
    """

    def __init__(self, time: Callable[[], float] = monotonic) -> None:
        self._time = time
        self._last = time()
        self._now = 0.0

    def now(self) -> float:
        """Return the stream's time in seconds, from 0."""
        time = self._time()
        self._now += min(max(0.0, time - self._last), LONGEST_STEP_S)
        self._last = time
        return self._now


class AudioClock:
    """Runs with the audio that comes in, for microphones: two clocks that drift apart would add up to a delay.

    Between two pushes it goes on by itself, so that a microphone that falls silent does not stop the picture.

    Args:
        audio_seconds: the length of the stream's audio, ``LiveStream.audio_seconds``.
        time: seconds, never falling.
    """

    def __init__(self, audio_seconds: Callable[[], Fraction], time: Callable[[], float] = monotonic) -> None:
        self._audio_seconds, self._time = audio_seconds, time
        self._base, self._base_time = Fraction(0), time()

    def pushed(self) -> None:
        """Note that audio came just now; call it after every ``push_audio``."""
        self._base, self._base_time = self._audio_seconds(), self._time()

    def now(self) -> float:
        """Return the stream's time in seconds."""
        return float(self._base) + max(0.0, self._time() - self._base_time)
