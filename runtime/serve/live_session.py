"""One client's stream on the server: the engine at one end, what is sent to the client at the other."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from fractions import Fraction
from time import monotonic
from typing import Protocol

from lipforge.kernels.errors import LipforgeError
from lipforge.runtime.live import LiveFrame, LiveStream, Playback, paced_async
from lipforge.runtime.live.pacing import Clock
from lipforge.runtime.picture import Picture
from lipforge.runtime.serve.metrics import Metrics
from lipforge.runtime.serve.playout import Heard, Playout, PlayoutOverflowError, Shown
from lipforge.runtime.serve.schedule import CUSHION_S, UNEVEN_CUSHION_S

Listener = Callable[[LiveFrame], None]


class ShownSession(Protocol):
    """What a browser's connection needs of the session whose frames it gets."""

    id: str
    kind: str
    playout: Playout
    closed: asyncio.Event
    failure: str | None

    def interrupt(self) -> Playback:
        """Drop the voice that was not sent yet."""

    def flush(self) -> None:
        """Say that an utterance is complete."""

    def misunderstood(self) -> None:
        """Count a message that made no sense."""

    def frame_sent(self, frame: Shown, late_s: float) -> None:
        """Count a frame that leaves now, so much later than it was due."""

    def frame_encoded(self, frame: Shown) -> None:
        """Take a frame back that nobody needs any more."""

    def stats(self) -> dict[str, object]:
        """Return the figures for the client."""

    async def close(self) -> None:
        """End it. Twice does no harm."""


@dataclass
class Figures:
    """What one session did, for its own client."""

    frames: int = 0
    driven: int = 0
    size: tuple[int, int] = (0, 0)
    face: bool = False
    delay_ms: float = 0.0
    first_audio_at: float | None = None
    dropped_before: int = 0

    def told(self, playout: Playout, dropped: int, compute_ms: tuple[float, ...]) -> dict[str, object]:
        """Return the message that a page shows.

        Args:
            playout: on its way to the client.
            dropped: frames that did not even come there.
            compute_ms: p50, p95 and p99 of computing a frame.
        """
        return {
            "type": "stats",
            "frames": self.frames,
            "driven": self.driven,
            "dropped": dropped + playout.dropped,
            "delay_ms": round(self.delay_ms, 1),
            "compute_ms": [round(value, 2) for value in compute_ms],
            "av_offset_ms": round(1000 * (playout.sound_late_s - playout.frame_late_s), 2),
            "width": self.size[0],
            "height": self.size[1],
            "face": self.face,
        }


@dataclass
class LiveSession:
    """Takes finished frames from the engine and puts them into the playout; used on the event loop.

    Attributes:
        kind: ``camera``, ``avatar`` or ``agent``.
        stream: the engine.
        clock: when frames are due.
        rate_hz: of the audio that comes out of the engine.
        metrics: the server's.
        executor: where pictures are computed.
        id: hard to guess.
    """

    kind: str
    stream: LiveStream
    clock: Clock
    rate_hz: int
    metrics: Metrics
    executor: Executor
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))

    def __post_init__(self) -> None:
        even = self.kind != "camera" and self.stream.period % Fraction(1, 50) == 0
        self.playout = Playout(asyncio.get_running_loop().time, CUSHION_S if even else UNEVEN_CUSHION_S)
        self.figures = Figures()
        self.failure: str | None = None
        self.closed = asyncio.Event()
        self.on_frame: Listener = lambda _: None
        self._task = asyncio.get_running_loop().create_task(self._run())
        self.metrics.count("streams")

    def heard_first_audio(self) -> None:
        """Note that a stretch of voice begins, for the time to its first frame."""
        if self.figures.first_audio_at is None:
            self.figures.first_audio_at = monotonic()

    def interrupt(self) -> Playback:
        """Drop the voice that was not sent yet; what waits for its time becomes silent."""
        self.metrics.count("interrupts")
        self.playout.mute()
        self.figures.first_audio_at = None
        return self.stream.interrupt()

    def frame_sent(self, frame: Shown, late_s: float) -> None:
        """Count a frame that leaves now, so much later than it was due."""
        self.left(frame.pts)
        self.metrics.av_offset_ms.add(1000 * (self.playout.sound_late_s - late_s))

    def left(self, pts: float) -> None:
        """Count a frame that leaves now with its audio."""
        self.figures.delay_ms = 1000 * max(0.0, float(self.stream.audio_seconds) - pts)
        self.metrics.count("frames")
        self.metrics.queue_ms.add(self.figures.delay_ms)

    def flush(self) -> None:
        """Say that an utterance is complete."""
        self.stream.flush()

    def misunderstood(self) -> None:
        """Count a message that made no sense."""
        self.metrics.count("bad_messages")

    def frame_encoded(self, frame: Shown) -> None:
        """Take a frame back that nobody needs any more."""
        self.stream.reuse(frame.source)

    def stats(self) -> dict[str, object]:
        """Return the figures for the client."""
        engine = self.stream.stats()
        return self.figures.told(self.playout, engine.dropped_frames, engine.compute_ms)

    async def close(self) -> None:
        """End the stream and whoever waits for its frames. Twice does no harm."""
        self.stream.close()
        self.playout.end()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            async for frame in paced_async(self.stream, self.clock, self.executor):
                self._take(frame)
        except LipforgeError as error:
            self.failure = str(error)
        except PlayoutOverflowError:
            self.failure = "the client takes no audio any more"
        finally:
            if self.failure:
                self.metrics.count("streams_failed")
            self._count_drops()
            self.stream.close()
            self.playout.end()
            self.closed.set()

    def _take(self, frame: LiveFrame) -> None:
        figures, stats = self.figures, frame.stats
        picture = Picture.of(frame.image)
        figures.frames += 1
        figures.driven += stats.driven
        figures.size, figures.face = (picture.width, picture.height), stats.face
        self.metrics.compute_ms.add(stats.total_ms)
        if stats.driven:
            self.metrics.count("frames_driven")
            self._note_first_frame()
        self._count_drops()
        self.playout.put(
            Shown(float(frame.pts), frame.image, frame), Heard(frame.audio_start, frame.audio, self.rate_hz)
        )
        self.on_frame(frame)

    def _note_first_frame(self) -> None:
        if self.figures.first_audio_at is not None:
            self.metrics.first_frame_ms.add(1000 * (monotonic() - self.figures.first_audio_at))
            self.figures.first_audio_at = None

    def _count_drops(self) -> None:
        dropped = self.stream.stats().dropped_frames + self.playout.dropped
        self.metrics.count("frames_dropped", dropped - self.figures.dropped_before)
        self.figures.dropped_before = dropped
