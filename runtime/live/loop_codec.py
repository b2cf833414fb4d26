"""A loop of pictures, compressed so that it plays forward for ever at the same small cost a picture.

H.264 without frames that refer to later ones: every packet gives one picture at once, and the first one stands alone,
so playing goes from the last to the first without a seek.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from lipforge.kernels.errors import InputError
from lipforge.kernels.yuv import I420Frame
from lipforge.runtime.media.frame_pool import PIXEL_FORMAT, Planes, planes_of
from lipforge.runtime.media.video_info import VideoInfo

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

X264_OPTIONS = {"crf": "12", "preset": "veryfast", "tune": "fastdecode", "bf": "0"}
"""Hard to tell from the source; decoded twice as fast as with x264's defaults."""


class LoopEncoder:
    """Compresses pictures one by one.

    Args:
        info: their size, even on both sides, and rate.
    """

    def __init__(self, info: VideoInfo) -> None:
        from av.codec.context import CodecContext
        from av.video.frame import VideoFrame

        self._context = CodecContext.create("libx264", "w")
        self._context.width, self._context.height = info.width, info.height
        self._context.pix_fmt, self._context.time_base = PIXEL_FORMAT, Fraction(1, 1000)
        self._context.framerate = info.fps
        self._context.options = dict(X264_OPTIONS)
        self._frame = VideoFrame(info.width, info.height, PIXEL_FORMAT)
        self._count = 0

    def encode(self, planes: I420Frame) -> list[bytes]:
        """Take the next picture, at least as large as the loop; return the packets that are ready."""
        self._frame.make_writable()
        for target, plane in zip(planes_of(self._frame), (planes.y, planes.u, planes.v), strict=True):
            target[:] = plane[: target.shape[0], : target.shape[1]]
        self._frame.pts, self._frame.pict_type = 40 * self._count, 0
        self._count += 1
        return [bytes(packet) for packet in self._context.encode(self._frame)]

    def flush(self) -> list[bytes]:
        """Return the packets that are left."""
        return [bytes(packet) for packet in self._context.encode(None)]


class LoopDecoder:
    """Plays the packets of a ``LoopEncoder`` without end.

    Args:
        packets: of one loop.
    """

    def __init__(self, packets: Sequence[bytes]) -> None:
        from av.codec.context import CodecContext

        self._packets, self._next = packets, 0
        self._context = CodecContext.create("h264", "r")
        self._context.thread_count = 1
        self._context.flags |= 1 << 19  # AV_CODEC_FLAG_LOW_DELAY: a picture for every packet
        self._shown: VideoFrame | None = None

    def next(self) -> Planes:
        """Return views of the next picture's planes; valid until the next call, and only to be read.

        Raises:
            InputError: the packets are damaged.
        """
        from av.packet import Packet

        packet = Packet(self._packets[self._next])
        self._next = (self._next + 1) % len(self._packets)
        frames = self._context.decode(packet)
        if len(frames) != 1:
            raise InputError(
                f"a prepared avatar's packet gave {len(frames)} pictures instead of one. Prepare it again."
            )
        self._shown = frames[0]  # its memory lives as long as it does
        return planes_of(self._shown)
