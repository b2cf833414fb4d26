"""Frames whose memory is used again and again, so that the steady stream of a video allocates none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import InputError
from lipforge.kernels.yuv import I420Frame, YuvSpec

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.plane import VideoPlane

Planes: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]

PIXEL_FORMAT = "yuv420p"

SPARE_FRAMES = 4
"""Kept for later; the many that are in use while a stream is primed are freed again."""


@dataclass(frozen=True)
class PooledFrame:
    """One piece of memory, seen by the engine as planes and by the encoder as a frame.

    Attributes:
        planes: writable.
        encodable: the same memory.
    """

    planes: I420Frame
    encodable: VideoFrame

    def fill(self, planes: Planes, turn: int | None = None) -> None:
        """Copy three planes in.

        Args:
            planes: uint8 Y, U and V; of this frame's sizes after the turn.
            turn: one of OpenCV's ``ROTATE_`` codes.
        """
        for target, plane in zip((self.planes.y, self.planes.u, self.planes.v), planes, strict=True):
            if turn is None:
                np.copyto(target, plane)
            else:
                cv2.rotate(plane, turn, target)


class FramePool:
    """Gives out 4:2:0 frames of one size that nobody else reads or writes.

    Args:
        width: in px.
        height: in px.
        spec: what the numbers in the planes mean.
    """

    def __init__(self, width: int, height: int, spec: YuvSpec) -> None:
        self._size, self._spec = (width, height), spec
        self._spare: list[VideoFrame] = []

    def take(self) -> PooledFrame:
        """Return a frame with arbitrary content."""
        from av.video.frame import VideoFrame

        frame = self._spare.pop() if self._spare else VideoFrame(*self._size, PIXEL_FORMAT)
        # An encoder that still holds the memory keeps it; the frame then gets another piece.
        frame.make_writable()
        return PooledFrame(I420Frame(*planes_of(frame), self._spec), frame)

    def give_back(self, frame: PooledFrame) -> None:
        """Take a frame back that its user will not touch again."""
        if len(self._spare) < SPARE_FRAMES:
            self._spare.append(frame.encodable)


def planes_of(frame: VideoFrame) -> Planes:
    """Return views of the planes of an 8-bit 4:2:0 frame; what is written there is in the frame.

    A frame from a decoder must only be read: the decoder may go on predicting other frames from it.

    Returns:
        uint8 Y (H, W), U and V (ceil(H/2), ceil(W/2)), the pixels of a row next to each other.

    Raises:
        InputError: the rows are stored from bottom to top.
    """
    y, u, v = map(_view, frame.planes)
    return y, u, v


def _view(plane: VideoPlane) -> NDArray[np.uint8]:
    if plane.line_size < plane.width:
        raise InputError("the video stores its rows from bottom to top. Re-encode it.")
    rows: NDArray[np.uint8] = np.frombuffer(plane, np.uint8)  # type: ignore[call-overload]  # PyAV's stub hides that
    return rows.reshape(plane.height, plane.line_size)[:, : plane.width]
