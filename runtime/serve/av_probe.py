"""How much later sound is than picture, and how late both are, measured as a browser would see it.

A client in the same process sends flashes and beeps through a camera session, over real WebRTC, and looks at what
comes back. No face is in sight, so the frames pass through; everything else is as it is for a user.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from lipforge.runtime.media.frame_pool import planes_of
from lipforge.runtime.serve.incoming import samples_of
from lipforge.runtime.serve.options import Limits
from lipforge.runtime.serve.places import Places
from lipforge.runtime.serve.sender_clock import SenderClock, attach, shorten_audio_buffer
from lipforge.runtime.serve.sender_reports import StreamTime, tell_stream_time
from lipforge.runtime.serve.studio import Studio
from lipforge.runtime.serve.webrtc import Peers

if TYPE_CHECKING:
    from lipforge.runtime.bundle import Bundle
    from lipforge.runtime.serve.flash_beep import FlashTrack

WARM_UP_S = 3.0
"""Not counted: clocks and jitter buffers find their place."""


CONNECT_S = 60.0
"""The first frame has come by then, even on a machine that does a lot else."""

SLOPE_WINDOWS = 30
"""Of a slope's values the medians of so many stretches of time count: a stumble of the machine is no drift."""


@dataclass(frozen=True)
class AvReport:
    """What a probe found.

    Attributes:
        seconds: how long was measured.
        pairs: flashes with their beeps.
        offset_ms: median, 5th and 95th percentile of how much later the sound is than its picture.
        latency_ms: median, 95th and 99th percentile from a frame's making to its decoded copy at the client.
        offset_drift_ms_per_min: slope of the offset.
        latency_drift_ms_per_min: slope of the latency.
        frames: that came back.
        lost: that were sent meanwhile and did not, but for those on their way.
    """

    seconds: float
    pairs: int
    offset_ms: tuple[float, float, float]
    latency_ms: tuple[float, float, float]
    offset_drift_ms_per_min: float
    latency_drift_ms_per_min: float
    frames: int
    lost: int

    def text(self) -> str:
        """Return it as a few lines for people."""
        median, low, high = self.offset_ms
        p50, p95, p99 = self.latency_ms
        return (
            f"A/V offset: median {median:+.1f} ms, 5 % {low:+.1f}, 95 % {high:+.1f} ({self.pairs} flashes, "
            f"{self.seconds:.0f} s; positive: sound late)\n"
            f"Latency: median {p50:.1f} ms, p95 {p95:.1f}, p99 {p99:.1f} ({self.frames} frames, {self.lost} lost)\n"
            f"Drift: offset {self.offset_drift_ms_per_min:+.3f} ms a minute, latency "
            f"{self.latency_drift_ms_per_min:+.3f} ms a minute"
        )


def measure_av(bundle: Bundle, seconds: float = 60.0) -> AvReport:
    """Run a server and a client for a while and compare what went in with what came out.

    Args:
        bundle: the model whose look-ahead the frames wait for.
        seconds: how long, beyond the warm-up.

    Raises:
        MissingPackageError: aiortc is not installed.
    """
    from lipforge.runtime.packages import require

    require("aiortc", "live")
    return asyncio.run(probe_av(Studio(bundle, Limits(), _NoFace), seconds))


async def probe_av(studio: Studio, seconds: float, warm_up_s: float = WARM_UP_S) -> AvReport:
    """As ``measure_av``, on a running event loop and with a studio that is closed at the end."""
    from lipforge.runtime.serve.flash_beep import BeepTrack, FlashTrack, Stopwatch

    loop = asyncio.get_running_loop()
    watch = Stopwatch(loop.time)
    flashes = FlashTrack(watch)
    probe = _Probe(flashes)
    peers = Peers(studio, Places(1, studio.metrics))
    client = await _connected(peers, probe, (flashes, BeepTrack(watch)), StreamTime(lambda: watch.start))
    try:
        await asyncio.wait_for(probe.seen.wait(), CONNECT_S)
        await asyncio.sleep(warm_up_s)
        probe.begin(loop.time())
        await asyncio.sleep(seconds)
        return probe.report(seconds)
    finally:
        for task in probe.tasks:
            task.cancel()
        await client.close()
        await peers.close()
        studio.close()


async def _connected(peers: Peers, probe: _Probe, tracks: Sequence[Any], time: StreamTime) -> Any:
    from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

    client = RTCPeerConnection(RTCConfiguration(iceServers=[]))

    def on_track(track: Any) -> None:
        receiver = next(item.receiver for item in client.getTransceivers() if item.receiver.track is track)
        probe.look(track, receiver)

    client.on("track", on_track)
    for track in tracks:
        tell_stream_time(client.addTrack(track), track, _clock_hz(track), time.ntp)
    await client.setLocalDescription(await client.createOffer())
    local = client.localDescription
    answer = await peers.answer({"sdp": local.sdp, "type": local.type, "source": "camera"})
    await client.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
    return client


