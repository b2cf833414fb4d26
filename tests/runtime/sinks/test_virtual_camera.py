"""The virtual camera, on a backend in memory."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from lipforge.kernels.errors import InputError
from lipforge.runtime.sinks.virtual_camera import VirtualCameraSink

pyvirtualcam = pytest.importorskip("pyvirtualcam", reason="needs the extra lipforge[live]")


class Memory:
    """A backend of pyvirtualcam that keeps what it is sent."""

    sent: list[np.ndarray]
    opened: dict[str, object]

    def __init__(self, **options: object) -> None:
        Memory.opened, Memory.sent = options, []
        if options["width"] == 32:
            raise RuntimeError("No camera\nregistered")

    def send(self, frame: np.ndarray) -> None:
        Memory.sent.append(frame.reshape(self.opened["height"], self.opened["width"], 3).copy())

    def close(self) -> None:
        Memory.opened = {}

    def device(self) -> str:
        return "memory"

    def native_fourcc(self) -> int:
        return pyvirtualcam.PixelFormat.BGR.value


@pytest.fixture
def sink() -> VirtualCameraSink:
    pyvirtualcam.register_backend("lipforge-test", Memory)
    return VirtualCameraSink(Fraction(25), backend="lipforge-test")


@pytest.mark.parametrize("avatar", [False, True])
def test_frames_arrive(sink: VirtualCameraSink, live_frames: Callable[..., object], avatar: bool) -> None:
    for frame in live_frames(3, avatar=avatar):
        sink.write(frame)
    assert sink.name == "memory"
    assert (Memory.opened["width"], Memory.opened["height"]) == (160, 120)
    assert len(Memory.sent) == 3
    if not avatar:
        assert np.array_equal(Memory.sent[2], frame.image)
    sink.close()
    sink.close()
    assert Memory.opened == {}


def test_no_camera_is_one_line(sink: VirtualCameraSink, live_frames: Callable[..., object]) -> None:
    with pytest.raises(InputError, match=r"no virtual camera .*No camera registered") as caught:
        sink.write(next(live_frames(1, (32, 32))))
    assert "\n" not in str(caught.value)
