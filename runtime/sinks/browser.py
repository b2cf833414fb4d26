"""Frames for browsers on this machine, over WebRTC."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from typing import Any

from lipforge.kernels.errors import InputError, LipforgeError
from lipforge.runtime.live.live_frame import LiveFrame
from lipforge.runtime.serve.options import Limits, ServeOptions
from lipforge.runtime.serve.playout import Shown

DEFAULT_PORT = 8080
MOST_VIEWERS = 8


class BrowserSink:
    """A page on localhost that shows the stream to every browser that comes; it begins when the first one is there.

    Args:
        port: None takes 8080.
        say: told the page's address.

    Raises:
        MissingPackageError: aiortc or aiohttp is not installed.
        BackendError: the port is in use.
    """

    def __init__(self, port: int | None = None, say: Callable[[str], None] = lambda _: None) -> None:
        from lipforge.runtime.serve.server import check_packages

        check_packages()
        limits = Limits(sessions=MOST_VIEWERS)
        self._options = ServeOptions(port=DEFAULT_PORT if port is None else port, limits=limits)
        self._ready, self._watched, self._error = Event(), Event(), list[LipforgeError]()
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self.address = ""
        self._server: Any = None
        self._thread = Thread(target=self._run, name="lipforge browser")
        self._thread.start()
        self._ready.wait()
        if self._error:
            self._thread.join()
            raise self._error[0]
        say(f"Open {self.address} to watch; the stream begins when a browser is there.")

    @property
    def paced(self) -> bool:
        """True: somebody watches."""
        return True

    def wait_for_viewer(self) -> None:
        """Wait until a browser is there; Ctrl-C ends it."""
        try:
            while not self._watched.wait(0.2):
                pass
        except BaseException:
            self.close()
            raise

    def write(self, frame: LiveFrame) -> None:
        """Send a frame with its audio to all who watch; it is copied."""
        from lipforge.runtime.serve.video_frames import copied

        picture = copied(frame.image)
        shown = Shown(float(frame.pts), frame.image, frame, picture)
        with suppress(RuntimeError):  # the loop was closed
            self._loop.call_soon_threadsafe(self._server.show, frame, shown)

    def close(self) -> None:
        """Close the connections and the server. Twice does no harm."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except LipforgeError as error:
            self._error.append(error)
        finally:
            self._loop.close()
            self._ready.set()

    async def _serve(self) -> None:
        from lipforge.runtime.serve.server import listening
        from lipforge.runtime.serve.watch import WatchServer

        self._server = WatchServer(self._options, self._watched.set)
        async with listening(self._options, self._server.application()) as address:
            self.address = address
            self._ready.set()
            await self._stopped.wait()
            await self._server.end()


def browser_port(output: str) -> int | None:
    """Return the port in ``webrtc:PORT``, or None for ``webrtc``.

    Raises:
        InputError: it is no port.
    """
    _, _, port = output.partition(":")
    if not port:
        return None
    if not port.isdigit() or int(port) > 65_535:
        raise InputError(f"--output {output}: allowed are webrtc, and webrtc:PORT with a port from 0 to 65535.")
    return int(port)