@dataclass
class _Probe:
    """What the client sees and hears; times of flashes and beeps are the sender's, as a browser's lip-sync has them."""

    flashes: FlashTrack
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    latencies: list[tuple[float, float]] = field(default_factory=list)
    begun: float | None = None

    def __post_init__(self) -> None:
        from lipforge.runtime.serve.flash_beep import Onsets

        self._flash, self._beep = Onsets(), Onsets()
        self.seen = asyncio.Event()
        self._count_before = 0

    def begin(self, now: float) -> None:
        """Count from now on."""
        self.begun, self._count_before = now, self.flashes.count
        self._flash.times.clear()
        self._beep.times.clear()

    def look(self, track: Any, receiver: Any) -> None:
        """Take a track in."""
        if track.kind == "audio":
            shorten_audio_buffer(receiver)
        clock = attach(receiver, _clock_hz(track))
        work = self._listen(track, clock) if track.kind == "audio" else self._watch(track, clock)
        self.tasks.append(asyncio.get_running_loop().create_task(work))

    async def _watch(self, track: Any, clock: SenderClock | None) -> None:
        from lipforge.runtime.serve.flash_beep import is_flash, read_number

        while True:
            frame = await track.recv()
            now = asyncio.get_running_loop().time()
            self.seen.set()
            luma = planes_of(frame)[0]
            made = self.flashes.made.get(read_number(luma))
            if self.begun is not None and made is not None and made >= self.begun:
                self.latencies.append((now, 1000 * (now - made)))
            sent = clock.sent_at(float(frame.pts * frame.time_base)) if clock else None
            if sent is not None:
                self._flash.add(sent, on=is_flash(luma))

    async def _listen(self, track: Any, clock: SenderClock | None) -> None:
        from lipforge.runtime.serve.flash_beep import first_loud

        while True:
            frame = await track.recv()
            samples = samples_of(frame)[:, 0].astype(np.float32) / np.float32(32768)
            loud = first_loud(samples)
            begins = float(frame.pts * frame.time_base) + (loud or 0) / frame.sample_rate
            sent = clock.sent_at(begins) if clock else None
            if sent is not None and loud is not None:
                self._beep.add(sent, on=True)

    def report(self, seconds: float) -> AvReport:
        """Return what was found since ``begin``."""
        pairs = _paired(self._flash.times, self._beep.times)
        offsets = np.array([1000 * (beep - flash) for flash, beep in pairs]) if pairs else np.full(1, np.nan)
        latencies = np.array([latency for _, latency in self.latencies] or [np.nan])
        sent = self.flashes.count - self._count_before
        return AvReport(
            seconds=seconds,
            pairs=len(pairs),
            offset_ms=_quantiles(offsets, (0.5, 0.05, 0.95)),
            latency_ms=_quantiles(latencies, (0.5, 0.95, 0.99)),
            offset_drift_ms_per_min=_slope([flash for flash, _ in pairs], offsets),
            latency_drift_ms_per_min=_slope([time for time, _ in self.latencies], latencies),
            frames=len(self.latencies),
            lost=max(0, sent - len(self.latencies) - _on_their_way(self.latencies)),
        )


def _clock_hz(track: Any) -> int:
    return 48_000 if track.kind == "audio" else 90_000


def _paired(flashes: list[float], beeps: list[float]) -> list[tuple[float, float]]:
    """Return each flash with the beep next to it, if that is less than half a second away."""
    pairs = ((flash, min(beeps, key=lambda beep: abs(beep - flash))) for flash in flashes if beeps)
    return [(flash, beep) for flash, beep in pairs if abs(beep - flash) < 0.5]


def _quantiles(values: Any, shares: tuple[float, float, float]) -> tuple[float, float, float]:
    first, second, third = np.quantile(values, shares).tolist()
    return first, second, third


def _on_their_way(latencies: list[tuple[float, float]]) -> int:
    from lipforge.runtime.serve.flash_beep import FPS

    return ceil(latencies[-1][1] / 1000 * FPS) if latencies else 0


def _slope(times: list[float], values: Any) -> float:
    """Return the slope of values in ms over times in s, in ms a minute: the median of those between medians."""
    if len(times) < 3:
        return float("nan")
    number = ((np.array(times) - times[0]) / (times[-1] - times[0] + 1e-9) * SLOPE_WINDOWS).astype(int)
    windows = [number == index for index in np.unique(number)]
    middles = [(float(np.median(np.array(times)[window])), float(np.median(values[window]))) for window in windows]
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(middles, 2) if x2 > x1]
    return 60 * float(np.median(slopes)) if slopes else float("nan")


class _NoFace:
    """A tracker that finds none."""

    def track(self, picture: object) -> None:
        """Find none."""

    def reset(self) -> None:
        """Have nothing to forget."""
