"""Speech as the body of a plain POST request; a player's stream of it comes back while the request still goes on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from lipforge.kernels.errors import InputError, LipforgeError
from lipforge.runtime.serve.access import HEADERS, error_response
from lipforge.runtime.serve.agent import MOST_WAITING_S, Agent, open_agent
from lipforge.runtime.serve.places import FullError, Places
from lipforge.runtime.serve.studio import Studio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aiohttp import web

FIRST_BYTES_S = 10.0
"""A request whose speech has not begun by then is sent away; later pauses are the speaker's."""

PIECE_BYTES = 1 << 14
LOOK_AGAIN_S = 0.05

NUMBERS, WORDS = ("sample_rate", "channels"), ("avatar",)


class VoicePost:
    """Answers one request with a WebM stream that ends when all of its speech was heard.

    Args:
        studio: makes sessions.
        places: bounds them.
    """

    def __init__(self, studio: Studio, places: Places) -> None:
        self._studio, self._places = studio, places
        self._ahead_ms = 500 * studio.limits.audio_ahead_s

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve the request from beginning to end."""
        try:
            place = self._places.take()
        except FullError as error:
            return error_response(503, str(error))
        try:
            message = start_message(request.query)
            body = request.content.iter_chunked(PIECE_BYTES)
            try:
                first = await asyncio.wait_for(anext(body, b""), FIRST_BYTES_S)
            except asyncio.TimeoutError:
                return error_response(408, f"no speech came within {FIRST_BYTES_S:.0f} s")
            if not first:
                raise InputError("the body is empty; it is speech, signed 16-bit little-endian samples.")
            agent = await open_agent(self._studio, message)
            place.session = agent.session
            return await self._answer(request, agent, _then(first, body))
        except LipforgeError as error:
            return error_response(400, str(error))
        finally:
            if place.session is not None:
                await place.session.close()
            place.leave()

    async def _answer(self, request: web.Request, agent: Agent, body: AsyncIterator[bytes]) -> web.StreamResponse:
        from aiohttp import web

        response = web.StreamResponse(headers=HEADERS)
        response.content_type = "video/webm"
        await response.prepare(request)
        reading = asyncio.ensure_future(self._push_all(agent, body))
        try:
            whole = await self._send_all(agent, response, reading)
        except (ConnectionError, asyncio.TimeoutError):  # the client has left, or takes nothing any more
            whole = False
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        if whole:
            await response.write_eof()
        elif request.transport is not None:
            request.transport.abort()  # an end like any other would look as if nothing were missing
        return response

    async def _push_all(self, agent: Agent, body: AsyncIterator[bytes]) -> None:
        """Push the body, so far ahead of what was heard as the server allows."""
        sample_bytes, rest = 2 * agent.voice.channels, b""
        async for piece in body:
            data = rest + piece
            used = len(data) // sample_bytes * sample_bytes
            agent.push(data[:used])
            rest = data[used:]
            while agent.session.stream.queued_audio_ms > self._ahead_ms:
                await asyncio.sleep(LOOK_AGAIN_S)  # not read, it waits at the client
        agent.act({"type": "flush"})

    async def _send_all(self, agent: Agent, response: web.StreamResponse, reading: asyncio.Future[None]) -> bool:
        """Send until the utterance was heard; tell whether it was."""
        while (item := await agent.next()) is not None:
            if reading.done() and reading.exception() is not None:  # the body broke off
                return False
            if isinstance(item, bytes):
                await asyncio.wait_for(response.write(item), MOST_WAITING_S)
            elif item.get("finished"):
                await asyncio.wait_for(response.write(await agent.rest()), MOST_WAITING_S)
                return True
        return False


def start_message(query: Mapping[str, str]) -> dict[str, Any]:
    """Return what a voice agent would have said first, from the query of an address.

    Raises:
        InputError: there is a name that means nothing, or a number that is none.
    """
    message: dict[str, Any] = {"output": "webm"}
    for name, value in query.items():
        if name not in (*NUMBERS, *WORDS):
            raise InputError(f"?{name} is not known; allowed are {', '.join((*NUMBERS, *WORDS))}.")
        if name in NUMBERS and not (value.isascii() and value.isdigit() and len(value) < 7):
            raise InputError(f"?{name}={value[:20]} is no whole number.")
        message[name] = int(value) if name in NUMBERS else value
    return message


async def _then(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece
