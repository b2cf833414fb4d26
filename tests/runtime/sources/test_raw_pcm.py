"""Raw samples from a pipe or a socket."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest

from lipforge.kernels.errors import InputError
from lipforge.runtime.sources.raw_pcm import RawPcmSource

SAMPLES = np.random.default_rng(0).integers(-32768, 32767, 30_001).astype("<i2")


def collect(
    source: RawPcmSource, say: Callable[[str], None] = print, stop: threading.Event | None = None
) -> np.ndarray:
    pieces: list[np.ndarray] = []

    def push(pcm: np.ndarray, rate_hz: int) -> None:
        assert pcm.dtype == np.int16
        assert rate_hz == 24_000
        pieces.append(pcm)

    source.run(push, stop or threading.Event(), say)
    return np.concatenate(pieces) if pieces else np.zeros((0, 1), np.int16)


@pytest.mark.parametrize("channels", [1, 2])
def test_standard_input(monkeypatch: pytest.MonkeyPatch, channels: int) -> None:
    read, write = os.pipe()
    monkeypatch.setattr(sys, "stdin", os.fdopen(read))
    data = SAMPLES.tobytes() + b"\x01"  # half a sample at the end is no sample

    def speak() -> None:
        for start in range(0, len(data), 777):
            os.write(write, data[start : start + 777])
        os.close(write)

    speaker = threading.Thread(target=speak)
    speaker.start()
    heard = collect(RawPcmSource("-", 24_000, channels))
    speaker.join()
    whole = len(SAMPLES) // channels * channels
    assert np.array_equal(heard, SAMPLES[:whole].reshape(-1, channels))


def test_a_silent_pipe_can_be_left(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    monkeypatch.setattr(sys, "stdin", os.fdopen(read))
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    assert len(collect(RawPcmSource("-", 24_000), stop=stop)) == 0
    os.close(write)


def test_a_listening_socket() -> None:
    speakers: list[threading.Thread] = []

    def speak(message: str) -> None:
        port = int(message.rpartition(":")[2])

        def send() -> None:
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(SAMPLES.tobytes())

        speakers.append(threading.Thread(target=send))
        speakers[0].start()

    heard = collect(RawPcmSource("listen:127.0.0.1:0", 24_000), speak)
    speakers[0].join()
    assert np.array_equal(heard[:, 0], SAMPLES)


def test_a_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(SAMPLES.tobytes())

        thread = threading.Thread(target=serve)
        thread.start()
        heard = collect(RawPcmSource(f"127.0.0.1:{server.getsockname()[1]}", 24_000))
        thread.join()
    assert np.array_equal(heard[:, 0], SAMPLES)


def test_nobody_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(InputError, match=r"no connection \(Connection refused\)"):
        collect(RawPcmSource(f"127.0.0.1:{port}", 24_000))


@pytest.mark.parametrize("address", ["", "host", "host:port", ":80", "host:99999", "listen:5000"])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(InputError, match="give - for standard input"):
        RawPcmSource(address, 24_000)
    with pytest.raises(InputError, match="sample_rate_hz is 7"):
        RawPcmSource("-", 7)
