"""Lips whose truth is known: each measure moves as it should, and the others stay."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from lipforge.runtime.evaluate.interval import bootstrap, mean_of_videos, ratio
from lipforge.runtime.evaluate.jitter import jitter
from lipforge.runtime.evaluate.lip_agreement import best_lag, correlation, estimate_correlation, landmark_distance
from lipforge.runtime.evaluate.lip_curves import aperture, at_times, lip_outlines, mouth_width
from lipforge.runtime.evaluate.own_voice import SpokenLips, own_correlation, shifted_correlation, swapped_correlation


def test_opening_and_width_are_read_in_eye_distances(truth: SimpleNamespace) -> None:
    opening = truth.talking()
    faces = truth.face_of(opening, width=0.55)
    faces[7] = np.nan
    seen = np.delete(np.arange(len(opening)), 7)
    np.testing.assert_allclose(aperture(faces)[seen], opening[seen], atol=1e-5)
    np.testing.assert_allclose(mouth_width(faces)[seen], 0.55, atol=1e-5)
    assert np.isnan(aperture(faces)[7])
    assert np.isnan(lip_outlines(faces)[7]).all()


@pytest.mark.parametrize("late", [-4, -1, 0, 1, 3])
def test_lag_is_found_to_a_fraction_of_a_frame(truth: SimpleNamespace, late: int) -> None:
    opening = truth.talking(120)
    seen, reference = opening[10 - late : 110 - late], opening[10:110]
    lag = best_lag(seen, reference, truth.fps)
    assert lag.seconds == pytest.approx(late / truth.fps, abs=0.3 / truth.fps)
    assert lag.correlation > 0.99
    assert correlation(seen, reference) == pytest.approx(1.0) if late == 0 else correlation(seen, reference) < 0.99


def test_half_a_frame_of_lag_lies_between_the_frames(truth: SimpleNamespace) -> None:
    opening, times = truth.talking(200), np.arange(200) / truth.fps
    late = at_times(opening, times, times[5:-5] - 0.5 / truth.fps)
    assert best_lag(late, opening[5:-5], truth.fps).seconds == pytest.approx(0.5 / truth.fps, abs=0.15 / truth.fps)


def test_frozen_lips_have_no_correlation_and_are_far_away(truth: SimpleNamespace) -> None:
    opening = truth.talking()
    frozen = np.full_like(opening, opening[0])
    assert np.isnan(correlation(frozen, opening))
    true_shape, frozen_shape = (lip_outlines(truth.face_of(gap)) for gap in (opening, frozen))
    assert landmark_distance(true_shape, true_shape).max() == 0.0
    assert landmark_distance(frozen_shape, true_shape).mean() > 0.01


def test_landmark_distance_of_a_shift_is_that_shift_and_ignores_the_heads_motion(truth: SimpleNamespace) -> None:
    shape = lip_outlines(truth.face_of(truth.talking(20)))
    np.testing.assert_allclose(landmark_distance(shape + np.array([4.0, 0.0]), shape), 0.1)
    faces = truth.face_of(truth.talking(20))
    turned = faces.copy()
    cosine, sine = 1.3 * np.cos(0.2), 1.3 * np.sin(0.2)
    turned[..., :2] = faces[..., :2] @ np.array([[cosine, sine], [-sine, cosine]], np.float32) + np.float32([50, -20])
    np.testing.assert_allclose(landmark_distance(lip_outlines(turned), shape), 0.0, atol=1e-5)


def test_jitter_is_the_deviation_that_was_added_and_speech_is_none(truth: SimpleNamespace) -> None:
    shape = lip_outlines(truth.face_of(truth.talking(200)))
    still = np.repeat(shape[:1], 200, axis=0)
    trembling = np.random.default_rng(3).normal(0, 0.5, still.shape)
    assert jitter(still) == 0.0
    assert jitter(still + trembling) == pytest.approx(0.5, rel=0.05)
    assert jitter(shape) < 0.25
    assert jitter(shape + trembling) == pytest.approx(0.5, rel=0.25)
    opening = truth.talking(200)
    assert correlation(aperture(truth.face_of(opening + 0.003)), opening) > 0.99


def test_curves_at_other_times_are_straight_between_samples_and_unknown_outside() -> None:
    times = np.array([0.0, 0.04, 0.08, 0.12])
    curve = np.array([0.0, 1.0, np.nan, 3.0])
    wanted = np.array([-0.01, 0.0, 0.02, 0.04, 0.05, 0.12, 0.2])
    np.testing.assert_allclose(at_times(curve, times, wanted), [np.nan, 0.0, 0.5, 1.0, np.nan, 3.0, np.nan])


def test_reference_of_another_frame_rate_is_met_in_time(truth: SimpleNamespace) -> None:
    opening, times = truth.talking(100), np.arange(100) / 25
    faster = np.arange(0, 3.9, 1 / 30)
    seen = at_times(opening, times, faster)
    back = at_times(opening, times, faster)
    assert best_lag(seen, back, 30).seconds == pytest.approx(0.0, abs=1e-6)
    assert correlation(seen, back) == pytest.approx(1.0)


def spoken(truth: SimpleNamespace, seed: int, follows: float) -> SpokenLips:
    """Lips that follow the true ones to a degree, speech with a pause in which both rest."""
    true = truth.talking(150, seed)
    speech = np.ones(150, np.bool_)
    speech[:30] = speech[-20:] = False
    lips = follows * true + (1 - follows) * truth.talking(150, seed + 100)
    true, lips = np.where(speech, true, 0.01), np.where(speech, lips, 0.01)
    return SpokenLips(lips, true, speech, truth.fps)


def test_own_voice_stands_out_from_swapped_and_shifted_ones_on_speech_frames(truth: SimpleNamespace) -> None:
    clips = [spoken(truth, seed, follows=0.7) for seed in range(5)]
    own = [own_correlation(lips) for lips in clips]
    swapped = [swapped_correlation(lips, [other for other in clips if other is not lips]) for lips in clips]
    shifted = [shifted_correlation(lips) for lips in clips]
    assert np.mean([float(estimate) for estimate in own]) > 0.8
    assert abs(np.mean(swapped)) < 0.2
    assert abs(np.mean(shifted)) < 0.2
    # The pauses alone would have made swapped voices agree.
    whole = correlation(clips[0].opening, clips[1].true_opening)
    assert whole > swapped_correlation(clips[0], [clips[1]]) + 0.2
    assert all(estimate.low < estimate < estimate.high for estimate in own)


def test_interval_over_blocks_is_wider_for_frames_that_resemble_each_other() -> None:
    random = np.random.default_rng(0)
    values = np.repeat(random.normal(size=40), 10)
    rows = np.column_stack([values, np.ones_like(values)])
    narrow, wide = (bootstrap(rows, ratio, np.arange(400) // block) for block in (1, 10))
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_interval_of_a_mean_covers_it_and_is_unknown_for_two() -> None:
    found = mean_of_videos([1.0, 2.0, 3.0, float("nan"), 4.0])
    assert found.low < found == 2.5 < found.high
    assert np.isnan(mean_of_videos([1.0, 2.0]).low)
    assert np.isnan(mean_of_videos([]))


def test_correlation_of_a_noisy_copy_has_an_interval_around_it(truth: SimpleNamespace) -> None:
    opening = truth.talking(150)
    noisy = opening + np.random.default_rng(0).normal(0, 0.1, 150)
    found = estimate_correlation(noisy, opening, truth.fps)
    assert found.low < found < found.high < 1.0
