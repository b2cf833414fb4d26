"""The window, on a screen of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from lipforge.kernels.errors import InputError
from lipforge.runtime.sinks.window import WindowSink

SHOW = """
from fractions import Fraction
import numpy as np
from lipforge.runtime.live import LiveFrame, Playback
from lipforge.runtime.output_frame import FrameStats
from lipforge.runtime.sinks.window import WindowSink
sink = WindowSink()
picture = np.zeros((1080, 1920, 3), np.uint8)
picture[:] = (10, 100, 200)
stats, playback = FrameStats(True, True, 0.0), Playback(0, 0.0, 0.0)
sound = np.zeros((1920, 1), np.float32)
frames = (
    LiveFrame(picture, index * Fraction(1, 25), sound, 1920 * index, stats, None, 48_000, 0, playback)
    for index in range(100)
)
sink.write(next(frames))
print(sink._image.width(), sink._image.height(), sink._image.get(5, 5))
sink._root.focus_force()
sink._root.event_generate("<Escape>", when="tail")
try:
    for frame in frames:
        sink.write(frame)
except StopIteration:
    print("left")
sink.close()
"""


@pytest.fixture(scope="module")
def screen() -> Iterator[dict[str, str]]:
    """An X server without a monitor; gives the environment in which programs find it."""
    if shutil.which("Xvfb") is None:
        pytest.skip("needs Xvfb (apt: xvfb)")
    pytest.importorskip("tkinter", reason="this Python came without tkinter")
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x1024x24"], pass_fds=[write], stderr=subprocess.DEVNULL
    )
    os.close(write)
    try:
        with os.fdopen(read) as pipe:
            display = pipe.readline().strip()
        if not display:
            pytest.skip("Xvfb does not start here")
        yield os.environ | {"DISPLAY": f":{display}", "PYTHONSAFEPATH": "1"}
    finally:
        server.terminate()
        server.wait()


def test_frames_are_seen_until_the_window_is_closed(screen: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHOW], env=screen, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["960 540 (200, 100, 10)", "left"]


def test_without_a_screen_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tkinter", reason="this Python came without tkinter")
    monkeypatch.delenv("DISPLAY", raising=False)
    if sys.platform != "linux":
        pytest.skip("only X has screens that may be missing")
    with pytest.raises(InputError, match="--output window: no screen") as caught:
        WindowSink()
    assert "\n" not in str(caught.value)


def test_without_the_toolkit_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tkinter", None)
    with pytest.raises(InputError, match="came without tkinter"):
        WindowSink()
