"""The WebSocket of voice agents: binary messages are speech, text messages are JSON; frames and events come back."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from lipforge.kernels.errors import InputError, LipforgeError
from lipforge.runtime.serve.agent import Agent, open_agent
from lipforge.runtime.serve.messages import parse_message
from lipforge.runtime.serve.places import Place, Places
from lipforge.runtime.serve.rate import Rate
from lipforge.runtime.serve.studio import Studio

if TYPE_CHECKING:
    from aiohttp import web

START_S = 10.0
"""An agent that has not said what it wants by then is sent away."""

HEARTBEAT_S = 15.0
"""How often a ping asks whether the agent is still there."""

POLICY_VIOLATION, TRY_LATER = 1008, 1013
"""Close codes of RFC 6455, section 7.4.1 and the IANA registry."""


class VoiceSocket:
    """Serves one WebSocket from beginning to end.

    Args:
        studio: makes sessions.
        places: bounds them.
    """

    def __init__(self, studio: Studio, places: Places) -> None:
        from aiohttp import web

        self._studio, self._places, self._limits = studio, places, studio.limits
        self._socket = web.WebSocketResponse(max_msg_size=self._limits.audio_message_bytes, heartbeat=HEARTBEAT_S)
        self._rate = Rate(self._limits.messages_per_s, 2 * self._limits.messages_per_s)
        self._bad = 0

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Talk to the agent until it leaves."""
        await self._socket.prepare(request)
        place: Place | None = None
        try:
            place = self._places.take()
            agent = await self._start()
            if agent is not None:
                place.session = agent.session
                await self._talk(agent)
        except LipforgeError as error:
            await self._refuse(str(error), TRY_LATER)
        finally:
            if place is not None:
                if place.session is not None:
                    await place.session.close()
                place.leave()
            await self._socket.close()
        return self._socket

    async def close(self) -> None:
        """End the conversation: the server stops."""
        await self._socket.close(code=1001, message=b"the server stops")

    async def _start(self) -> Agent | None:
        """Wait for a ``start`` message that can be obeyed."""
        deadline = asyncio.get_running_loop().time() + START_S
        while not self._socket.closed and self._bad < self._limits.bad_messages:
            remaining = deadline - asyncio.get_running_loop().time()
            try:
                received = await self._socket.receive(timeout=max(0.0, remaining))
            except asyncio.TimeoutError:
                await self._refuse(f"no start message came within {START_S:.0f} s", POLICY_VIOLATION)
                return None
            if _ends(received):
                return None
            try:
                message = parse_message(_text(received), ("start",))
                return await open_agent(self._studio, message)
            except InputError as error:
                await self._complain(error)
        return None

    async def _talk(self, agent: Agent) -> None:
        await self._send(agent.started())
        sending = asyncio.ensure_future(self._send_all(agent))
        try:
            await self._receive_all(agent)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _receive_all(self, agent: Agent) -> None:
        async for received in self._socket:
            if not self._rate.allow():
                await asyncio.sleep(self._rate.wait_s())  # not read, it waits at the agent
                self._rate.allow()
            try:
                if received.type.name == "BINARY":
                    agent.push(received.data)
                else:
                    agent.act(parse_message(_text(received), ("flush", "interrupt", "format")))
            except InputError as error:
                await self._complain(error)

    async def _send_all(self, agent: Agent) -> None:
        while (item := await agent.next()) is not None:
            if isinstance(item, bytes):
                if item:
                    await self._socket.send_bytes(item)
            else:
                await self._send(item)
        await self._socket.close()

    async def _complain(self, error: InputError) -> None:
        self._bad += 1
        self._studio.metrics.count("bad_messages")
        if self._bad >= self._limits.bad_messages:
            await self._refuse(f"{self._bad} messages could not be used; the last one: {error}", POLICY_VIOLATION)
        else:
            await self._send({"type": "error", "message": str(error), "fatal": False})

    async def _refuse(self, reason: str, code: int) -> None:
        await self._send({"type": "error", "message": reason, "fatal": True})
        await self._socket.close(code=code, message=reason.encode()[:120])

    async def _send(self, message: dict[str, Any]) -> None:
        if not self._socket.closed:
            try:
                await self._socket.send_str(json.dumps(message))
            except ConnectionError:
                return


def _ends(received: Any) -> bool:
    return received.type.name in ("CLOSE", "CLOSING", "CLOSED", "ERROR")


def _text(received: Any) -> str:
    if received.type.name != "TEXT":
        raise InputError("speech came before a start message.")
    return str(received.data)
