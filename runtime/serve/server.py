"""Running the server until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from errno import EADDRINUSE, EADDRNOTAVAIL
from typing import TYPE_CHECKING

from lipforge.kernels.errors import BackendError, ConfigError
from lipforge.runtime.packages import require
from lipforge.runtime.serve.options import ServeOptions
from lipforge.runtime.serve.studio import Studio

if TYPE_CHECKING:
    from aiohttp import web

SHUTDOWN_S = 5.0


def check_packages() -> None:
    """Check that what the server needs is installed.

    Raises:
        MissingPackageError: it is not; the message holds the pip line.
    """
    for package in ("aiohttp", "aiortc"):
        require(package, "live")


async def serve(
    options: ServeOptions, make_studio: Callable[[], Studio], on_ready: Callable[[str], None] = lambda _: None
) -> None:
    """Serve until SIGINT or SIGTERM; every stream is closed then.

    Args:
        options: where and for whom.
        make_studio: makes what all sessions share; called on the event loop.
        on_ready: called with the page's address once clients can come.

    Raises:
        BackendError: the address cannot be bound.
        ConfigError: the certificate cannot be used.
    """
    from lipforge.runtime.serve.app import Server

    studio = make_studio()
    try:
        async with listening(options, Server(options, studio).application()) as address:
            on_ready(address)
            await _until_stopped()
    finally:
        studio.close()


@asynccontextmanager
async def listening(options: ServeOptions, application: web.Application) -> AsyncIterator[str]:
    """Let clients come as long as the context lasts; it gives the page's address.

    Raises:
        BackendError: the address cannot be bound.
        ConfigError: the certificate cannot be used.
    """
    from aiohttp import web

    runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_S)
    try:
        await runner.setup()
        await _bind(web.TCPSite(runner, options.host, options.port, ssl_context=_tls(options)), options)
        yield _address(options, runner)
    finally:
        await runner.cleanup()


async def _bind(site: web.TCPSite, options: ServeOptions) -> None:
    try:
        await site.start()
    except OSError as error:
        if error.errno == EADDRINUSE:
            raise BackendError(
                f"port {options.port} is in use by another program. Give another one: --port {options.port + 1}, or "
                "0 for any that is free."
            ) from error
        if error.errno == EADDRNOTAVAIL:
            raise BackendError(f"--host {options.host} is not an address of this machine.") from error
        raise BackendError(f"--host {options.host} --port {options.port}: {error.strerror or error}.") from error


async def _until_stopped() -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError, ValueError):  # Windows; and threads other than the main one
            loop.add_signal_handler(number, stopped.set)
    await stopped.wait()


def _tls(options: ServeOptions) -> ssl.SSLContext | None:
    if options.certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(options.certificate, options.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"--certificate {options.certificate}: cannot be used ({error}).") from error
    return context


def _address(options: ServeOptions, runner: web.AppRunner) -> str:
    port = runner.addresses[0][1]
    host = "localhost" if options.host in ("127.0.0.1", "::1", "localhost") else options.host
    return f"{options.scheme}://{f'[{host}]' if ':' in host else host}:{port}/"
