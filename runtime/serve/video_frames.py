"""Frames between PyAV, as browsers send and get them, and the engine; 4:2:0 stays 4:2:0."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lipforge.kernels.yuv import I420Frame, Nv12Frame, YuvSpec
from lipforge.runtime.media.frame_pool import PIXEL_FORMAT, PooledFrame, planes_of
from lipforge.runtime.picture import Pixels
from lipforge.runtime.serve.playout import Shown

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

BROWSER_SPEC = YuvSpec("bt601", False, "centre")
"""VP8 (RFC 6386, section 9.2) has BT.601 in studio range; libwebrtc's converters put chroma midway."""


def writable_frame(frame: VideoFrame) -> PooledFrame:
    """Return a decoded frame as planes that may be changed; 4:2:0 is copied only if the decoder still needs it."""
    if frame.format.name != PIXEL_FORMAT:
        frame = frame.reformat(format=PIXEL_FORMAT)
    frame.make_writable()
    return PooledFrame(I420Frame(*planes_of(frame), BROWSER_SPEC), frame)


def encodable(shown: Shown) -> VideoFrame:
    """Return a finished frame for an encoder: the very memory where the engine's planes stand in a frame's."""
    if shown.copy is not None:
        return shown.copy
    source = shown.source.source
    if isinstance(source, PooledFrame) and source.planes is shown.image:
        return source.encodable
    return copied(shown.image)


def copied(image: Pixels) -> VideoFrame:
    """Return a copy of pixels of any form as yuv420p."""
    from av.video.frame import VideoFrame

    if isinstance(image, np.ndarray):
        return VideoFrame.from_ndarray(image, format="bgr24").reformat(format=PIXEL_FORMAT)
    if isinstance(image, Nv12Frame):
        height, width = image.y.shape
        frame = VideoFrame(width, height, PIXEL_FORMAT)
        planes = (image.y, image.uv[..., 0], image.uv[..., 1])
    else:
        height, width = image.y.shape
        frame = VideoFrame(width, height, PIXEL_FORMAT)
        planes = (image.y, image.u, image.v)
    for target, plane in zip(planes_of(frame), planes, strict=True):
        np.copyto(target, plane)
    return frame
