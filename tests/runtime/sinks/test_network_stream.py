"""Network streams, received by a listener on loopback."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from time import sleep

import av
import imageio_ffmpeg
import numpy as np
import pytest

from lipforge.kernels.errors import InputError
from lipforge.runtime.sinks.network_stream import NetworkStreamSink, is_address

Frames = Callable[..., object]


def free_port(kind: int) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Listener:
    """A program of its own, as a server is: FFmpeg writes what it receives to a file."""

    def __init__(self, address: str, options: list[str], path: Path) -> None:
        self._path = path
        command = [
            imageio_ffmpeg.get_ffmpeg_exe(),
            "-loglevel",
            "error",
            *options,
            "-i",
            address,
            "-c",
            "copy",
            str(path),
        ]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)

    def received(self) -> tuple[list[float], list[float]]:
        """Times of flashes and of beeps, seconds."""
        try:
            self._process.communicate(b"q", timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        with av.open(str(self._path)) as container:
            flashes = [float(f.time) for f in container.decode(video=0) if f.to_ndarray(format="gray")[2, 80] > 150]
        with av.open(str(self._path)) as container:
            beeps = [float(f.time) for f in container.decode(audio=0) if np.abs(f.to_ndarray()).max() > 0.2]
        return begins(flashes), begins(beeps)


def begins(times: list[float]) -> list[float]:
    return [time for before, time in zip([-9.0, *times], times, strict=False) if time - before > 0.5]


@pytest.mark.parametrize("kind", ["tcp", "rtmp", "udp"])
@pytest.mark.parametrize("avatar", [False, True])
def test_a_listener_gets_pictures_and_sound_in_step(
    live_frames: Frames, tmp_path: Path, kind: str, avatar: bool
) -> None:
    port = free_port(socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    address = f"{kind}://127.0.0.1:{port}" + {"tcp": "", "rtmp": "/live/key", "udp": "?pkt_size=1316"}[kind]
    # Nobody hangs up in UDP: the listener ends when nothing comes any more (microseconds).
    options = ["-timeout", "1500000"] if kind == "udp" else ["-listen", "1"]
    listener = Listener(address, options, tmp_path / "received.mkv")
    sink = NetworkStreamSink(address, Fraction(25))
    frames = list(live_frames(110, avatar=avatar, rate_hz=24_000))
    if kind == "udp":
        sleep(1.0)
    for _ in range(50):
        try:
            sink.write(frames[0])
            break
        except InputError:
            sleep(0.2)
    for frame in frames[1:]:
        sink.write(frame)
        if kind == "udp":
            sleep(0.005)  # nobody holds a sender back
    sink.close()
    flashes, beeps = listener.received()
    assert len(flashes) >= (3 if kind == "udp" else 5)
    for flash, beep in zip(flashes[-3:], beeps[-3:], strict=True):
        assert beep - flash == pytest.approx(0.0, abs=0.05)


def test_nobody_listens(live_frames: Frames) -> None:
    sink = NetworkStreamSink(f"rtmp://127.0.0.1:{free_port(socket.SOCK_STREAM)}/live/key", Fraction(25))
    with pytest.raises(InputError, match="no connection"):
        sink.write(next(live_frames(1)))
    sink.close()


def test_a_receiver_that_vanishes_is_told_in_one_line(live_frames: Frames) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        sink = NetworkStreamSink(f"tcp://127.0.0.1:{server.getsockname()[1]}", Fraction(25))
        frames = live_frames(500)
        sink.write(next(frames))
        connection, _ = server.accept()
        connection.close()

    def send_all() -> None:
        for frame in frames:
            sink.write(frame)

    with pytest.raises(InputError, match="connection was lost"):
        send_all()
    sink.close()


def test_other_addresses_are_refused() -> None:
    assert not is_address("out.mp4")
    assert not is_address("udp")
    with pytest.raises(InputError, match="allowed are rtmp://"):
        NetworkStreamSink("ftp://host/x", Fraction(25))
