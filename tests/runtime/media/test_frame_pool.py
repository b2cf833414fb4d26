"""Memory that goes round: written by the engine as planes, read by the encoder as a frame."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest
from av.filter import Graph

from lipforge.kernels.yuv import YuvSpec
from lipforge.runtime.media.frame_pool import SPARE_FRAMES, FramePool, PooledFrame, planes_of


def filled(pool: FramePool, level: int) -> PooledFrame:
    frame = pool.take()
    for plane in (frame.planes.y, frame.planes.u, frame.planes.v):
        plane[:] = level
    return frame


@pytest.mark.parametrize("size", [(64, 48), (161, 121), (1, 1), (17, 90)])
def test_planes_and_frame_are_the_same_memory(size: tuple[int, int]) -> None:
    frame = filled(FramePool(*size, YuvSpec("bt709", True)), 77)
    assert frame.planes.y.shape == size[::-1]
    assert frame.planes.spec == YuvSpec("bt709", True)
    assert all((plane == 77).all() for plane in planes_of(frame.encodable))
    frame.planes.v[-1, -1] = 5
    assert planes_of(frame.encodable)[2][-1, -1] == 5


@pytest.mark.parametrize(
    ("turn", "quarter_turns"),
    [(None, 0), (cv2.ROTATE_90_COUNTERCLOCKWISE, 1), (cv2.ROTATE_180, 2), (cv2.ROTATE_90_CLOCKWISE, 3)],
)
@pytest.mark.parametrize("size", [(64, 48), (65, 47)])
def test_planes_are_copied_in_and_turned(turn: int | None, quarter_turns: int, size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    half = (size[0] + 1) // 2, (size[1] + 1) // 2
    planes = tuple(random.integers(0, 256, (height, width), np.uint8) for width, height in (size, half, half))
    frame = FramePool(*(size if quarter_turns % 2 == 0 else size[::-1]), YuvSpec()).take()
    frame.fill(planes, turn)
    for plane, given in zip(planes_of(frame.encodable), planes, strict=True):
        assert np.array_equal(plane, np.rot90(given, quarter_turns))


def test_a_frame_comes_back_and_few_are_kept() -> None:
    pool = FramePool(64, 48, YuvSpec())
    frames = [pool.take() for _ in range(SPARE_FRAMES + 3)]
    addresses = {frame.planes.y.ctypes.data for frame in frames}
    assert len(addresses) == len(frames)
    for frame in frames:
        pool.give_back(frame)
    again = {pool.take().planes.y.ctypes.data for _ in range(SPARE_FRAMES)}
    assert again < addresses


def test_memory_that_is_still_read_elsewhere_is_not_written() -> None:
    pool = FramePool(64, 48, YuvSpec())
    graph = Graph()
    source = graph.add_buffer(width=64, height=48, format="yuv420p", time_base=av.time_base)  # keeps what it was given
    source.link_to(graph.add("buffersink"))
    graph.configure()
    frame = filled(pool, 10)
    graph.push(frame.encodable)
    pool.give_back(frame)
    filled(pool, 200)
    assert np.unique(graph.pull().to_ndarray()) == 10
