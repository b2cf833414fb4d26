"""``lipforge live --output webrtc``: browsers see what a live run makes."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from lipforge.kernels.errors import BackendError, InputError
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.live import Avatar, LiveStream, WallClock, paced
from lipforge.runtime.sinks.browser import BrowserSink, browser_port


@pytest.fixture
def sink() -> Iterator[BrowserSink]:
    said: list[str] = []
    made = BrowserSink(0, said.append)
    assert made.address in said[0]
    yield made
    made.close()


@pytest.fixture
def show(
    sink: BrowserSink, bundle: Bundle, disc_tracker: Any, avatar_file: Path, voice: Any
) -> Iterator[threading.Event]:
    """Writes a live stream into the sink, from a thread, until the event is set."""
    stop = threading.Event()
    avatar = Avatar.prepare(avatar_file, bundle, tracker=disc_tracker)

    def work() -> None:
        sink.wait_for_viewer()
        with LiveStream(bundle, avatar) as stream:
            stream.push_audio(voice(48_000 * 20, 48_000), 48_000)
            for frame in paced(stream, WallClock()):
                if stop.is_set():
                    return
                sink.write(frame)
                stream.reuse(frame)

    thread = threading.Thread(target=work)
    thread.start()
    yield stop
    stop.set()
    sink._watched.set()
    thread.join()


async def watch(sink: BrowserSink, browser: Any) -> None:
    browser.connection.addTransceiver("audio", direction="recvonly")
    offer = await browser.offer(receive=True)
    async with aiohttp.ClientSession() as http, http.post(f"{sink.address}offer", json=offer) as answer:
        assert answer.status == 200, await answer.text()
        await browser.accept(await answer.json())


def test_browsers_see_the_stream_and_are_told_its_end(
    sink: BrowserSink, show: threading.Event, open_browser: Callable[[], Any], run_async: Any
) -> None:
    async def body() -> None:
        first, second = open_browser(), open_browser()
        await watch(sink, first)
        await first.until(lambda: len(first.frames) > 5 and len(first.sounds) > 10)
        await watch(sink, second)
        await second.until(lambda: len(second.frames) > 5)
        assert {(frame.width, frame.height) for frame in first.frames + second.frames} == {(160, 120)}
        first.say({"type": "interrupt"})
        await first.until(lambda: any(told["type"] == "refused" for told in first.told))
        await second.close()
        before = len(first.frames)
        await first.until(lambda: len(first.frames) > before + 5)
        show.set()
        await asyncio.to_thread(sink.close)
        await first.until(lambda: first.told[-1]["type"] == "ended")
        await first.close()

    run_async(body())


def test_the_page_only_watches_and_foreign_names_are_refused(sink: BrowserSink, run_async: Any) -> None:
    async def body() -> None:
        async with aiohttp.ClientSession() as http:
            async with http.get(sink.address) as answer:
                assert 'data-mode="watch"' in await answer.text()
            async with http.get(sink.address, headers={"Host": "evil.example"}) as answer:
                assert answer.status == 421
            for path in ("avatars", "voice", "metrics"):
                async with http.get(f"{sink.address}{path}") as answer:
                    assert answer.status == 404

    run_async(body())


def test_a_port_in_use_is_told_before_anything_begins() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(BackendError, match="in use by another program"):
            BrowserSink(taken.getsockname()[1])


def test_ports_in_the_name_of_the_output() -> None:
    assert browser_port("webrtc") is None
    assert browser_port("webrtc:0") == 0
    for wrong in ("webrtc:x", "webrtc:70000", "webrtc:-1"):
        with pytest.raises(InputError, match="webrtc:PORT"):
            browser_port(wrong)
