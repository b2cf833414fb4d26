"""A server of the real parts, in this process and on a port of its own, with a tiny model and drawn faces."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from lipforge.runtime.bundle import Bundle
from lipforge.runtime.serve.options import Limits, ServeOptions
from lipforge.runtime.serve.studio import Studio

for package in ("aiohttp", "aiortc"):
    if importlib.util.find_spec(package) is None:
        collect_ignore_glob = ["test_app.py", "test_webrtc.py", "test_voice_socket.py", "test_faults.py"]

TEST_S = 120.0
WAIT_S = 30.0


class Running:
    """A server that runs; ``url("/health")`` is an address of it."""

    def __init__(self, server: Any, studio: Studio, port: int) -> None:
        self.server, self.studio, self.port = server, studio, port

    def url(self, path: str, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    async def emptied(self, seconds: float = 10.0) -> None:
        """Wait until no place is taken."""
        end = asyncio.get_running_loop().time() + seconds
        while self.server.places._taken:
            assert asyncio.get_running_loop().time() < end, "a place was not given back"
            await asyncio.sleep(0.02)


Serving = Callable[..., Any]


@pytest.fixture
def make_studio(bundle: Bundle, disc_tracker: Any) -> Callable[..., Studio]:
    """Makes what sessions share; every session finds drawn discs by itself."""
    specs = bundle.manifest

    def make(limits: Limits | None = None) -> Studio:
        return Studio(bundle, limits or Limits(), lambda: type(disc_tracker)(specs.crop, specs.lips), threads=2)

    return make


@pytest.fixture
def avatar_file(tmp_path: Path, scene: Callable[..., np.ndarray]) -> Path:
    path = tmp_path / "Disc Face.png"
    cv2.imwrite(str(path), scene(160, 120, 0))
    return path


@pytest.fixture
def serving(make_studio: Callable[..., Studio], avatar_file: Path) -> Serving:
    """``async with serving(limits=..., token=...) as running``: a server with one avatar."""
    from aiohttp import web

    from lipforge.runtime.serve.app import Server

    @asynccontextmanager
    async def run(limits: Limits | None = None, *, avatar: bool = True, **options: Any) -> AsyncIterator[Running]:
        studio = make_studio(limits)
        if avatar:
            studio.add_file(avatar_file)
        server = Server(ServeOptions(limits=limits or Limits(), **options), studio)
        runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=2.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield Running(server, studio, runner.addresses[0][1])
        finally:
            await runner.cleanup()
            studio.close()

    return run


@pytest.fixture
def run_async() -> Callable[[Awaitable[Any]], Any]:
    """Runs a coroutine to its end, within a time."""

    def run(work: Any) -> Any:
        return asyncio.run(asyncio.wait_for(work, TEST_S))

    return run


@pytest.fixture
def load_example(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    """``load_example("livekit_avatar", stand_ins)``: a module of docs/examples that imports these instead."""

    def load(name: str, stand_ins: dict[str, Any]) -> ModuleType:
        for module_name, module in stand_ins.items():
            monkeypatch.setitem(sys.modules, module_name, module)
        path = Path(__file__).parents[3] / "docs" / "examples" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"{name}_example", path)
        assert spec is not None
        assert spec.loader is not None
        example = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(example)
        return example

    return load


class Browser:
    """A peer that does what the page does: sends what it is given, keeps what comes back."""

    def __init__(self) -> None:
        from aiortc import RTCConfiguration, RTCPeerConnection

        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.connection.on("track", self._on_track)
        self.frames: list[Any] = []
        self.sounds: list[Any] = []
        self.told: list[dict[str, Any]] = []
        self.channel = self.connection.createDataChannel("control")
        self.channel.on("message", lambda data: self.told.append(json.loads(data)))
        self._tasks: list[asyncio.Task[None]] = []

    async def offer(self, *tracks: Any, receive: bool = False) -> dict[str, str]:
        """Return an offer with these tracks; with ``receive`` a video is asked for without giving one."""
        for track in tracks:
            self.connection.addTrack(track)
        if receive:
            self.connection.addTransceiver("video", direction="recvonly")
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return {"sdp": self.connection.localDescription.sdp, "type": "offer"}

    async def accept(self, answer: dict[str, str]) -> None:
        from aiortc import RTCSessionDescription

        await self.connection.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))

    async def until(self, condition: Callable[[], object], seconds: float = WAIT_S) -> None:
        end = asyncio.get_running_loop().time() + seconds
        while not condition():
            assert asyncio.get_running_loop().time() < end, (len(self.frames), len(self.sounds), self.told[-3:])
            await asyncio.sleep(0.02)

    def say(self, message: object) -> None:
        self.channel.send(message if isinstance(message, str) else json.dumps(message))

    def vanish(self) -> None:
        """Be gone without a word: the network cable is pulled."""

        async def swallow(*_: object) -> None:
            pass

        for transceiver in self.connection.getTransceivers():
            for protocol in transceiver.receiver.transport.transport._connection._protocols:
                protocol.datagram_received = lambda *_: None
                protocol.send_data, protocol.send_stun = swallow, lambda *_: None

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self.connection.close()

    def _on_track(self, track: Any) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(self._take(track)))

    async def _take(self, track: Any) -> None:
        from aiortc.mediastreams import MediaStreamError

        kept = self.frames if track.kind == "video" else self.sounds
        with suppress(MediaStreamError):
            while True:
                kept.append(await track.recv())


@pytest.fixture
def open_browser() -> Callable[[], Browser]:
    return Browser


@pytest.fixture
def connect(open_browser: Callable[[], Browser]) -> Callable[..., Awaitable[Browser]]:
    """``await connect(running, *tracks, source=...)``: a browser whose stream has begun."""
    import aiohttp

    async def make(running: Running, *tracks: Any, receive: bool = False, **choice: str) -> Browser:
        browser = open_browser()
        offer = await browser.offer(*tracks, receive=receive)
        async with aiohttp.ClientSession() as http, http.post(running.url("/offer"), json=offer | choice) as answer:
            assert answer.status == 200, await answer.text()
            await browser.accept(await answer.json())
        return browser

    return make


class Agent:
    """A voice agent at its WebSocket: sorts what comes into frames and events."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []
        self.frames: list[dict[str, Any]] = []
        self.webm = b""
        self._task = asyncio.get_running_loop().create_task(self._read())

    async def say(self, message: object) -> None:
        if isinstance(message, bytes):
            await self.socket.send_bytes(message)
        else:
            await self.socket.send_str(message if isinstance(message, str) else json.dumps(message))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    async def until(self, condition: Callable[[], object], seconds: float = WAIT_S) -> None:
        end = asyncio.get_running_loop().time() + seconds
        while not condition():
            assert asyncio.get_running_loop().time() < end, (self.events[-5:], len(self.frames))
            await asyncio.sleep(0.02)

    async def close(self) -> None:
        await self.socket.close()
        await self._task

    async def _read(self) -> None:
        async for message in self.socket:
            if message.type.name == "TEXT":
                self.events.append(json.loads(message.data))
            elif self.webm or not message.data.startswith(b"LFF1"):
                self.webm += message.data
            else:
                self.frames.append(unpacked(message.data))


