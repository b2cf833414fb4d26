"""Who may talk to the server: names it answers to, pages it serves, tokens, and how often one may ask.

A page of another site, open in the same browser, can send requests to a loopback port. Browsers tell where a request
comes from (``Origin``), so foreign ones are refused; and a foreign name that was made to point at this machine (DNS
rebinding) shows in ``Host``, so only known names and plain addresses are served.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lipforge.runtime.serve.options import LOOPBACK_NAMES, ServeOptions, is_loopback
from lipforge.runtime.serve.page_files import PAGE_FILES
from lipforge.runtime.serve.rate import Rates

if TYPE_CHECKING:
    from aiohttp import web

OPEN_PATHS = frozenset({*PAGE_FILES, "/health"})
"""Served without a token: the page holds no secrets and asks the user for the token, /health says only "ok"."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""Sent with every answer."""

Handler = Callable[["web.Request"], Awaitable["web.StreamResponse"]]


class Access:
    """Decides about each request.

    Args:
        options: whom to let in.
        clock: seconds, for the rates.
    """

    def __init__(self, options: ServeOptions, clock: Callable[[], float] = monotonic) -> None:
        self._token = None if options.token is None else options.token.encode()
        self._loopback_only = is_loopback(options.host)
        self._names = LOOPBACK_NAMES | {name.strip("[]").lower() for name in (options.host, *options.hosts)}
        limit = options.limits.requests_per_s
        self._rates: Rates[str] = Rates(limit, 4 * limit, clock)

    def refusal(self, request: web.Request) -> tuple[int, str] | None:
        """Return the status and the message with which a request is refused, or None if it is welcome."""
        if not self._rates.allow(request.remote or ""):
            return 429, "too many requests; wait a second"
        if not self._knows(request.host):
            return 421, "this server does not answer to that name; start it with --allow-host NAME to let it in"
        if not same_origin(request.headers.get("Origin"), request.host):
            return 403, "requests from pages of other sites are refused"
        if request.path not in OPEN_PATHS and not self.token_fits(request.headers.get("Authorization")):
            return 401, "a token is needed: Authorization: Bearer TOKEN"
        return None

    def token_fits(self, header: str | None) -> bool:
        """Compare an Authorization header with the token, in a time that does not depend on how much of it is right."""
        if self._token is None:
            return True
        kind, _, shown = (header or "").partition(" ")
        given = shown.strip().encode(errors="surrogateescape")
        return hmac.compare_digest(given, self._token) and kind.lower() == "bearer"

    def _knows(self, host: str) -> bool:
        name = host_name(host)
        if name in self._names:
            return True
        # No foreign name resolves to a plain address; off loopback, a machine is often reached by one.
        return not self._loopback_only and _is_address(name)

    async def guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what is not allowed, turn errors into JSON, and add the headers that keep the page safe."""
        from aiohttp import web

        refusal = self.refusal(request)
        if refusal is not None:
            response: web.StreamResponse = error_response(*refusal)
        else:
            try:
                response = await handler(request)
            except web.HTTPException as error:
                response = error_response(error.status, error.text or error.reason)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response


def error_response(status: int, message: str) -> web.Response:
    """Return an answer that tells what is wrong, as JSON ``{"error": message}``."""
    from aiohttp import web

    return web.json_response({"error": message}, status=status)


def host_name(host: str) -> str:
    """Return the lower-case name in a Host header, without port and brackets; empty if it is not one."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def same_origin(origin: str | None, host: str) -> bool:
    """Tell whether a request comes from a page of this server; programs that are no browsers send no Origin."""
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
