"""Decoding of a video into upright BGR pictures with their own times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import InputError
from lipforge.runtime.media.container import opened
from lipforge.runtime.media.video_info import VideoInfo, picture_stream, probe_video

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_TURNS = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}


@dataclass(frozen=True)
class SourceFrame:
    """One picture of a source.

    Attributes:
        image: uint8 (H, W, 3), BGR, upright; belongs to whoever receives it.
        time: seconds since the source's first frame.
        decoded: the decoder's own frame, for output without a change; None if it would not be upright.
        first_pass: True until a source starts to repeat itself.
    """

    image: NDArray[np.uint8]
    time: Fraction
    decoded: VideoFrame | None
    first_pass: bool


class FrameSource(Protocol):
    """A video or image that gives frames for as long as it is asked."""

    @property
    def info(self) -> VideoInfo:
        """Size, rate and colours."""

    def __iter__(self) -> Iterator[SourceFrame]:
        """Yield frames without end, in order of time."""


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

    Raises:
        InputError: the file is missing or is not a video.
    """

    def __init__(self, path: Path, role: str = "--face") -> None:
        from av.video.reformatter import VideoReformatter

        self.path, self._role = path, role
        self.info = probe_video(path, role)
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

    def picture(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Convert a decoded frame to an upright uint8 (H, W, 3) BGR picture of the size in ``info``.

        Raises:
            InputError: the picture's size changes in the middle of the video.
        """
        colours = self.info.colours
        bgr = self._reformatter.reformat(
            frame,
            format="bgr24",
            src_colorspace=colours.conversion_matrix,
            src_color_range=colours.conversion_range,
            dst_color_range=2,
        )
        image = np.asarray(bgr.to_ndarray(), dtype=np.uint8)
        if self.info.quarter_turns:
            image = np.asarray(cv2.rotate(image, _TURNS[self.info.quarter_turns]), dtype=np.uint8)
        if image.shape != (self.info.height, self.info.width, 3):
            raise InputError(
                f"{self._role} {self.path}: the picture changes from {self.info.width}x{self.info.height} to "
                f"{image.shape[1]}x{image.shape[0]} half way. Re-encode the video at one size."
            )
        return np.require(image, requirements=["C", "W"])  # a view of the converted frame where its rows are packed

    def source_frame(self, timed: TimedFrame, time: Fraction, *, first_pass: bool) -> SourceFrame:
        """Convert a decoded frame and give it the time at which it is shown."""
        decoded = None if self.info.quarter_turns else timed.frame
        return SourceFrame(self.picture(timed.frame), time, decoded, first_pass)


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
