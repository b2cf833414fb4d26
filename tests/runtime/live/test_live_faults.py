"""Hundreds of random calls, many of them wrong: only errors that say what is wrong, and a stream that goes on."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from lipforge.kernels.errors import InputError
from lipforge.runtime.live import Avatar, LiveFrame, LiveStream

Open = Callable[..., LiveStream]
CALLS = 600


def random_audio(random: np.random.Generator) -> tuple[object, object]:
    """Audio of any form, and a rate; about half of it is not usable."""
    rate = random.choice([8000, 16_000, 22_050, 44_100, 48_000, 7, 0, -1, 10**7])
    count = int(random.choice([0, 1, 37, 640, 5000]))
    kind = random.integers(0, 9)
    tone = (0.3 * np.sin(np.arange(count) / 7)).astype(np.float32)
    wrong: list[object] = [
        tone.astype(np.float64),
        np.full(count + 1, np.nan, np.float32),
        np.zeros((2, 2, 2), np.float32),
        np.zeros((count, 0), np.float32),
        "noise",
        None,
    ]
    right = [tone, np.stack([tone, tone], axis=1), (tone * 32767).astype(np.int16)]
    return [*right, *wrong][kind], int(rate)


def random_image(random: np.random.Generator, scene: Callable[..., np.ndarray], index: int) -> object:
    width, height = (int(random.choice([1, 2, 33, 97, 160])) for _ in range(2))
    kind = random.integers(0, 6)
    if kind < 3:
        return scene(max(width, 16), max(height, 16), index)
    return [np.zeros((height, width), np.uint8), np.zeros((0, 5, 3), np.uint8), "picture"][kind - 3]


@pytest.mark.parametrize(("seed", "camera"), [(0, False), (1, True)])
def test_random_calls(
    open_stream: Open, avatar: Avatar, scene: Callable[..., np.ndarray], seed: int, camera: bool
) -> None:
    random = np.random.default_rng(seed)
    stream = open_stream(None if camera else avatar, audio_queue_ms=3000.0, late_audio_ms=float(40 * seed))
    now, refused = 0.0, list[str]()
    frames: list[LiveFrame] = []
    for index in range(CALLS):
        now += float(random.choice([0.0, 0.01, 0.04, 0.5], p=[0.3, 0.5, 0.19, 0.01]))
        call = random.integers(0, 10)
        try:
            if call < 3:
                stream.push_audio(*random_audio(random))  # type: ignore[arg-type]
            elif call < 5:
                pts = random.choice([None, now, float("nan"), -1.0, 0.0])
                stream.push_frame(random_image(random, scene, index), pts)  # type: ignore[arg-type]
            elif call == 5 and random.random() < 0.2:
                stream.interrupt()
            elif call == 6 and random.random() < 0.2:
                stream.flush()
            else:
                clock = random.choice([now, now, now, float("inf"), float("nan"), -7.0, 1e9])
                frame = stream.next_frame(float(clock))
                frames += [frame] if frame is not None else []
        except InputError as error:
            refused.append(str(error))
    stream.end()
    frames += list(stream)
    assert len(refused) > 50
    assert not any("\n" in message for message in refused)
    assert len(frames) > (10 if camera else 50)
    assert all(before.pts < after.pts for before, after in pairwise(frames))
    assert all(before.epoch <= after.epoch for before, after in pairwise(frames))
    position = frames[0].audio_start
    for frame in frames:
        assert frame.audio_start == position
        assert np.isfinite(frame.audio).all()
        position += len(frame.audio)
    assert stream.ended
    assert frames[0].pts >= Fraction(0)
