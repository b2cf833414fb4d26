"""Finished frames and their audio on the way to a client, each let go when it is due."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import InputError
from lipforge.runtime.serve.schedule import UNEVEN_CUSHION_S, Schedule

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from lipforge.runtime.live import LiveFrame
    from lipforge.runtime.picture import Pixels

LONGEST_QUEUE_S = 2.0
"""Video that may wait, longer than anything is due in; a client that takes none gets the newest."""

LONGEST_AUDIO_S = 10.0
"""Audio is not dropped, but whoever takes none for so long is gone."""


@dataclass(frozen=True)
class Shown:
    """A frame on its way.

    Attributes:
        pts: seconds since the first sample from which on it is seen.
        image: its pixels.
        source: the engine's frame.
        copy: of its pixels, for an encoder, if the engine's own are used for something else meanwhile.
    """

    pts: float
    image: Pixels
    source: LiveFrame
    copy: VideoFrame | None = None


@dataclass(frozen=True)
class Heard:
    """Audio: float32 (n, channels) in [-1, 1]; ``start`` is its first sample's number, ``rate_hz`` its rate."""

    start: int
    samples: NDArray[np.float32]
    rate_hz: int

    @property
    def pts(self) -> float:
        """Seconds since the first sample."""
        return self.start / self.rate_hz


SOUND_PIECE_S = 0.020
"""Length of the pieces in which audio is sent."""


class PlayoutOverflowError(Exception):
    """A client has taken no audio for ``LONGEST_AUDIO_S``."""


class Playout:
    """Two queues on one schedule; used on the event loop only.

    Args:
        clock: the event loop's time, in seconds.
        cushion_s: see ``Schedule``.
    """

    def __init__(self, clock: Callable[[], float], cushion_s: float = UNEVEN_CUSHION_S) -> None:
        self._clock = clock
        self.schedule = Schedule(cushion_s)
        self._frames: deque[Shown] = deque()
        self._sounds: deque[Heard] = deque()
        self._changed = asyncio.Event()
        self._ended = False
        self._taken = self._sound_taken = self._sound_begun = False
        self.dropped = 0
        self.frame_late_s = self.sound_late_s = 0.0

    def require_free(self) -> None:
        """Check that nobody takes the frames yet.

        Raises:
            InputError: somebody does.
        """
        if self._taken:
            raise InputError("somebody looks at this stream already.")

    def attach(self, *, sound: bool = True) -> None:
        """Keep what is put from now on for somebody who takes it.

        Raises:
            InputError: somebody does already.
        """
        self.require_free()
        self._taken, self._sound_taken = True, sound

    def detach(self) -> None:
        """Keep nothing any more."""
        self._taken = self._sound_taken = self._sound_begun = False
        self._frames.clear()
        self._sounds.clear()

    def put(self, frame: Shown, sound: Heard) -> None:
        """Append a frame and the audio that belongs to it, if somebody takes them.

        Raises:
            PlayoutOverflowError: nobody takes the audio.
        """
        now = self._clock()
        self.schedule.arrive(frame.pts, now)
        if not self._taken:
            return
        self._frames.append(frame)
        while self._frames[-1].pts - self._frames[0].pts > LONGEST_QUEUE_S:
            self._frames.popleft()
            self.dropped += 1
        if self._sound_taken and len(sound.samples):
            self._sounds.append(sound)
        if self._sounds and sound.pts - self._sounds[0].pts > LONGEST_AUDIO_S:
            raise PlayoutOverflowError
        self._wake()

    def mute(self) -> None:
        """Silence the audio that did not leave yet; its time goes on."""
        for index, sound in enumerate(self._sounds):
            self._sounds[index] = Heard(sound.start, np.zeros_like(sound.samples), sound.rate_hz)

    def end(self) -> None:
        """Let both takers come to an end."""
        self._ended = True
        self._frames.clear()
        self._sounds.clear()
        self._wake()

    @property
    def waiting_s(self) -> float:
        """Length of the audio that did not leave yet."""
        return sum(len(sound.samples) / sound.rate_hz for sound in self._sounds)

    async def next_frame(self) -> Shown | None:
        """Wait for the next frame to be due; None at the end. A frame whose successor is due as well is dropped."""
        while True:
            await self._until_due(self._frames)
            if self._ended:
                return None
            frame = self._frames.popleft()
            if self._frames and self.schedule.due(self._frames[0].pts) <= self._clock():
                self.dropped += 1
                continue
            self.frame_late_s = self._clock() - self.schedule.due(frame.pts)
            return frame

    async def next_sound(self) -> Heard | None:
        """Wait for the next piece of audio, the first time until it is due; None at the end.

        What was due before somebody listened is left out: a receiver would keep all that comes at once, and play
        everything after it as much later than the picture.
        """
        while not (self._sound_begun or self._ended):
            await self._until_due(self._sounds)
            self._skip_past()
            self._sound_begun = bool(self._sounds)
        while not (self._sounds or self._ended):
            await self._news()
        return None if self._ended else self._sounds.popleft()

    def sound_leaves(self, pts: float) -> None:
        """Note that audio leaves now that is due at a time of the stream."""
        self.sound_late_s = self._clock() - self.schedule.due(pts)

    async def wait_until(self, pts: float) -> None:
        """Wait for a time of the stream to come."""
        while not self._ended and (wait := self.schedule.due(pts) - self._clock()) > 0:
            await asyncio.sleep(wait)

    def _skip_past(self) -> None:
        now = self._clock()
        while self._sounds:
            sound = self._sounds.popleft()
            # Whole pieces, so that frames that bring whole ones go on doing so.
            pieces = max(0.0, now - self.schedule.due(sound.pts)) // SOUND_PIECE_S
            past = round(pieces * SOUND_PIECE_S * sound.rate_hz)
            if past < len(sound.samples):
                self._sounds.appendleft(Heard(sound.start + past, sound.samples[past:], sound.rate_hz))
                return

    async def _news(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _until_due(self, queue: deque[Shown] | deque[Heard]) -> None:
        while not self._ended:
            if not queue:
                await self._news()
                continue
            wait = self.schedule.due(queue[0].pts) - self._clock()
            if wait <= 0:
                return
            await asyncio.sleep(wait)

    def _wake(self) -> None:
        self._changed.set()
