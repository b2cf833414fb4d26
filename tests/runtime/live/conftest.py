"""Live streams over the tiny bundle and the drawn disc."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lipforge.runtime.bundle import Bundle
from lipforge.runtime.live import Avatar, LiveFrame, LiveOptions, LiveStream
from lipforge.runtime.picture import Pixels

RATE_HZ = 16_000
ALL_AUDIO = {"gate": None, "fade_ms": 0.0}
"""Options with which lips follow all audio at once, as in an offline session."""


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