def unpacked(data: bytes) -> dict[str, Any]:
    """Read a frame as docs/serve.md describes it, without the server's own code."""
    magic, flags, channels, zero, rate_hz, audio, image, epoch, start, pts = struct.unpack_from("<4sBBHIIIIQd", data)
    assert (magic, zero, len(data)) == (b"LFF1", 0, 40 + audio + image)
    samples = np.frombuffer(data, "<i2", audio // 2, 40).reshape(-1, channels)
    picture = cv2.imdecode(np.frombuffer(data, np.uint8, image, 40 + audio), cv2.IMREAD_COLOR) if image else None
    known = {"driven": bool(flags & 1), "rate_hz": rate_hz, "epoch": epoch, "start": start, "pts": pts}
    return known | {"audio": samples, "image": picture}


@pytest.fixture
def hire() -> Callable[..., Any]:
    """``async with hire(running, sample_rate=16000) as agent``: a voice agent that has started."""
    import aiohttp

    @asynccontextmanager
    async def run(running: Running, **start: Any) -> AsyncIterator[Agent]:
        async with aiohttp.ClientSession() as http, http.ws_connect(running.url("/voice", "ws")) as socket:
            agent = Agent(socket)
            if start:
                await agent.say({"type": "start"} | start)
                await agent.until(lambda: agent.of("started"))
            yield agent
            await agent.close()

    return run


@pytest.fixture
def chromium(tmp_path: Path) -> Callable[..., Any]:
    """``async with chromium(camera, microphone) as page``: the real browser; skips where there is none."""
    spec = importlib.util.spec_from_file_location("chromium_driver", Path(__file__).with_name("chromium.py"))
    assert spec is not None
    assert spec.loader is not None
    driver = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(driver)
    if driver.find_chromium() is None:
        pytest.skip("no Chromium is installed; `apt-get install chromium` brings one")
    return lambda camera, microphone, **options: driver.Chromium(tmp_path / "profile", camera, microphone, **options)
