"""Taking frames from a live stream as time goes by, in a thread or in asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor
from threading import Event
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lipforge.runtime.live.live_frame import LiveFrame
    from lipforge.runtime.live.live_stream import LiveStream

LONGEST_WAIT_S = 0.02
"""With a clock, the stream is looked at this often while it waits for late audio or a camera's frame."""


class Clock(Protocol):
    """Says how many seconds of a stream should be over; ``WallClock`` and ``AudioClock`` are some."""

    def now(self) -> float:
        """Return the stream's time in seconds."""


def paced(stream: LiveStream, clock: Clock | None = None, stop: Event | None = None) -> Iterator[LiveFrame]:
    """Yield frames when they are due, until the stream has ended or is closed.

    Args:
        stream: whose only taker this is.
        clock: when frames are due; None yields them as soon as their audio is there.
        stop: ends it when it is set.
    """
    while not (stream.ended or (stop is not None and stop.is_set())):
        seen = stream.changes
        frame = stream.next_frame(None if clock is None else clock.now())
        if frame is not None:
            yield frame
        elif not stream.ended:
            stream.wait(seen, _wait_s(stream, clock) if clock is not None or stop is None else LONGEST_WAIT_S)


async def paced_async(
    stream: LiveStream, clock: Clock | None = None, executor: Executor | None = None
) -> AsyncIterator[LiveFrame]:
    """As ``paced``; pictures are computed in a thread of ``executor`` (asyncio's own by default)."""
    loop, news = asyncio.get_running_loop(), asyncio.Event()

    def tell() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(news.set)

    remove = stream.add_listener(tell)
    try:
        while not stream.ended:
            news.clear()
            now = None if clock is None else clock.now()
            frame = await loop.run_in_executor(executor, stream.next_frame, now)
            if frame is not None:
                yield frame
            elif not stream.ended:
                try:
                    await asyncio.wait_for(news.wait(), _wait_s(stream, clock))
                except asyncio.TimeoutError:  # in Python 3.10 not yet the built-in one
                    continue
    finally:
        remove()


def _wait_s(stream: LiveStream, clock: Clock | None) -> float | None:
    if clock is None:
        return None
    until_due = stream.seconds_until_due(clock.now())
    return min(until_due, LONGEST_WAIT_S) if until_due > 0 else LONGEST_WAIT_S / 4
