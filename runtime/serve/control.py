"""The data channel between a page and its stream: commands in, figures out."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from lipforge.kernels.errors import InputError
from lipforge.runtime.serve.live_session import ShownSession
from lipforge.runtime.serve.messages import parse_message
from lipforge.runtime.serve.rate import Rate

if TYPE_CHECKING:
    from aiortc import RTCDataChannel

STATS_PERIOD_S = 0.5
MOST_BUFFERED_BYTES = 64 << 10
MESSAGES_PER_S = 20.0


class Control:
    """Serves one channel; used on the event loop.

    Args:
        channel: opened by the page.
        session: what it is about.
    """

    def __init__(self, channel: RTCDataChannel, session: ShownSession) -> None:
        self._channel, self._session = channel, session
        self._rate = Rate(MESSAGES_PER_S, 2 * MESSAGES_PER_S)
        channel.on("message", self._told)

    async def report(self) -> None:
        """Send figures until the session ends, then that it ended, or why."""
        while not self._session.closed.is_set():
            self._send(self._session.stats())
            try:
                await asyncio.wait_for(self._session.closed.wait(), STATS_PERIOD_S)
            except asyncio.TimeoutError:
                continue
        failure = self._session.failure
        self._send({"type": "error", "message": failure} if failure else {"type": "ended"})

    def _told(self, data: str | bytes) -> None:
        if not self._rate.allow():
            return
        try:
            message = parse_message(data, ("interrupt", "flush"))
            if message["type"] == "interrupt":
                playback = self._session.interrupt()
                self._send({"type": "interrupted", "position": round(playback.played_s, 3)})
            else:
                self._session.flush()
        except InputError as error:
            self._session.misunderstood()
            self._send({"type": "refused", "message": str(error)})

    def _send(self, message: dict[str, object]) -> None:
        if self._channel.readyState == "open" and self._channel.bufferedAmount < MOST_BUFFERED_BYTES:
            self._channel.send(json.dumps(message))
