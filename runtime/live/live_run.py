"""Running a live stream between sources and destinations: threads, pacing, and an end that leaves nothing broken."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event, Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipforge.runtime.live.clock import AudioClock, WallClock
from lipforge.runtime.live.live_frame import LiveFrame
from lipforge.runtime.live.live_stats import LiveStats
from lipforge.runtime.live.live_stream import LiveStream
from lipforge.runtime.live.pacing import Clock, paced
from lipforge.runtime.sinks.sink import Sink

if TYPE_CHECKING:
    from lipforge.runtime.sources.source import AudioSource, Say, VideoSource

AHEAD_MS = 1000.0
"""Audio that is taken ahead from a source that gives it as fast as it is taken."""

STATUS_EVERY_S = 0.5
FREEZE_AFTER_S = 0.4


@dataclass(frozen=True)
class LiveStatus:
    """How a run is doing.

    Attributes:
        seconds: of the stream that have left.
        fps: frames that left in the last two seconds, by the second.
        latency_ms: from a sample's time on the clock to its leaving; 0 without a clock.
        stats: of the stream.
    """

    seconds: float
    fps: float
    latency_ms: float
    stats: LiveStats


@dataclass(frozen=True)
class LiveRun:
    """A stream with its sources and destinations.

    Attributes:
        stream: made for them.
        audio: where speech comes from.
        sinks: where every frame goes, in this order.
        camera: where pictures come from; None if the stream has an avatar.
        longest_s: end after so many seconds; 0 for no limit.
    """

    stream: LiveStream
    audio: AudioSource
    sinks: Sequence[Sink]
    camera: VideoSource | None = None
    longest_s: float = 0.0

    @property
    def paced(self) -> bool:
        """Whether time rules: always but from files to a file."""
        return self.camera is not None or self.audio.paced or any(sink.paced for sink in self.sinks)

    def run(self, stop: Event, say: Say, on_status: Callable[[LiveStatus], None] | None = None) -> LiveStats:
        """Run until the audio or the camera ends, a window is closed, ``longest_s`` are over, or ``stop`` is set.

        The sinks are closed whole in all these cases.

        Args:
            stop: ends the run; it is set in any case when the run ends.
            say: told what the user should know.
            on_status: called twice a second.

        Raises:
            LipforgeError: a source or destination fails; what was written until then is whole.
        """
        clock = self._clock()
        feeders = _Feeders(self, clock, stop, say)
        try:
            feeders.start()
            self._take(clock, stop, _StatusLine(self.stream, clock, on_status))
        finally:
            stop.set()
            feeders.join()
            self.stream.close()
            for sink in self.sinks:
                sink.close()
        feeders.check()
        return self.stream.stats()

    def _clock(self) -> Clock | None:
        if not self.paced:
            return None
        return AudioClock(lambda: self.stream.audio_seconds) if self.audio.paced else WallClock()

    def _take(self, clock: Clock | None, stop: Event, status: _StatusLine) -> None:
        try:
            for frame in paced(self.stream, clock, stop):
                for sink in self.sinks:
                    sink.write(frame)
                self.stream.reuse(frame)
                status.add(frame)
                if self.longest_s and frame.pts + self.stream.period >= self.longest_s:
                    return
        except StopIteration:
            return


class _Feeders:
    """The threads that push what the sources give."""

    def __init__(self, run: LiveRun, clock: Clock | None, stop: Event, say: Say) -> None:
        self._stream, self._run, self._clock, self._stop, self._say = run.stream, run, clock, stop, say
        self._errors: list[Exception] = []
        self._last_image: NDArray[np.uint8] | None = None
        self._last_pts, self._last_came = -1.0, monotonic()
        self._pushing = Lock()
        self._threads = [Thread(target=self._guarded, args=(self._feed_audio,), name="lipforge audio")]
        if run.camera is not None:
            self._threads.append(Thread(target=self._guarded, args=(self._feed_video,), name="lipforge camera"))
            self._threads.append(Thread(target=self._freeze, name="lipforge still"))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def check(self) -> None:
        """Raise what ended a source."""
        if self._errors:
            raise self._errors[0]

    def _guarded(self, feed: Callable[[], None]) -> None:
        try:
            feed()
            if not self._stop.is_set():
                self._stream.end()
        except Exception as error:
            self._errors.append(error)
            self._stop.set()

    def _feed_audio(self) -> None:
        self._run.audio.run(self._push_audio, self._stop, self._say)
        if self._run.camera is None or self._stop.is_set() or self._stream.ending:
            return
        # A camera's pictures must go on until they have carried all of it.
        self._stream.flush()
        spoken = float(self._stream.audio_seconds)
        while self._stream.stats().audio_s < spoken and not self._stop.wait(0.02):
            pass

    def _feed_video(self) -> None:
        if self._run.camera is not None:
            self._run.camera.run(self._push_frame, self._stop, self._say)

    def _push_audio(self, pcm: NDArray[np.float32] | NDArray[np.int16], sample_rate_hz: int) -> None:
        while not self._run.audio.paced and self._stream.queued_audio_ms > AHEAD_MS and not self._stop.wait(0.01):
            pass
        if not (self._stop.is_set() or self._stream.ending):
            self._stream.push_audio(pcm, sample_rate_hz)
            if isinstance(self._clock, AudioClock):
                self._clock.pushed()

    def _push_frame(self, image: NDArray[np.uint8]) -> None:
        with self._pushing:
            if self._last_image is None or self._last_image.shape != image.shape:
                self._last_image = np.empty_like(image)
            np.copyto(self._last_image, image)  # the stream changes what it is given
            self._last_came = monotonic()
            self._push_now(image)

    def _freeze(self) -> None:
        """While a camera gives nothing, show its last picture again: the voice goes on, and so must the mouth."""
        while not self._stop.wait(float(self._stream.period)) and not self._stream.ending:
            with self._pushing:
                if self._last_image is not None and monotonic() - self._last_came > FREEZE_AFTER_S:
                    self._push_now(self._last_image.copy())

    def _push_now(self, image: NDArray[np.uint8]) -> None:
        if self._stop.is_set() or self._stream.ending:
            return
        now = 0.0 if self._clock is None else self._clock.now()
        self._last_pts = max(now, self._last_pts + float(self._stream.period) / 4)
        self._stream.push_frame(image, self._last_pts)


class _StatusLine:
    """Sums up frames and tells twice a second."""

    def __init__(self, stream: LiveStream, clock: Clock | None, on_status: Callable[[LiveStatus], None] | None) -> None:
        self._stream, self._clock, self._on_status = stream, clock, on_status
        self._left: deque[float] = deque()
        self._next = monotonic() + STATUS_EVERY_S

    def add(self, frame: LiveFrame) -> None:
        now = monotonic()
        self._left.append(now)
        while now - self._left[0] > 2.0:
            self._left.popleft()
        if self._on_status is None or now < self._next:
            return
        self._next = now + STATUS_EVERY_S
        span = now - self._left[0]
        latency_ms = 0.0 if self._clock is None else 1000 * (self._clock.now() - float(frame.pts))
        fps = (len(self._left) - 1) / span if span > 0 else 0.0
        seconds = float(frame.pts + self._stream.period)
        self._on_status(LiveStatus(seconds, fps, latency_ms, self._stream.stats()))
