"""A server that only shows: every browser that comes sees and hears the same frames."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lipforge.kernels.errors import InputError, LipforgeError
from lipforge.runtime.live import LiveFrame, Playback
from lipforge.runtime.live.live_stats import ComputeTimes
from lipforge.runtime.picture import Picture
from lipforge.runtime.serve.access import Access, Handler, error_response
from lipforge.runtime.serve.live_session import Figures
from lipforge.runtime.serve.messages import field as message_field
from lipforge.runtime.serve.messages import parse_object, text_up_to
from lipforge.runtime.serve.options import ServeOptions
from lipforge.runtime.serve.page_files import PAGE_FILES, page_file
from lipforge.runtime.serve.playout import Heard, Playout, PlayoutOverflowError, Shown
from lipforge.runtime.serve.webrtc import FAREWELL_S, Peer, check_offer

if TYPE_CHECKING:
    from aiohttp import web
LONGEST_END_S = 2.0


@dataclass(eq=False)
class Viewer:
    """What one browser is shown."""

    kind: str = "watch"
    failure: str | None = None
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))

    def __post_init__(self) -> None:
        self.playout = Playout(asyncio.get_running_loop().time)
        self.closed = asyncio.Event()
        self.figures, self._compute = Figures(), ComputeTimes()

    def show(self, frame: LiveFrame, shown: Shown) -> None:
        """Append a frame and its audio."""
        picture = Picture.of(frame.image)
        self.figures.frames += 1
        self.figures.driven += frame.stats.driven
        self.figures.size, self.figures.face = (picture.width, picture.height), frame.stats.face
        self._compute.add(frame.stats)
        try:
            self.playout.put(shown, Heard(frame.audio_start, frame.audio, frame.sample_rate_hz))
        except PlayoutOverflowError:
            self.failure = "the browser takes no sound any more"
            self.closed.set()

    def interrupt(self) -> Playback:
        """Refuse: who watches does not steer.

        Raises:
            InputError: always.
        """
        raise InputError("this stream can only be watched.")

    def flush(self) -> None:
        """Refuse, as ``interrupt``."""
        self.interrupt()

    def misunderstood(self) -> None:
        """Do nothing: nobody counts here."""

    def frame_sent(self, frame: Shown, late_s: float) -> None:
        """Note how long the frame waited here."""
        self.figures.delay_ms = 1000 * self.playout.waiting_s

    def frame_encoded(self, frame: Shown) -> None:
        """Do nothing: the frame is a copy, and others may still look at it."""

    def stats(self) -> dict[str, object]:
        """Return the figures for the page."""
        return self.figures.told(self.playout, 0, self._compute.percentiles())

    async def close(self) -> None:
        """End it."""
        self.closed.set()
        self.playout.end()


class WatchServer:
    """The page and its offers; used on an event loop.

    Args:
        options: where it listens and whom it lets in.
        on_viewer: called when a browser has come.
    """

    def __init__(self, options: ServeOptions, on_viewer: Callable[[], None] = lambda: None) -> None:
        self._options, self._on_viewer = options, on_viewer
        self._viewers: dict[Viewer, Peer] = {}

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        from aiohttp import web

        access = Access(self._options)

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await access.guarded(request, handler)

        app = web.Application(middlewares=[guard], client_max_size=self._options.limits.json_bytes)
        app.add_routes([*(web.get(path, self._page) for path in PAGE_FILES), web.post("/offer", self._offer)])
        app.on_shutdown.append(self._shut_down)
        return app

    def show(self, frame: LiveFrame, shown: Shown) -> None:
        """Show a frame to all who are here."""
        for viewer in self._viewers:
            viewer.show(frame, shown)

    async def end(self) -> None:
        """Wait until what was shown has left, and tell everybody that there is no more."""
        end = asyncio.get_running_loop().time() + LONGEST_END_S
        while any(viewer.playout.waiting_s for viewer in self._viewers) and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.02)
        for viewer in self._viewers:
            viewer.closed.set()
        if self._viewers:
            await asyncio.sleep(2 * FAREWELL_S)

    async def _page(self, request: web.Request) -> web.Response:
        from aiohttp import web

        text, content_type = page_file(request.path)
        # The page asks for no choices then, only for permission to play.
        return web.Response(text=text.replace("<body>", '<body data-mode="watch">'), content_type=content_type)

    async def _offer(self, request: web.Request) -> web.Response:
        from aiohttp import web

        try:
            return web.json_response(await self._answer(parse_object(await request.read())))
        except LipforgeError as error:
            return error_response(400, str(error))

    async def _answer(self, message: dict[str, Any]) -> dict[str, str]:
        sdp = message_field(message, "sdp", text_up_to(self._options.limits.json_bytes), "the text of an offer")
        check_offer(sdp)
        if len(self._viewers) >= self._options.limits.sessions:
            raise InputError(f"{len(self._viewers)} browsers watch already; there is no room for another.")
        viewer = Viewer()
        peer = self._viewers[viewer] = Peer(viewer, on_connected=self._on_viewer)
        peer.when_closed(lambda: self._viewers.pop(viewer, None))
        try:
            return await peer.answer(sdp)
        except BaseException:
            await peer.close()
            raise

    async def _shut_down(self, app: web.Application) -> None:
        await asyncio.gather(*(peer.close() for peer in list(self._viewers.values())))
