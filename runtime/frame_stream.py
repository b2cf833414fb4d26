"""What finished frames are taken from: closed at the end of a ``with`` block, iterated for what is ready."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from lipforge.runtime.output_frame import OutputFrame

Frame = TypeVar("Frame", bound=OutputFrame)
Stream = TypeVar("Stream", bound="FrameStream[Any]")


class FrameStream(ABC, Generic[Frame]):
    """A stream of frames that does not wait; ``Session`` and ``LiveStream`` are some."""

    @abstractmethod
    def next_frame(self) -> Frame | None:
        """Return the next frame if it is ready, else None; never waits."""

    @abstractmethod
    def close(self) -> None:
        """Drop what waits and refuse everything else. Twice does no harm."""

    def __enter__(self: Stream) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames that are ready, in order; never waits."""
        while (frame := self.next_frame()) is not None:
            yield frame
