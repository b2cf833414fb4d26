"""A voice agent's session: its speech in, frames or events out. The transport is somebody else's."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lipforge.kernels.errors import InputError
from lipforge.runtime.live import LiveFrame, LiveOptions, Playback
from lipforge.runtime.serve.agent_frame import PictureOptions, packed
from lipforge.runtime.serve.live_session import LiveSession
from lipforge.runtime.serve.messages import field, one_of, text_up_to, whole
from lipforge.runtime.serve.studio import Studio
from lipforge.runtime.serve.webm_stream import WebmStream

Pack = Callable[[LiveFrame, bool], bytes]
Rest = Callable[[], bytes]

PROGRESS_S = 0.25
"""How often the agent is told how far its speech is."""

MOST_WAITING_FRAMES = 12
"""Frames that a slow agent does not take in time lose their picture, oldest first; their audio stays."""

MOST_WAITING_S = 10.0

RATES_HZ = (8_000, 96_000)


@dataclass(frozen=True)
class VoiceFormat:
    """Format of the speech that an agent sends: s16le, interleaved."""

    rate_hz: int
    channels: int

    @classmethod
    def of(cls, message: dict[str, Any]) -> VoiceFormat:
        """Read ``sample_rate`` and ``channels``.

        Raises:
            InputError: a value is not allowed.
        """
        rates = f"whole numbers from {RATES_HZ[0]} to {RATES_HZ[1]}"
        rate_hz = field(message, "sample_rate", whole(*RATES_HZ), rates)
        return cls(rate_hz, field(message, "channels", whole(1, 2, default=1), "1 and 2"))


@dataclass(eq=False)
class _Held:
    """A frame that waits to be sent, and whether its picture still goes with it."""

    frame: LiveFrame
    pictured: bool = True


class Agent:
    """One agent; used on the event loop. Made by ``open_agent``.

    Args:
        session: its stream.
        voice: format of its speech.
        pack: makes a message of a frame, with or without its picture, in a thread; an empty one is not sent. None sends
            none (somebody looks at them over WebRTC).
        rest: gives the end of what ``pack`` began.
    """

    def __init__(self, session: LiveSession, voice: VoiceFormat, pack: Pack | None, rest: Rest = bytes) -> None:
        self.session, self.voice, self._pack, self._rest = session, voice, pack, rest
        self._items: deque[dict[str, Any] | _Held] = deque()
        self._pictured: deque[_Held] = deque()
        self._news = asyncio.Event()
        self._told_at = 0.0
        session.on_frame = self._take

    def push(self, data: bytes) -> None:
        """Append speech, s16le.

        Raises:
            InputError: it is not whole samples, or too much of it waits.
        """
        if len(data) % (2 * self.voice.channels):
            raise InputError(f"{len(data)} bytes are not whole samples of 16 bits and {self.voice.channels} channels.")
        pcm = np.frombuffer(data, "<i2").astype(np.int16).reshape(-1, self.voice.channels)
        self.session.stream.push_audio(pcm, self.voice.rate_hz)
        self.session.heard_first_audio()

    def act(self, message: dict[str, Any]) -> None:
        """Do what a message asks for: ``flush``, ``interrupt`` or ``format``.

        Raises:
            InputError: its values are not allowed.
        """
        if message["type"] == "flush":
            self.session.stream.flush()
        elif message["type"] == "interrupt":
            playback = self.session.interrupt()
            self._silence()
            self._items.appendleft({"type": "interrupted", **_position(playback)})
            self._news.set()
        else:
            self.voice = VoiceFormat.of(message)

    def started(self) -> dict[str, Any]:
        """Return the first event: what the agent can rely on."""
        stream = self.session.stream
        return {
            "type": "started",
            "session": self.session.id,
            "sample_rate": self.session.rate_hz,
            "fps": round(float(1 / stream.period), 3),
            "lookahead_ms": round(float(1000 * stream.lookahead), 1),
        }

    async def next(self) -> dict[str, Any] | bytes | None:
        """Wait for the next event (a JSON object) or frame (a message); None once the session has ended.

        What is told about a frame comes after it.
        """
        while not self._items:
            if self.session.closed.is_set():
                return self._farewell()
            self._news.clear()
            await _first(self._news, self.session.closed)
        item = self._items.popleft()
        if not isinstance(item, _Held):
            return item
        if self._pictured and self._pictured[0] is item:
            self._pictured.popleft()
        assert self._pack is not None
        loop = asyncio.get_running_loop()
        message = await loop.run_in_executor(self.session.executor, self._pack, item.frame, item.pictured)
        self.session.stream.reuse(item.frame)
        self.session.left(float(item.frame.pts))
        return message

    async def rest(self) -> bytes:
        """Return the end of the stream that the messages are pieces of; nothing of where they stand for themselves."""
        return await asyncio.get_running_loop().run_in_executor(self.session.executor, self._rest)

    def _take(self, frame: LiveFrame) -> None:
        if self._pack is not None:
            self._hold(_Held(frame))
        for playback in frame.finished:
            self._items.append({"type": "played_until", **_position(playback), "finished": True})
        if frame.stats.driven and float(frame.pts) - self._told_at >= PROGRESS_S:
            self._told_at = float(frame.pts)
            self._items.append({"type": "played_until", **_position(frame.playback), "finished": False})
        self._news.set()

    def _hold(self, held: _Held) -> None:
        self._items.append(held)
        self._pictured.append(held)
        if len(self._pictured) > MOST_WAITING_FRAMES:
            self._pictured.popleft().pictured = False
            self.session.playout.dropped += 1
        oldest = next(item for item in self._items if isinstance(item, _Held))
        if held.frame.pts - oldest.frame.pts > MOST_WAITING_S:
            self.session.failure = "the agent takes no frames any more"
            self.session.stream.close()

    def _silence(self) -> None:
        """Take their sound from the frames that wait; its time goes on, so that the samples stay without gap."""
        for item in self._items:
            if isinstance(item, _Held):
                item.frame = replace(item.frame, audio=np.zeros_like(item.frame.audio))

    def _farewell(self) -> dict[str, Any] | None:
        """Return why the session ended, once, if it was not asked to."""
        failure, self.session.failure = self.session.failure, None
        return {"type": "error", "message": failure, "fatal": True} if failure else None


async def open_agent(studio: Studio, message: dict[str, Any]) -> Agent:
    """Start a session as a ``start`` message asks for it.

    Args:
        studio: makes it.
        message: ``sample_rate``; and, each optional, ``channels``, ``avatar``, ``output`` (``frames``, ``webm`` or
            ``webrtc``), ``width`` and ``quality`` of the pictures.

    Raises:
        InputError: a value is not allowed, or there is no such avatar.
    """
    voice = VoiceFormat.of(message)
    output = field(message, "output", one_of("frames", "webm", "webrtc"), "frames, webm and webrtc")
    width = field(message, "width", whole(16, 4096, default=4096), "whole numbers from 16 to 4096")
    quality = field(message, "quality", whole(1, 100, default=85), "whole numbers from 1 to 100")
    avatar_id = None if message.get("avatar") is None else field(message, "avatar", text_up_to(80), "an avatar's id")
    options = LiveOptions(sample_rate_hz=voice.rate_hz, channels=1, audio_queue_ms=1000 * studio.limits.audio_ahead_s)
    session = await studio.open("agent", studio.avatar(avatar_id), options, microphone=False)
    if output == "webrtc":
        return Agent(session, voice, None)
    if output == "webm":
        webm = WebmStream(1 / session.stream.period)
        return Agent(session, voice, webm.add, webm.close)
    pictures = PictureOptions(width, quality)
    return Agent(session, voice, lambda frame, pictured: packed(frame, pictures if pictured else None))


def _position(playback: Playback) -> dict[str, Any]:
    return {"utterance": playback.utterance, "position": round(playback.played_s, 3)}


async def _first(*events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
