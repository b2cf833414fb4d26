"""Raw 16-bit samples from a pipe or a socket: what speech synthesisers and ``ffmpeg -f s16le`` write."""

from __future__ import annotations

import select
import socket
import sys
from contextlib import ExitStack
from io import FileIO, RawIOBase
from threading import Event

import numpy as np

from lipforge.kernels.errors import InputError
from lipforge.runtime.live.audio_format import AudioFormat
from lipforge.runtime.sources.source import PushAudio, Say

READ_BYTES = 1 << 14
LOOK_S = 0.1


class RawPcmSource:
    """Signed 16-bit little-endian samples, interleaved, from standard input or a TCP connection.

    Args:
        address: ``"-"`` for standard input, ``"HOST:PORT"`` to connect, ``"listen:HOST:PORT"`` to wait for one
            connection.
        sample_rate_hz: of the samples.
        channels: of the samples.

    Raises:
        InputError: the address or the format is not usable.
    """

    def __init__(self, address: str, sample_rate_hz: int, channels: int = 1) -> None:
        self.address, self._format = address, AudioFormat(sample_rate_hz, channels)
        self._listens = address.startswith("listen:")
        self._place = None if address == "-" else _place(address)

    @property
    def sample_rate_hz(self) -> int:
        """As the user said."""
        return self._format.sample_rate_hz

    @property
    def paced(self) -> bool:
        """False: a synthesiser writes faster than it is spoken."""
        return False

    def run(self, push: PushAudio, stop: Event, say: Say) -> None:
        """Push what comes until the other side closes or ``stop`` is set.

        Raises:
            InputError: there is no connection.
        """
        with ExitStack() as stack:
            if self._place is None:
                stream: RawIOBase = stack.enter_context(FileIO(sys.stdin.fileno(), closefd=False))
            else:
                connection = self._connect(stack, stop, say)
                if connection is None:
                    return
                stream = stack.enter_context(connection.makefile("rb", buffering=0))
            self._pass_on(stream, push, stop)

    def _connect(self, stack: ExitStack, stop: Event, say: Say) -> socket.socket | None:
        assert self._place is not None
        try:
            if not self._listens:
                return stack.enter_context(socket.create_connection(self._place, timeout=5.0))
            server = stack.enter_context(socket.create_server(self._place))
        except OSError as error:
            raise InputError(f"--pcm {self.address}: no connection ({error.strerror or error}).") from error
        say(f"--pcm: waiting for a connection to {self._place[0]}:{server.getsockname()[1]}")
        server.settimeout(LOOK_S)
        while not stop.is_set():
            try:
                connection, _ = server.accept()
            except TimeoutError:
                continue
            return stack.enter_context(connection)
        return None

    def _pass_on(self, stream: RawIOBase, push: PushAudio, stop: Event) -> None:
        whole, rest = 2 * self._format.channels, b""
        while not stop.is_set():
            if not _readable(stream):
                continue
            data = stream.read(READ_BYTES)
            if not data:
                return
            data = rest + data
            end = len(data) // whole * whole
            rest = data[end:]
            samples = np.frombuffer(data[:end], "<i2").astype(np.int16)
            push(samples.reshape(-1, self._format.channels), self._format.sample_rate_hz)


def _readable(stream: RawIOBase) -> bool:
    """Whether reading would not wait, looked for at most 0.1 s, so that a silent pipe can be left."""
    try:
        return bool(select.select([stream], [], [], LOOK_S)[0])
    except (OSError, ValueError):  # a plain file on some systems: reading never waits
        return True


def _place(address: str) -> tuple[str, int]:
    host, _, port = address.removeprefix("listen:").rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise InputError(f"--pcm {address}: give - for standard input, HOST:PORT, or listen:HOST:PORT.")
    return host.strip("[]"), int(port)
