"""What every destination of a live stream is."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from lipforge.runtime.live.live_frame import LiveFrame
from lipforge.runtime.media.frame_pool import PooledFrame
from lipforge.runtime.media.video_info import PICTURE_COLOURS, VideoInfo
from lipforge.runtime.picture import Picture

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

TIME_BASE = Fraction(1, 90_000)
"""Fine enough for a camera's frames, whose times are not regular."""


class Sink(Protocol):
    """Takes frames in order, as time goes by or as fast as they come."""

    @property
    def paced(self) -> bool:
        """Whether somebody watches: frames then come when they are due."""

    def write(self, frame: LiveFrame) -> None:
        """Show, send or store a frame with its audio; nothing of it is needed afterwards.

        Raises:
            LipforgeError: it cannot be written any more.
            StopIteration: whoever watched has gone, for instance by closing the window.
        """

    def close(self) -> None:
        """Finish what was begun."""


@dataclass(frozen=True)
class Shape:
    """What a destination that cannot change in the middle was begun with.

    Attributes:
        width: in px, even.
        height: in px, even.
    """

    width: int
    height: int

    @classmethod
    def of(cls, frame: LiveFrame) -> Shape:
        """Return the shape of a frame, made even."""
        picture = Picture.of(frame.image)
        return cls(max(2, picture.width // 2 * 2), max(2, picture.height // 2 * 2))


def video_info(shape: Shape, fps: Fraction) -> VideoInfo:
    """Describe a camera's pictures for an encoder."""
    return VideoInfo(
        width=shape.width,
        height=shape.height,
        fps=fps,
        time_base=TIME_BASE,
        pixel_aspect=Fraction(1),
        colours=PICTURE_COLOURS,
        siting="left",
        quarter_turns=0,
        frames=0,
    )


def encodable(frame: LiveFrame, shape: Shape) -> NDArray[np.uint8] | VideoFrame:
    """Return a frame as ``VideoWriter.write`` takes it: an avatar's as it is, a camera's fitted into the shape."""
    if isinstance(frame.source, PooledFrame):
        return frame.source.encodable
    return bgr(frame, shape)


def bgr(frame: LiveFrame, shape: Shape) -> NDArray[np.uint8]:
    """Return a frame as uint8 (height, width, 3) BGR of a shape; black bars keep its proportions if it has another."""
    picture = Picture.of(frame.image)
    if isinstance(picture.pixels, np.ndarray) and (picture.width, picture.height) == (shape.width, shape.height):
        return picture.pixels
    scale = min(shape.width / picture.width, shape.height / picture.height)
    width, height = round(picture.width * scale), round(picture.height * scale)
    left, top = (shape.width - width) // 2, (shape.height - height) // 2
    fitted = picture.resized(picture.whole, width, height)
    bars = (top, shape.height - height - top, left, shape.width - width - left)
    return np.asarray(cv2.copyMakeBorder(fitted, *bars, cv2.BORDER_CONSTANT), np.uint8)
