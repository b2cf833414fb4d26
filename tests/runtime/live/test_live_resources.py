"""What a stream takes of the machine, and gives back."""

from __future__ import annotations

import os
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipforge.runtime.bundle import Bundle
from lipforge.runtime.live import Avatar, LiveOptions, LiveStream
from lipforge.runtime.live_bench import measurements
from lipforge.runtime.live_bench.material import Material
from lipforge.runtime.live_bench.measurements import memory, open_and_close

RATE_HZ = 16_000


def test_fifty_streams_leave_nothing(material: Material) -> None:
    row = open_and_close(material, 50)
    assert row.values["threads"] == row.values["descriptors"] == 0
    assert row.values["grown_mb"] < 8


def test_a_frame_allocates_nothing_of_its_size(
    bundle: Bundle, disc_tracker: object, scene: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "large.png"), scene(1280, 720, 0))
    avatar = Avatar.prepare(tmp_path / "large.png", bundle, tracker=disc_tracker)
    stream = LiveStream(bundle, avatar, LiveOptions(gate=None))
    tone = 0.4 * np.sin(np.arange(640) / 8).astype(np.float32)
    most = 0
    for index in range(40):
        stream.push_audio(tone, RATE_HZ)
        if index == 10:
            tracemalloc.start()
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        frame = stream.next_frame()
        most = max(most, tracemalloc.get_traced_memory()[1] - before) if index > 12 else 0
        if frame is not None:
            stream.reuse(frame)
    tracemalloc.stop()
    assert stream.stats().driven_frames > 30
    assert most < 1280 * 720 / 10


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_soak(material: Material) -> None:
    """Minutes of stream, LIPFORGE_SOAK_MINUTES of them, half speech and half pauses."""
    minutes = float(os.environ.get("LIPFORGE_SOAK_MINUTES", "30"))
    before = threading.active_count()
    row = memory(material, minutes)
    assert row.values["value"] < measurements.GROWTH_MB_IN_10_MIN
    assert threading.active_count() == before
