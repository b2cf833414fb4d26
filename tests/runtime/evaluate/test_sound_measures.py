"""Speech, pauses and closures whose times are known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from lipforge.runtime.evaluate.closures import (
    Closure,
    ShutLevels,
    closure_rate,
    closures_of_lips,
    closures_of_phonemes,
)
from lipforge.runtime.evaluate.rest_motion import rest_motion
from lipforge.runtime.evaluate.same_recording import same_recording
from lipforge.runtime.evaluate.speech_frames import loudness, rest_frames, speech_frames

RATE = 16_000
LEVELS = ShutLevels(shut=0.04, open_again=0.07)


def sound_of(speech: np.ndarray, fps: float, level: float = 0.3) -> np.ndarray:
    """Noise where somebody speaks, a thousandth of it elsewhere."""
    count = round(len(speech) / fps * RATE)
    gate = speech[np.minimum((np.arange(count) / RATE * fps).astype(int), len(speech) - 1)]
    noise = np.random.default_rng(0).normal(0, level, count)
    return np.asarray(noise * np.where(gate, 1.0, 1e-3), np.float32)


@pytest.mark.parametrize("level", [0.3, 0.01])
def test_speech_is_where_the_sound_is_loud_whatever_its_level(truth: SimpleNamespace, level: float) -> None:
    speech = np.zeros(100, np.bool_)
    speech[20:55] = speech[75:95] = True
    times = (np.arange(100) + 0.5) / truth.fps
    found = speech_frames(loudness(sound_of(speech, truth.fps, level), times))
    assert (found != speech).sum() <= 8  # two frames at each of four edges: the window is 200 ms wide
    assert rest_frames(found, truth.fps)[60:70].all()
    assert not rest_frames(found, truth.fps)[np.flatnonzero(found)].any()


def test_silence_is_no_speech_and_speech_without_pauses_is_all_speech(truth: SimpleNamespace) -> None:
    times = np.arange(50) / truth.fps
    assert not speech_frames(loudness(np.zeros(2 * RATE, np.float32), times)).any()
    assert speech_frames(loudness(sound_of(np.ones(50, np.bool_), truth.fps), times)).all()


def test_motion_in_pauses_is_counted_and_motion_in_speech_is_not(truth: SimpleNamespace) -> None:
    speech = np.zeros(100, np.bool_)
    speech[:50] = True
    opening = truth.talking(100)
    rest = rest_frames(speech, truth.fps)
    assert rest_motion(np.where(speech, opening, 0.02), rest, truth.fps) == 0.0
    trembling = np.where(speech, 0.02, 0.02 + 0.01 * (np.arange(100) % 2))
    assert rest_motion(trembling, rest, truth.fps) == pytest.approx(0.25)
    assert np.isnan(rest_motion(opening, np.zeros(100, np.bool_), truth.fps))


def test_closures_are_the_bilabials_of_a_text() -> None:
    phonemes = [("l", 0.0, 0.1), ("a", 0.1, 0.2), ("m", 0.2, 0.3), ("p", 0.3, 0.35), ("ə", 0.35, 0.5), ("ˈb", 0.5, 0.6)]
    assert closures_of_phonemes(phonemes) == [Closure(0.2, 0.35), Closure(0.5, 0.6)]


def closing_lips(fps: float, closed: list[int], late: int = 0, depth: float = 0.0) -> np.ndarray:
    opening = np.full(100, 0.15)
    for frame in closed:
        opening[frame + late : frame + late + 2] = depth
    return opening


@pytest.mark.parametrize(
    ("late", "depth", "rate"), [(0, 0.0, 1.0), (1, 0.0, 1.0), (-1, 0.02, 1.0), (5, 0.0, 0.0), (0, 0.06, 0.0)]
)
def test_closures_are_met_within_a_frame_or_not(truth: SimpleNamespace, late: int, depth: float, rate: float) -> None:
    frames = [10, 25, 47, 63, 88]
    times = np.arange(100) / truth.fps
    closures = [Closure(frame / truth.fps, (frame + 1) / truth.fps) for frame in frames]
    found = closure_rate(closures, closing_lips(truth.fps, frames, late, depth), times, truth.fps, LEVELS)
    assert (found.rate, found.count) == (rate, 5)
    assert found.chance < 0.5


def test_lips_that_are_always_shut_reach_their_rate_by_chance(truth: SimpleNamespace) -> None:
    times = np.arange(100) / truth.fps
    found = closure_rate([Closure(1.0, 1.05)], np.zeros(100), times, truth.fps, LEVELS)
    assert found.rate == found.chance == 1.0


def test_closures_of_real_lips_lie_between_two_openings_in_speech(truth: SimpleNamespace) -> None:
    times = np.arange(100) / truth.fps
    opening = closing_lips(truth.fps, [10, 60])
    opening[:5] = opening[95:] = 0.0  # at rest before and after
    speech = np.zeros(100, np.bool_)
    speech[5:95] = True
    found = closures_of_lips(opening, times, speech, LEVELS)
    assert [(round(c.start_s * truth.fps), round(c.end_s * truth.fps)) for c in found] == [(10, 11), (60, 61)]
    speech[50:70] = False
    assert len(closures_of_lips(opening, times, speech, LEVELS)) == 1


def test_one_recording_is_known_again_shifted_quieter_and_shorter() -> None:
    random = np.random.default_rng(0)
    a, b = (random.normal(size=3 * RATE).astype(np.float32) for _ in range(2))
    a[RATE : RATE + 4_000] = 0.0
    again = 0.1 * np.concatenate([np.zeros(3_000, np.float32), a[:-9_000]]) + 0.01 * b[: 3 * RATE - 6_000]
    assert same_recording(a, again)
    assert not same_recording(a, b)
    assert not same_recording(a, np.zeros_like(a))
    assert not same_recording(a[:0], a)


def test_levels_are_the_speakers_own(truth: SimpleNamespace) -> None:
    opening = truth.talking(200)
    wide, narrow = ShutLevels.of(opening), ShutLevels.of(0.01 + 0.2 * opening)
    assert wide is not None
    assert narrow is not None
    assert narrow.shut == pytest.approx(0.01 + 0.2 * wide.shut)
    assert wide.shut < wide.open_again < np.percentile(opening, 90)
    assert ShutLevels.of(np.full(100, 0.02)) is None  # frozen lips have none: all they do would count as shut
