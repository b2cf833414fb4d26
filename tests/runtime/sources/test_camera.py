"""Cameras: files at their own rate, devices that vanish and come back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event
from time import monotonic

import cv2
import numpy as np
import pytest

from lipforge.kernels.errors import InputError
from lipforge.runtime.sources import camera
from lipforge.runtime.sources.camera import CameraSource


def test_a_file_is_played_at_its_rate_and_ends(make_video: Callable[..., Path]) -> None:
    source, shown = CameraSource(str(make_video(frames=10, fps=25))), []
    start = monotonic()
    source.run(lambda image: shown.append((monotonic() - start, image)), Event(), print)
    assert source.fps == 25
    assert len(shown) == 10
    assert shown[-1][0] == pytest.approx(9 / 25, abs=0.2)
    assert shown[0][1].shape == (120, 160, 3)
    assert not np.array_equal(shown[0][1], shown[9][1])


def test_stop_ends_it(make_video: Callable[..., Path]) -> None:
    stop, shown = Event(), []

    def see(image: np.ndarray) -> None:
        shown.append(image)
        stop.set()

    CameraSource(str(make_video(frames=50))).run(see, stop, print)
    assert len(shown) == 1


@pytest.mark.parametrize("address", ["97", "nothing.mp4", "rtsp://127.0.0.1:9/none"])
def test_what_cannot_be_opened_is_one_line(address: str) -> None:
    with pytest.raises(InputError, match=rf"--camera {address}: cannot be opened\. ") as caught:
        CameraSource(address)
    assert "\n" not in str(caught.value)


class Unsteady:
    """A device that is unplugged after its third frame, and plugged in again after two looks for it."""

    opened = 0

    def __init__(self, *_: object) -> None:
        Unsteady.opened += 1
        self._frames = 3 if Unsteady.opened in (1, 4) else 0

    def isOpened(self) -> bool:
        return Unsteady.opened in (1, 4)

    def read(self) -> tuple[bool, np.ndarray | None]:
        self._frames -= 1
        return self._frames >= 0, np.zeros((4, 4, 3), np.uint8)

    def get(self, _: int) -> float:
        return 0.0

    def set(self, *_: object) -> bool:
        return True

    def release(self) -> None:
        pass


def test_a_camera_that_vanishes_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", Unsteady)
    monkeypatch.setattr(camera, "REOPEN_WAITS_S", (0.0,) * 4)
    monkeypatch.setattr(Unsteady, "opened", 0)
    said: list[str] = []
    shown: list[np.ndarray] = []
    source = CameraSource("0", (1280, 720))
    assert source.fps == 25
    source.run(shown.append, Event(), said.append)
    assert len(shown) == 6
    assert [text.partition(": ")[2] for text in said] == [
        "gives no picture any more; it is looked for again.",
        "is back.",
        "gives no picture any more; it is looked for again.",
        "did not come back.",
    ]
