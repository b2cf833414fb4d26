"""The streams that are open: as many as the server has places for."""

from __future__ import annotations

import asyncio
from collections import Counter

from lipforge.kernels.errors import LipforgeError
from lipforge.runtime.serve.live_session import LiveSession
from lipforge.runtime.serve.metrics import Metrics


class FullError(LipforgeError):
    """All places are taken."""


class Place:
    """A place that is taken, at first without a session: making one takes a while. Give it back with ``leave``."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self.session: LiveSession | None = None

    def leave(self) -> None:
        """Free the place. Twice does no harm."""
        self._places.free(self)


class Places:
    """Bounds the number of streams; used on the event loop.

    Args:
        most: how many there are.
        metrics: where refusals are counted.
    """

    def __init__(self, most: int, metrics: Metrics) -> None:
        self._most, self._metrics = most, metrics
        self._taken: set[Place] = set()

    def take(self) -> Place:
        """Take a place.

        Raises:
            FullError: there is none.
        """
        if len(self._taken) >= self._most:
            self._metrics.count("streams_refused")
            raise FullError(f"all {self._most} places of this server are taken; try again later")
        place = Place(self)
        self._taken.add(place)
        return place

    def free(self, place: Place) -> None:
        """Free a place."""
        self._taken.discard(place)

    def find(self, session_id: str) -> LiveSession | None:
        """Return the session of that name."""
        return next((session for session in self.sessions() if session.id == session_id), None)

    def sessions(self) -> list[LiveSession]:
        """Return those that are open."""
        return [place.session for place in self._taken if place.session is not None]

    def by_kind(self) -> dict[str, int]:
        """Return how many are open, by kind; every kind is there."""
        return {"camera": 0, "avatar": 0, "agent": 0} | Counter(session.kind for session in self.sessions())

    async def close_all(self) -> None:
        """Close every session."""
        await asyncio.gather(*(session.close() for session in self.sessions()))
