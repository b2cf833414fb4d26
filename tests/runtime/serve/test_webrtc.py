"""Two real peers in one process: what a browser sends comes back synced, in step and in time."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import aiohttp
import aioice.ice
import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack
from aiortc.codecs.vpx import Vp8Encoder

from lipforge.runtime.serve.av_probe import probe_av
from lipforge.runtime.serve.flash_beep import BeepTrack, FlashTrack, Stopwatch
from lipforge.runtime.serve.options import Limits


def tracks() -> tuple[FlashTrack, BeepTrack]:
    watch = Stopwatch(asyncio.get_running_loop().time)
    return FlashTrack(watch), BeepTrack(watch)


def test_picture_and_sound_come_back_in_step(make_studio: Any, run_async: Any) -> None:
    """Loose bounds: this machine may do ten things at once. docs/serve.md has what was measured, and how.

    That frames and sound belong together whatever the load is shown by test_incoming.py and test_tracks.py.
    """
    report = run_async(probe_av(make_studio(), 4.0, warm_up_s=1.0))
    print(report.text())
    assert report.frames > 0
    assert report.latency_ms[0] < 10_000
    if report.pairs >= 3:
        assert abs(report.offset_ms[0]) < 450


def test_a_picture_that_takes_long_to_encode_does_not_delay_its_sound(
    make_studio: Any, run_async: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = Vp8Encoder.encode

    def slowly(encoder: Vp8Encoder, frame: Any, force_keyframe: bool = False) -> Any:
        time.sleep(0.15)
        return encode(encoder, frame, force_keyframe)

    monkeypatch.setattr(Vp8Encoder, "encode", slowly)
    report = run_async(probe_av(make_studio(), 8.0, warm_up_s=2.0))
    print(report.text())
    assert report.pairs >= 3
    # Only three pictures of a flash, 40 ms apart: where the first of them is left out the flash comes later.
    assert -100 < report.offset_ms[0] < 30


def test_an_avatar_speaks_what_a_microphone_hears(serving: Any, connect: Any, run_async: Any) -> None:
    async def body() -> None:
        async with serving() as running:
            browser = await connect(running, tracks()[1], receive=True, source="avatar", avatar="disc-face")
            await browser.until(lambda: len(browser.frames) > 20 and len(browser.sounds) > 40)
            assert {(frame.width, frame.height) for frame in browser.frames} == {(160, 120)}
            assert "VP8" in browser.connection.remoteDescription.sdp.split("m=video")[1].split("a=rtpmap:")[1]
            streams = re.findall(r"a=msid:(\S+)", browser.connection.remoteDescription.sdp)
            assert len(streams) == 2
            assert len(set(streams)) == 1  # or the browser would not play them in step
            pts = [frame.pts for frame in browser.frames]
            assert pts == sorted(set(pts))
            await browser.until(lambda: any(message["type"] == "stats" for message in browser.told))
            stats = browser.told[-1]
            assert (stats["width"], stats["height"], stats["face"]) == (160, 120, True)
            await browser.until(lambda: browser.told[-1].get("driven", 0) > 0)
            assert running.studio.metrics.counter("frames_driven") > 0
            await browser.close()
            await running.emptied()

    run_async(body())


def test_commands_over_the_data_channel(serving: Any, connect: Any, run_async: Any) -> None:
    async def body() -> None:
        async with serving() as running:
            browser = await connect(running, *tracks(), source="camera")
            await browser.until(lambda: browser.frames and browser.channel.readyState == "open")
            browser.say({"type": "interrupt"})
            browser.say({"type": "flush"})
            browser.say("{not json")
            browser.say({"type": "shutdown"})
            kinds = ("interrupted", "refused")
            await browser.until(lambda: sum(message["type"] in kinds for message in browser.told) == 3)
            before = len(browser.frames)
            await browser.until(lambda: len(browser.frames) > before + 10)  # the stream goes on
            assert running.studio.metrics.counter("interrupts") == 1
            await browser.close()

    run_async(body())


def test_places_are_counted_refused_and_given_back(
    serving: Any, connect: Any, open_browser: Any, run_async: Any
) -> None:
    async def body() -> None:
        async with serving(Limits(sessions=1)) as running, aiohttp.ClientSession() as http:
            first = await connect(running, *tracks(), source="camera")
            second = open_browser()
            offer = await second.offer(*tracks())
            async with http.post(running.url("/offer"), json=offer) as answer:
                assert answer.status == 503
                assert "1 places" in (await answer.json())["error"]
            async with http.get(running.url("/metrics")) as answer:
                text = await answer.text()
            assert 'lipforge_sessions{kind="camera"} 1' in text
            assert "lipforge_streams_refused_total 1" in text
            await first.until(lambda: first.frames)  # who leaves before that is noticed later, as one who vanished
            await first.close()
            await running.emptied()
            async with http.post(running.url("/offer"), json=offer) as answer:
                assert answer.status == 200
                await second.accept(await answer.json())
            await second.until(lambda: second.frames)
            await second.close()

    run_async(body())


def test_a_client_that_vanishes_leaves_others_alone_and_frees_its_place(
    serving: Any, connect: Any, hire: Any, run_async: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aioice.ice, "CONSENT_INTERVAL", 0.3)  # RFC 7675 says 5 s
    monkeypatch.setattr(aioice.ice, "CONSENT_FAILURES", 6)

    async def body() -> None:
        async with serving() as running, hire(running, sample_rate=16_000) as stays:
            goes = await connect(running, *tracks(), source="camera")
            await goes.until(lambda: goes.frames)
            goes.vanish()
            await stays.until(lambda: len(running.server.places._taken) == 1)
            before = len(stays.frames)
            await stays.until(lambda: len(stays.frames) > before + 10)
            await goes.close()

    run_async(body())


class StrangeCamera(MediaStreamTrack):
    """Odd sizes, other sizes, other formats, and timestamps that leap and fall."""

    kind = "video"
    sizes = ((160, 120), (161, 121), (320, 240), (90, 160), (1, 1), (160, 120))

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    async def recv(self) -> av.VideoFrame:
        await asyncio.sleep(0.03)
        width, height = self.sizes[self.count // 8 % len(self.sizes)]
        image = np.full((height, width, 3), self.count % 200, np.uint8)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
        leap = (0, 90_000 * 3600, -90_000 * 1800)[self.count // 16 % 3]
        frame.pts, frame.time_base = max(0, self.count * 2700 + leap), Fraction(1, 90_000)
        self.count += 1
        return frame


def test_sizes_that_change_and_clocks_that_leap_do_no_harm(serving: Any, connect: Any, run_async: Any) -> None:
    async def body() -> None:
        async with serving() as running:
            camera = StrangeCamera()
            browser = await connect(running, camera, tracks()[1], source="camera")
            await browser.until(lambda: camera.count > 120 and len(browser.sounds) > 100)
            before = len(browser.frames)
            await browser.until(lambda: len(browser.frames) > before + 5)
            assert {(161, 121), (320, 240)} <= {(frame.width, frame.height) for frame in browser.frames}
            assert running.studio.metrics.counter("streams_failed") == 0
            await browser.close()
            await running.emptied()

    run_async(body())


def test_a_camera_without_a_microphone_is_shown(serving: Any, connect: Any, run_async: Any) -> None:
    async def body() -> None:
        async with serving() as running:
            browser = await connect(running, tracks()[0], source="camera")
            await browser.until(lambda: len(browser.frames) > 20)
            await browser.close()

    run_async(body())


def test_pictures_larger_than_allowed_are_left_out(serving: Any, connect: Any, run_async: Any) -> None:
    async def body() -> None:
        async with serving(Limits(frame_pixels=200 * 200)) as running:
            browser = await connect(running, *tracks(), source="camera")
            await browser.until(lambda: browser.channel.readyState == "open" and len(browser.told) > 3)
            assert not browser.frames
            await browser.close()
            await running.emptied()

    run_async(body())


def _connect_again_and_again(times: int, serving: Any, connect: Any) -> Any:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0

    async def body() -> tuple[tuple[int, ...], tuple[int, ...]]:
        async with serving() as running:
            counts = []
            for number in range(times):
                browser = await connect(running, *tracks(), source="camera")
                await browser.until(lambda browser=browser: browser.frames)
                await browser.close()
                await running.emptied()
                if number in (times * 6 // 10, times - 1):
                    gc.collect()
                    await asyncio.sleep(0.3)
                    counts.append((descriptors(), threading.active_count(), len(asyncio.all_tasks()), _memory_kb()))
            return counts[0], counts[1]

    return body()


def _memory_kb() -> int:
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS")), 0)


def test_connecting_again_leaves_nothing_behind(serving: Any, connect: Any, run_async: Any) -> None:
    early, late = run_async(_connect_again_and_again(4, serving, connect))
    assert late[:3] <= (early[0] + 1, early[1] + 1, early[2] + 1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fifty_connects_leave_memory_threads_and_descriptors_flat(serving: Any, connect: Any) -> None:
    """After 70 more, in which the C library's arenas find their size."""
    early, late = asyncio.run(asyncio.wait_for(_connect_again_and_again(120, serving, connect), 880))
    print(f"descriptors, threads, tasks, memory in KB after 73 connects: {early}, after 120: {late}")
    assert all(after <= before + 1 for before, after in zip(early[:3], late[:3], strict=True))
    assert late[3] - early[3] < 8_000
