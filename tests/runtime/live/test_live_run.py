"""Runs between made-up sources and destinations."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, active_count

import numpy as np
import pytest

from lipforge.kernels.errors import InputError
from lipforge.runtime.live import Avatar, LiveFrame, LiveStream
from lipforge.runtime.live.live_run import LiveRun, LiveStatus

RATE_HZ = 16_000
Open = Callable[..., LiveStream]


class Voice:
    """Gives a tone, in blocks of 20 ms; as time goes by, or as fast as it is taken."""

    def __init__(self, seconds: float, *, paced: bool = False, fault: Exception | None = None) -> None:
        self._seconds, self.paced, self._fault = seconds, paced, fault
        self.sample_rate_hz = RATE_HZ

    def run(self, push: Callable[[np.ndarray, int], None], stop: Event, say: Callable[[str], None]) -> None:
        tone = 0.3 * np.sin(np.arange(320) / 5).astype(np.float32)
        for _ in range(round(self._seconds * 50)):
            if stop.wait(0.02 if self.paced else 0):
                return
            push(tone, RATE_HZ)
        if self._fault is not None:
            raise self._fault


class Camera:
    """Gives so many frames at 25 a second, then nothing more, until it is told to stop."""

    fps = 25.0

    def __init__(self, scene: Callable[..., np.ndarray], frames: int, *, ends: bool = False) -> None:
        self._scene, self._frames, self._ends = scene, frames, ends

    def run(self, push: Callable[[np.ndarray], None], stop: Event, say: Callable[[str], None]) -> None:
        for index in range(self._frames):
            push(self._scene(160, 120, index))
            if stop.wait(0.04):
                return
        if not self._ends:
            stop.wait()


class Screen:
    """Keeps what it is shown; may be closed by whoever watches."""

    def __init__(self, *, paced: bool = False, closed_after: int | None = None) -> None:
        self.paced, self._closed_after = paced, closed_after
        self.frames: list[LiveFrame] = []
        self.closed = 0

    def write(self, frame: LiveFrame) -> None:
        if len(self.frames) == self._closed_after:
            raise StopIteration
        self.frames.append(frame)

    def close(self) -> None:
        self.closed += 1


def spoken(screen: Screen) -> float:
    return sum(len(frame.audio) for frame in screen.frames) / RATE_HZ


def test_from_files_to_a_file_time_does_not_matter(open_stream: Open, avatar: Avatar) -> None:
    screen, seen = Screen(), list[LiveStatus]()
    run = LiveRun(open_stream(avatar), Voice(20.0), [screen])
    assert not run.paced
    stats = run.run(Event(), print, seen.append)
    assert len(screen.frames) == stats.frames == 500
    assert stats.dropped_frames == 0
    assert stats.filled_s == 0
    assert screen.closed == 1


def test_a_microphone_paces(open_stream: Open, avatar: Avatar) -> None:
    screen, before = Screen(paced=True), active_count()
    stats = LiveRun(
        open_stream(avatar, late_audio_ms=500.0, sample_rate_hz=RATE_HZ), Voice(1.0, paced=True), [screen]
    ).run(Event(), print)
    # However late its blocks come on a busy machine, all of them leave; silence may stand between them.
    sounding = sum(int(np.count_nonzero(frame.audio)) for frame in screen.frames)
    assert sounding == pytest.approx(RATE_HZ, rel=0.01)
    assert stats.audio_s == pytest.approx(spoken(screen))
    assert active_count() == before


def test_a_camera_that_ends_ends_the_run(open_stream: Open, scene: Callable[..., np.ndarray]) -> None:
    screen = Screen(paced=True)
    run = LiveRun(open_stream(late_audio_ms=5000.0), Voice(30.0), [screen], Camera(scene, 8, ends=True))
    run.run(Event(), print)
    assert 1 <= len(screen.frames) <= 9


def test_a_camera_that_hangs_leaves_its_last_picture(open_stream: Open, scene: Callable[..., np.ndarray]) -> None:
    screen = Screen(paced=True)
    stream = open_stream(late_audio_ms=5000.0)
    LiveRun(stream, Voice(30.0), [screen], Camera(scene, 3), longest_s=2.0).run(Event(), print)
    assert screen.frames[-1].pts >= 1.9
    late = [frame for frame in screen.frames if frame.pts > 1.0]
    assert late
    assert max(len(frame.audio) for frame in late) < RATE_HZ
    corner = scene(160, 120, 2)[:4, :4]
    assert all(np.array_equal(frame.image[:4, :4], corner) for frame in late)


def test_a_camera_goes_on_until_all_was_said(open_stream: Open, scene: Callable[..., np.ndarray]) -> None:
    screen = Screen(paced=True)
    stream = open_stream(late_audio_ms=5000.0, sample_rate_hz=RATE_HZ)
    LiveRun(stream, Voice(0.8), [screen], Camera(scene, 500)).run(Event(), print)
    sounding = sum(int(np.count_nonzero(frame.audio)) for frame in screen.frames)
    assert sounding == pytest.approx(0.8 * RATE_HZ, rel=0.01)


@pytest.mark.parametrize("sinks", [1, 2])
def test_a_closed_window_ends_the_run(open_stream: Open, avatar: Avatar, sinks: int) -> None:
    screens = [Screen(closed_after=5), *[Screen() for _ in range(sinks - 1)]]
    LiveRun(open_stream(avatar), Voice(20.0), screens).run(Event(), print)
    assert [screen.closed for screen in screens] == [1] * sinks
    assert len(screens[0].frames) == 5


def test_stop_ends_the_run(open_stream: Open, avatar: Avatar) -> None:
    stop = Event()
    stop.set()
    screen = Screen(paced=True)
    LiveRun(open_stream(avatar), Voice(20.0, paced=True), [screen]).run(stop, print)
    assert screen.closed == 1


def test_a_fault_of_a_source_is_told_after_the_sinks_are_closed(open_stream: Open, avatar: Avatar) -> None:
    screen, before = Screen(), active_count()
    with pytest.raises(InputError, match="unplugged"):
        LiveRun(open_stream(avatar), Voice(0.5, fault=InputError("unplugged")), [screen]).run(Event(), print)
    assert screen.closed == 1
    assert active_count() == before


def test_a_fault_of_a_sink_closes_all(open_stream: Open, avatar: Avatar) -> None:
    class Broken(Screen):
        def write(self, frame: LiveFrame) -> None:
            raise InputError("disk full")

    broken, other = Broken(), Screen()
    with pytest.raises(InputError, match="disk full"):
        LiveRun(open_stream(avatar), Voice(5.0), [broken, other]).run(Event(), print)
    assert (broken.closed, other.closed) == (1, 1)
