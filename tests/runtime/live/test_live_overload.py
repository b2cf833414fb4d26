"""Overload costs pictures and never sound; silence and lost faces show the real mouth."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from lipforge.runtime.bundle import Bundle
from lipforge.runtime.live import Avatar, LiveFrame, LiveOptions, LiveStream

RATE_HZ = 16_000
PERIOD = Fraction(1, 25)
SAMPLES = 640
Scene = Callable[..., np.ndarray]
Open = Callable[..., LiveStream]
Tone = Callable[..., np.ndarray]
CheckGapless = Callable[[list[LiveFrame]], None]


# Overload.


@pytest.mark.parametrize("cost_periods", [2, 4])
def test_overload_drops_video_and_keeps_latency_and_audio(
    open_stream: Open, avatar: Avatar, cost_periods: int, tone: Tone, check_gapless: CheckGapless
) -> None:
    stream, now, frames = open_stream(avatar), 0.0, []
    audio = tone(6.0)
    stream.push_audio(audio, RATE_HZ)
    while now < 5.0:
        frame = stream.next_frame(now)
        now += 0.04 * cost_periods if frame is not None else 0.01
        if frame is not None:
            frames.append((now, frame))
    late = [now - float(frame.pts + stream.lookahead) for now, frame in frames[5:]]
    assert max(late) <= 0.12 + 0.04 * (cost_periods + 1)
    dropped = stream.stats().dropped_frames
    assert dropped == pytest.approx(len(frames) * (cost_periods - 1), abs=6)
    check_gapless([frame for _, frame in frames])
    spoken = np.concatenate([frame.audio for _, frame in frames])[:, 0]
    assert np.array_equal(spoken, audio[: len(spoken)])


def test_a_camera_faster_than_the_engine_is_bounded(
    open_stream: Open, scene: Scene, tone: Tone, check_gapless: CheckGapless
) -> None:
    stream, frames = open_stream(), []
    audio = tone(4.0)
    for index in range(100):
        stream.push_audio(audio[index * SAMPLES : (index + 1) * SAMPLES], RATE_HZ)
        stream.push_frame(scene(160, 120, index), index * PERIOD)
        if index % 2:  # every other turn is one frame's work: half of what comes
            frame = stream.next_frame()
            if frame is not None:
                frames.append((index, frame))
    behind = [index - frame.pts / PERIOD for index, frame in frames[10:]]
    assert max(behind) <= 9
    assert stream.stats().dropped_frames > 30
    check_gapless([frame for _, frame in frames])
    spoken = np.concatenate([frame.audio for _, frame in frames])[:, 0]
    assert np.array_equal(spoken, audio[: len(spoken)])


# Silence and lost faces.


def test_silence_fades_to_the_real_mouth(open_stream: Open, avatar: Avatar, tone: Tone) -> None:
    stream = open_stream(avatar)
    quiet = 1e-4 * np.random.default_rng(0).standard_normal(RATE_HZ).astype(np.float32)
    stream.push_audio(np.concatenate([quiet, tone(0.6), quiet, quiet]), RATE_HZ)
    stream.end()
    frames = list(stream)
    strengths = [frame.stats.strength for frame in frames]
    rise = strengths.index(1.0)
    assert strengths[rise - 3 : rise] == pytest.approx([0, 1 / 3, 2 / 3])
    assert frames[rise].pts <= 1.0
    fall = len(strengths) - strengths[::-1].index(1.0)
    assert strengths[fall : fall + 3] == pytest.approx([2 / 3, 1 / 3, 0])
    assert frames[fall].pts >= Fraction(16, 10)
    for frame in frames:
        if not frame.stats.driven:
            assert np.array_equal(frame.image.y, frames[0].image.y)


def test_silence_comes_and_goes_without_a_pop(
    inpaint_bundle: Callable[..., Bundle], disc_tracker: object, scene: Scene, tone: Tone
) -> None:
    """The generator paints a black chin in silence; no pixel may jump from that to the real one."""

    def largest_step(**options: object) -> float:
        stream = LiveStream(bundle, None, LiveOptions(video_queue_ms=9000.0, **options), disc_tracker)
        stream.push_audio(np.concatenate([tone(0.4), np.zeros(RATE_HZ, np.float32)]), RATE_HZ)
        for index in range(35):
            stream.push_frame(scene(160, 120, 0), index * PERIOD)
        stream.end()
        silent = [frame.image.astype(np.int16) for frame in stream if frame.pts > Fraction(4, 10)]
        return float(np.abs(np.diff(silent, axis=0)).max())

    bundle = inpaint_bundle()
    pop = largest_step(fade_ms=0.0)
    assert pop > 100
    assert largest_step() == pytest.approx(pop / 3, rel=0.1)
    assert largest_step(fade_ms=400.0) == pytest.approx(pop / 10, rel=0.2)


def test_a_pause_between_words_keeps_the_lips(open_stream: Open, avatar: Avatar, tone: Tone) -> None:
    stream = open_stream(avatar)
    word, pause = tone(0.4), np.zeros(round(0.16 * RATE_HZ), np.float32)
    stream.push_audio(np.concatenate([word, pause, word, pause, word]), RATE_HZ)
    stream.end()
    assert all(frame.stats.strength == 1.0 for frame in list(stream)[2:])


def test_a_lost_face_passes_through_and_fades_back_in(open_stream: Open, scene: Scene, tone: Tone) -> None:
    stream = open_stream(video_queue_ms=5000.0)
    stream.push_audio(tone(1.2), RATE_HZ)
    lost = range(10, 15)
    originals = [scene(160, 120, index, face=index not in lost) for index in range(25)]
    for index, image in enumerate(originals):
        stream.push_frame(image.copy(), index * PERIOD)
    stream.end()
    frames = list(stream)
    assert [frame.stats.strength for frame in frames[8:19]] == pytest.approx([1, 1, *[0] * 5, 1 / 3, 2 / 3, 1, 1])
    for index in lost:
        assert not frames[index].stats.face
        assert np.array_equal(frames[index].image, originals[index])
