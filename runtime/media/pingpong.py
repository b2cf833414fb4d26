"""A video played forward, backward, forward ... without end, in bounded memory.

Video decodes forward only. A backward lap therefore goes through the video in chunks, last chunk first: seek to the
key frame before the chunk, decode up to its end, keep the chunk's frames (still in the decoder's compact format) and
hand them out in reverse. A chunk never crosses a key frame and never holds more than ``held_bytes``; a long group of
pictures is decoded once for each of its chunks. Files that cannot seek exactly (MPEG program streams) are decoded from
their start for each chunk instead.

Beside the chunk, 16 bytes a frame are kept (timestamp and time).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice, takewhile
from pathlib import Path

from lipforge.kernels.errors import InputError
from lipforge.runtime.media.video_info import VideoInfo
from lipforge.runtime.media.video_reader import SourceFrame, TimedFrame, VideoReader

HELD_BYTES = 96 << 20


class PingPong:
    """Frames of a video file, forward and backward in turn; see the module's description.

    Args:
        path: of the file.
        role: what it is for; starts the messages.
        held_bytes: most memory of a chunk.
        longest_frames: turn round after so many frames of a longer video.

    Raises:
        InputError: the file is missing or is not a video.
    """

    def __init__(
        self, path: Path, role: str = "--face", held_bytes: int = HELD_BYTES, longest_frames: int | None = None
    ) -> None:
        self._reader = VideoReader(path, role)
        self._held_bytes, self._longest_frames = held_bytes, longest_frames
        self._pts = array("q")
        self._ticks = array("q")
        self._key_frames = array("q")
        self._seekable = True
        self._frame_bytes = 1

    @property
    def info(self) -> VideoInfo:
        """Size, rate and colours of the video."""
        return self._reader.info

    def __iter__(self) -> Iterator[SourceFrame]:
        """Yield every frame forward, then laps in alternating direction; the turning frames are shown once."""
        last = Fraction(0)
        for timed in self._first_lap():
            last = timed.time
            yield self._reader.source_frame(timed, timed.time, first_pass=True)
        shown, index = last, len(self._pts) - 1
        while True:
            before = shown
            for next_index, timed in self._next_lap(index):
                shown += self._step(index, next_index)
                index = next_index
                yield self._reader.source_frame(timed, shown, first_pass=False)
            if shown == before:
                raise InputError(f"{self._reader.path}: cannot be decoded a second time. Was the file changed?")

    def reuse(self, frame: SourceFrame) -> None:
        """Take back a frame that nobody needs any more; its memory becomes that of a later one."""
        self._reader.pool.give_back(frame.frame)

    def _first_lap(self) -> Iterator[TimedFrame]:
        self._pts, self._ticks, self._key_frames = array("q"), array("q"), array("q")
        for timed in islice(self._reader.frames(), self._longest_frames):
            if not self._pts:
                self._frame_bytes = sum(plane.buffer_size for plane in timed.frame.planes)
            if timed.pts is None:
                self._seekable = False
            if timed.frame.key_frame:
                self._key_frames.append(len(self._pts))
            self._pts.append(timed.pts or 0)
            self._ticks.append(round(timed.time / self.info.time_base))
            yield timed

    def _next_lap(self, index: int) -> Iterator[tuple[int, TimedFrame]]:
        last = len(self._pts) - 1
        if last == 0:
            return self._forward(0)
        return self._backward() if index == last else self._forward(1)

    def _step(self, index: int, next_index: int) -> Fraction:
        if index == next_index:
            return 1 / self.info.fps
        return abs(self._ticks[next_index] - self._ticks[index]) * self.info.time_base

    def _forward(self, first: int) -> Iterator[tuple[int, TimedFrame]]:
        for index, timed in enumerate(self._reader.frames()):
            if first <= index < len(self._pts):
                yield index, timed

    def _backward(self) -> Iterator[tuple[int, TimedFrame]]:
        stop = len(self._pts) - 1
        while stop > 0:
            start = self._chunk_start(stop)
            chunk = self._decode_chunk(start, stop)
            while chunk:
                stop -= 1
                yield stop, chunk.pop()

    def _chunk_start(self, stop: int) -> int:
        held_frames = max(1, self._held_bytes // self._frame_bytes)
        if not self._seekable:
            return max(0, stop - held_frames)
        key_frame = next((k for k in reversed(self._key_frames) if k < stop), 0)
        return max(key_frame, stop - held_frames)

    def _decode_chunk(self, start: int, stop: int) -> list[TimedFrame]:
        """Return frames ``start`` to ``stop - 1``, found by their timestamps or, failing that, by counting."""
        if self._seekable:
            wanted = self._pts[start:stop]
            chunk = self._decode_span(start, wanted[0], wanted[-1])
            if array("q", [timed.pts or 0 for timed in chunk]) == wanted:
                return chunk
            self._seekable = False
        return [timed for _, timed in takewhile(lambda item: item[0] < stop, self._forward(start))]

    def _decode_span(self, start: int, first_pts: int, last_pts: int) -> list[TimedFrame]:
        key_frame = next((k for k in reversed(self._key_frames) if k <= start), 0)
        chunk: list[TimedFrame] = []
        for timed in self._reader.frames(from_pts=self._pts[key_frame]):
            if timed.pts is None or timed.pts > last_pts:
                break
            if timed.pts >= first_pts:
                chunk.append(timed)
        return chunk
