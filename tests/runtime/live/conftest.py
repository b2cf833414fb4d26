"""Live streams over the tiny bundle and the drawn disc."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lipforge.runtime.bundle import Bundle
from lipforge.runtime.live import Avatar, LiveFrame, LiveOptions, LiveStream
from lipforge.runtime.picture import Pixels

RATE_HZ = 16_000


@pytest.fixture
def open_stream(bundle: Bundle, disc_tracker: object) -> Callable[..., LiveStream]:
    def make(avatar: Avatar | None = None, **options: object) -> LiveStream:
        disc_tracker.reset()
        return LiveStream(bundle, avatar, LiveOptions(**options), disc_tracker)

    return make


def pixels_of(image: Pixels) -> bytes:
    return (
        image.tobytes() if isinstance(image, np.ndarray) else image.y.tobytes() + image.u.tobytes() + image.v.tobytes()
    )


@pytest.fixture
def digest() -> Callable[[list[LiveFrame]], list[tuple[object, ...]]]:
    def of(frames: list[LiveFrame]) -> list[tuple[object, ...]]:
        return [(f.pts, f.audio_start, pixels_of(f.image), f.audio.tobytes()) for f in frames]

    return of


@pytest.fixture
def tone() -> Callable[..., np.ndarray]:
    """Return a function that gives so many seconds of a tone at a rate."""

    def make(seconds: float, rate_hz: int = RATE_HZ) -> np.ndarray:
        t = np.arange(round(seconds * rate_hz)) / rate_hz
        return (0.4 * np.sin(2 * np.pi * 300 * t)).astype(np.float32)

    return make


@pytest.fixture
def run_clock() -> Callable[..., list[LiveFrame]]:
    """Return a function that takes all frames that are due from one time to another of a made-up clock."""

    def run(stream: LiveStream, until: float, start: float = 0.0, step: float = 0.04) -> list[LiveFrame]:
        frames = []
        for tick in np.arange(start, until, step):
            while (frame := stream.next_frame(float(tick))) is not None:
                frames.append(frame)
        return frames

    return run


@pytest.fixture
def check_gapless() -> Callable[[list[LiveFrame]], None]:
    """Return a function that checks that the frames' audio follows each other without gap."""

    def check(frames: list[LiveFrame]) -> None:
        position = frames[0].audio_start
        for frame in frames:
            assert frame.audio_start == position
            position += len(frame.audio)

    return check
