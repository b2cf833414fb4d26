"""How much of what was said has been heard: the answer that a voice agent needs when it is interrupted."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Playback:
    """How far an utterance is. An utterance is all audio from one ``flush`` or ``interrupt`` to the next.

    Attributes:
        utterance: its number, from 0.
        pushed_s: its length so far.
        played_s: how much of it has left the stream with frames.
        finished: whether it was flushed and all of it has left.
        interrupted: whether the rest of it was dropped.
    """

    utterance: int
    pushed_s: float
    played_s: float
    finished: bool = False
    interrupted: bool = False


@dataclass
class _Utterance:
    number: int
    pushed: int = 0
    played: int = 0
    complete: bool = False
    interrupted: bool = False

    def playback(self, rate_hz: int) -> Playback:
        rate = max(1, rate_hz)
        finished = self.complete and not self.interrupted and self.played >= self.pushed
        return Playback(self.number, self.pushed / rate, self.played / rate, finished, self.interrupted)


@dataclass
class _Span:
    start: int
    stop: int
    owner: _Utterance


class PlaybackLedger:
    """Knows where in the stream every utterance's samples stand. Not for several threads at once.

    Samples are counted in the stream's format.
    """

    def __init__(self) -> None:
        self._pushing = self._heard = _Utterance(0)
        self._waiting: deque[_Utterance] = deque([self._pushing])
        self._spans: deque[_Span] = deque()

    @property
    def utterance(self) -> int:
        """Number of the utterance that is being pushed."""
        return self._pushing.number

    def pushed(self, samples: int) -> None:
        """Count samples of the utterance that is being pushed."""
        self._pushing.pushed += samples

    def complete(self) -> None:
        """Note that the utterance has no more to come: the next samples start a new one."""
        self._pushing.complete = True
        self._begin()

    def landed(self, utterance: int, start: int, samples: int) -> None:
        """Note that an utterance's next samples stand in the stream from ``start`` on."""
        owner = next((item for item in self._waiting if item.number == utterance), None)
        if owner is None or not samples:
            return
        last = self._spans[-1] if self._spans else None
        if last is not None and last.owner is owner and last.stop == start:
            last.stop += samples
        else:
            self._spans.append(_Span(start, start + samples, owner))

    def emitted(self, start: int, stop: int, rate_hz: int) -> tuple[Playback, tuple[Playback, ...], bool]:
        """Note that a frame took the samples from ``start`` to ``stop - 1``.

        Returns:
            The utterance that was heard last, all that were heard to their end with this frame, and whether any of its
            samples belong to one.
        """
        spoken = False
        while self._spans and self._spans[0].start < stop:
            span = self._spans[0]
            played = max(0, min(stop, span.stop) - max(start, span.start))
            span.owner.played += played
            spoken = spoken or played > 0
            self._heard = span.owner
            if span.stop > stop:
                break
            self._spans.popleft()
        finished = []
        while self._waiting and self._waiting[0].playback(rate_hz).finished:
            finished.append(self._waiting.popleft().playback(rate_hz))
        return self._heard.playback(rate_hz), tuple(finished), spoken

    def cut(self, rate_hz: int) -> Playback:
        """Forget all that was not heard; return the utterance that was cut off, or the last one heard."""
        cut_off = next((item for item in self._waiting if item.pushed), self._heard)
        for item in self._waiting:
            item.complete = item.interrupted = item.interrupted or item.played < item.pushed
        self._spans.clear()
        self._waiting.clear()
        self._begin()
        return cut_off.playback(rate_hz)

    def heard(self, rate_hz: int) -> Playback:
        """Return how far the utterance is that was heard last."""
        return self._heard.playback(rate_hz)

    def _begin(self) -> None:
        self._pushing = _Utterance(self._pushing.number + 1)
        self._waiting.append(self._pushing)
