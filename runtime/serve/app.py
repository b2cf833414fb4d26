"""The server's addresses: the page, offers, avatars, the voice socket, health and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lipforge.kernels.errors import LipforgeError
from lipforge.runtime.serve.access import Access, Handler, error_response
from lipforge.runtime.serve.messages import parse_object
from lipforge.runtime.serve.options import ServeOptions
from lipforge.runtime.serve.page_files import PAGE_FILES, page_file
from lipforge.runtime.serve.places import FullError, Places
from lipforge.runtime.serve.studio import Studio
from lipforge.runtime.serve.voice_post import VoicePost
from lipforge.runtime.serve.voice_socket import VoiceSocket
from lipforge.runtime.serve.webrtc import Peers

if TYPE_CHECKING:
    from aiohttp import web


class Server:
    """Handlers of all requests.

    Args:
        options: whom to let in, and how much.
        studio: makes sessions.
    """

    def __init__(self, options: ServeOptions, studio: Studio) -> None:
        self._options, self._studio = options, studio
        self.places = Places(options.limits.sessions, studio.metrics)
        self._peers = Peers(studio, self.places)
        self._sockets: set[VoiceSocket] = set()

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        from aiohttp import web

        access = Access(self._options)

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await access.guarded(request, handler)

        app = web.Application(middlewares=[guard], client_max_size=self._options.limits.json_bytes)
        app.add_routes(
            [
                *(web.get(path, self._page) for path in PAGE_FILES),
                web.get("/health", self._health),
                web.get("/metrics", self._metrics),
                web.get("/avatars", self._avatars),
                web.post("/avatars", self._add_avatar),
                web.post("/offer", self._offer),
                web.get("/voice", self._voice),
                web.post("/voice", self._voice_post),
            ]
        )
        app.on_shutdown.append(self._shut_down)
        return app

    async def _page(self, request: web.Request) -> web.Response:
        from aiohttp import web

        text, content_type = page_file(request.path)
        return web.Response(text=text, content_type=content_type)

    async def _health(self, request: web.Request) -> web.Response:
        from aiohttp import web

        return web.json_response({"status": "ok"})

    async def _metrics(self, request: web.Request) -> web.Response:
        from aiohttp import web

        text = self._studio.metrics.text(self.places.by_kind())
        return web.Response(text=text, content_type="text/plain", charset="utf-8")

    async def _avatars(self, request: web.Request) -> web.Response:
        from aiohttp import web

        return web.json_response({"avatars": [shelved.described() for shelved in self._studio.avatars()]})

    async def _add_avatar(self, request: web.Request) -> web.Response:
        from aiohttp import web

        limit = self._options.limits.avatar_bytes
        if (request.content_length or 0) > limit:
            return error_response(413, f"an avatar may have {limit >> 20} MB")
        body = bytearray()
        async for chunk in request.content.iter_chunked(1 << 16):
            body += chunk
            if len(body) > limit:
                return error_response(413, f"an avatar may have {limit >> 20} MB")
        try:
            shelved = await self._studio.add_upload(bytes(body), request.content_type, request.query.get("name", ""))
        except LipforgeError as error:
            return error_response(400, str(error))
        return web.json_response(shelved.described())

    async def _offer(self, request: web.Request) -> web.Response:
        from aiohttp import web

        try:
            return web.json_response(await self._peers.answer(parse_object(await request.read())))
        except FullError as error:
            return error_response(503, str(error))
        except LipforgeError as error:
            return error_response(400, str(error))

    async def _voice(self, request: web.Request) -> web.StreamResponse:
        socket = VoiceSocket(self._studio, self.places)
        self._sockets.add(socket)
        try:
            return await socket.serve(request)
        finally:
            self._sockets.discard(socket)

    async def _voice_post(self, request: web.Request) -> web.StreamResponse:
        return await VoicePost(self._studio, self.places).serve(request)

    async def _shut_down(self, app: web.Application) -> None:
        for socket in list(self._sockets):
            await socket.close()
        await self._peers.close()
        await self.places.close_all()
