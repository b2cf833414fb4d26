"""Decoding of a video into upright 4:2:0 planes with their own times; what is 4:2:0 already is only copied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import cv2

from lipforge.kernels.errors import InputError
from lipforge.runtime.media.container import opened
from lipforge.runtime.media.frame_pool import PIXEL_FORMAT, FramePool, PooledFrame, planes_of
from lipforge.runtime.media.video_info import VideoInfo, picture_stream, probe_video

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_AS_DECODED = (PIXEL_FORMAT, "yuvj420p")
"""The formats whose bytes are kept; the latter is an old name for full range, which the colour tags tell."""

_TURNS = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}


@dataclass(frozen=True)
class SourceFrame:
    """One picture of a source.

    Attributes:
        frame: the upright picture; belongs to whoever receives it, until it is given back.
        time: seconds since the source's first frame.
        first_pass: True until a source starts to repeat itself.
    """

    frame: PooledFrame
    time: Fraction
    first_pass: bool


class FrameSource(Protocol):
    """A video or image that gives frames for as long as it is asked."""

    @property
    def info(self) -> VideoInfo:
        """Size, rate and colours."""

    def __iter__(self) -> Iterator[SourceFrame]:
        """Yield frames without end, in order of time."""

    def reuse(self, frame: SourceFrame) -> None:
        """Take back a frame that nobody needs any more; its memory becomes that of a later one."""


@dataclass(frozen=True)
class TimedFrame:
    """A decoded frame that is not converted yet.

    Attributes:
        frame: the decoder's frame.
        time: seconds since the first frame, strictly increasing.
        pts: the file's own timestamp in ticks of its time base; None if it has none.
    """

    frame: VideoFrame
    time: Fraction
    pts: int | None


class VideoReader:
    """Reads one video file; every pass opens it anew.

    Attributes:
        path: the file.
        info: its properties.
        pool: the memory of its pictures.

    Raises:
        InputError: the file is missing or is not a video.
    """

    def __init__(self, path: Path, role: str = "--face") -> None:
        from av.video.reformatter import VideoReformatter

        self.path, self._role = path, role
        self.info = probe_video(path, role)
        self.pool = FramePool(self.info.width, self.info.height, self.info.yuv_spec)
        self._reformatter = VideoReformatter()

    def frames(self, from_pts: int | None = None) -> Iterator[TimedFrame]:
        """Decode frames in order of presentation, each as soon as it is decoded.

        Args:
            from_pts: start at the last key frame at or before this timestamp; times then count from there.

        Raises:
            InputError: the file is damaged so that decoding cannot go on.
        """
        clock = _Clock(self.info)
        with opened(self.path, self._role) as container:
            stream = picture_stream(container.streams.video)
            if stream is None:
                raise InputError(f"{self._role} {self.path}: has no picture any more. Was the file changed?")
            stream.thread_type = "AUTO"
            if from_pts is not None:
                container.seek(from_pts, stream=stream)
            for frame in container.decode(stream):
                yield TimedFrame(frame, clock.time_of(frame), frame.pts)

    def source_frame(self, timed: TimedFrame, time: Fraction, *, first_pass: bool) -> SourceFrame:
        """Copy a decoded frame into memory that may be changed, upright, and give it the time at which it is shown.

        The bytes of 8-bit 4:2:0 are kept. All else (more bits, other chroma, RGB, grey) becomes 4:2:0 with the same
        matrix and range, once, as the encoder would ask for it anyway. Turning keeps the bytes as well; that it moves
        chroma samples by half a pixel against luma is left alone, as FFmpeg does.

        Raises:
            InputError: the picture's size changes in the middle of the video.
        """
        self._check_size(timed.frame)
        pooled = self.pool.take()
        pooled.fill(planes_of(self._as_420(timed.frame)), _TURNS.get(self.info.quarter_turns))
        return SourceFrame(pooled, time, first_pass)

    def _as_420(self, frame: VideoFrame) -> VideoFrame:
        if frame.format.name in _AS_DECODED:
            return frame
        colours = self.info.colours
        return self._reformatter.reformat(
            frame,
            format=PIXEL_FORMAT,
            src_colorspace=colours.conversion_matrix,
            dst_colorspace=colours.conversion_matrix,
            src_color_range=2 if frame.format.is_rgb or frame.format.has_palette else colours.conversion_range,
            dst_color_range=colours.conversion_range,
        )

    def _check_size(self, frame: VideoFrame) -> None:
        size = (frame.height, frame.width) if self.info.quarter_turns % 2 else (frame.width, frame.height)
        if size != (self.info.width, self.info.height):
            raise InputError(
                f"{self._role} {self.path}: the picture changes from {self.info.width}x{self.info.height} to "
                f"{size[0]}x{size[1]} half way. Re-encode the video at one size."
            )


class _Clock:
    """Times of decoded frames: the file's own where they increase, one frame period on where they do not."""

    def __init__(self, info: VideoInfo) -> None:
        self._period, self._time_base = 1 / info.fps, info.time_base
        self._first: Fraction | None = None
        self._last: Fraction | None = None

    def time_of(self, frame: VideoFrame) -> Fraction:
        stamp = None if frame.pts is None else frame.pts * (frame.time_base or self._time_base)
        if self._last is None:
            self._first = stamp or Fraction(0)
            self._last = Fraction(0)
            return self._last
        time = None if stamp is None or self._first is None else stamp - self._first
        self._last = time if time is not None and time > self._last else self._last + self._period
        return self._last
