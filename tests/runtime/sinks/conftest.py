"""Frames as a live stream gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import pytest

from lipforge.kernels.yuv import YuvSpec
from lipforge.runtime.live import LiveFrame, Playback
from lipforge.runtime.media.frame_pool import FramePool
from lipforge.runtime.output_frame import FrameStats

RATE_HZ = 48_000


@pytest.fixture
def live_frames(scene: Callable[..., np.ndarray]) -> Callable[..., Iterator[LiveFrame]]:
    """Return a function that makes frames: a beep and a flash each second, of a camera or of an avatar."""

    def make(
        count: int,
        size: tuple[int, int] = (160, 120),
        *,
        avatar: bool = False,
        rate_hz: int = RATE_HZ,
        channels: int = 1,
    ) -> Iterator[LiveFrame]:
        share = rate_hz // 25
        tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(share) / rate_hz).astype(np.float32)
        pool = FramePool(*size, YuvSpec("bt709", False))
        for index in range(count):
            flash = index % 25 in (0, 1)
            sound = np.repeat((tone if flash else np.zeros_like(tone))[:, None], channels, axis=1)
            image, source = scene(*size, index), None
            image[:8] = 255 if flash else 0
            if avatar:
                source = pool.take()
                source.fill((image[..., 1], image[::2, ::2, 0], image[::2, ::2, 2]))
            yield LiveFrame(
                source.planes if source else image,
                index * Fraction(1, 25),
                sound,
                index * share,
                FrameStats(face=True, driven=True, track_ms=0.0),
                source,
                rate_hz,
                0,
                Playback(0, 0.0, 0.0),
            )

    return make
