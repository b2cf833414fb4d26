"""Frames of a video with the face in each, and those of two videos side by side in time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lipforge.kernels.yuv import I420Frame
from lipforge.runtime.faces import Face
from lipforge.runtime.media.video_info import VideoInfo
from lipforge.runtime.media.video_reader import VideoReader
from lipforge.runtime.picture import Picture
from lipforge.runtime.session import Tracker


@dataclass(frozen=True)
class TrackedFrame:
    """One frame: ``time_s`` since the video's first one, its planes, and the face in it or None."""

    time_s: float
    planes: I420Frame
    face: Face | None


class TrackedVideo:
    """Frames of a video file with their faces, once, in order.

    Args:
        path: the video.
        tracker: used for nothing else meanwhile.
        role: how the user named the file; starts the messages.

    Raises:
        InputError: the file is missing or is no video.
    """

    def __init__(self, path: Path, tracker: Tracker, role: str) -> None:
        self.path, self._tracker = path, tracker
        self._reader = VideoReader(path, role)

    @property
    def info(self) -> VideoInfo:
        """Size and rate."""
        return self._reader.info

    def __iter__(self) -> Iterator[TrackedFrame]:
        """Yield the frames.

        Raises:
            InputError: the file is damaged.
        """
        self._tracker.reset()
        for timed in self._reader.frames():
            planes = self._reader.source_frame(timed, timed.time, first_pass=True).frame.planes
            yield TrackedFrame(float(timed.time), planes, self._tracker.track(Picture.of(planes)))


def side_by_side(
    frames: Iterator[TrackedFrame], reference: Iterator[TrackedFrame], reference_fps: float
) -> Iterator[tuple[TrackedFrame, TrackedFrame | None]]:
    """Pair every frame of a video with the reference's frame that is shown at its time (the nearest one).

    Yields:
        The frame, and the reference's or None where that has ended.
    """
    reach = 0.75 / reference_fps
    before = after = next(reference, None)
    for frame in frames:
        while after is not None and after.time_s < frame.time_s:
            before, after = after, next(reference, None)
        near = [side for side in (before, after) if side is not None and abs(side.time_s - frame.time_s) <= reach]
        yield frame, min(near, key=lambda side: abs(side.time_s - frame.time_s), default=None)
