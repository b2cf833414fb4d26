"""Which mouths and pairs the warp network learns from."""

from __future__ import annotations

import numpy as np
import pytest

from lipforge.kernels.spec import LipSpec
from lipforge.preprocess.synth.expression import UNIT_INDEX
from lipforge.preprocess.synth.mouths import EXTREMES, choose_mouths, choose_pairs, rounded, spread


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("count", [1, 2, 8])
def test_the_closed_mouth_comes_first(count: int) -> None:
    speech = np.full((5, 12), 0.1, np.float32)
    for seed in range(20):
        mouths = choose_mouths(count, speech, _rng(seed))
        assert len(mouths) == count
        assert not mouths[0].any()


def test_most_people_show_mouths_that_speech_does_not() -> None:
    speech = np.zeros((5, 12), np.float32)
    people = [np.stack(choose_mouths(8, speech, _rng(seed))) for seed in range(100)]
    for name, least in (("mouthPucker", 0.7), ("mouthStretch", 0.5), ("jawOpen", 0.65), ("mouthUpperUp", 0.3)):
        share = np.mean([(units[:, UNIT_INDEX[name]] >= least).any() for units in people])
        assert share > 0.5, name


def test_rounded_and_spread_mouths_are_opposites() -> None:
    pucker, stretch = UNIT_INDEX["mouthPucker"], UNIT_INDEX["mouthStretch"]
    for seed in range(20):
        assert rounded(_rng(seed))[pucker] > 0 == spread(_rng(seed))[pucker]
        assert spread(_rng(seed))[stretch] > 0 == rounded(_rng(seed))[stretch]


def _lips(openings: list[float], widths: list[float]) -> np.ndarray:
    spec = LipSpec()
    rings = []
    for count in (spec.outer_points, spec.inner_points):
        angle = 2 * np.pi * np.arange(count) / count
        rings.append(np.stack([-np.cos(angle), -np.sin(angle)], 1))
    ring = np.concatenate(rings)
    return np.stack([ring * [w / 2, o / 2] for o, w in zip(openings, widths, strict=True)])


def test_pairs_differ_and_far_changes_come_more_often() -> None:
    lips = _lips([0, 0, 1, 12, 0], [20, 21, 20, 20, 26])
    counts = np.zeros((5, 5), int)
    for seed in range(400):
        chosen = choose_pairs(lips, 6, LipSpec(), _rng(seed))
        assert len(set(chosen)) == 6
        for pair in chosen:
            counts[pair] += 1
    assert not counts.diagonal().any()
    assert counts[0, 3] > 1.3 * counts[0, 2], "opening wide, from the closed mouth"
    assert counts[4, 0] > 1.3 * counts[1, 0], "from wide to closed"
    assert (counts + 400 * np.eye(5)).min() > 20, "small changes happen too"
    assert choose_pairs(lips, 6, LipSpec(), _rng(3)) == choose_pairs(lips, 6, LipSpec(), _rng(3))


@pytest.mark.parametrize("make", [make for make, _ in EXTREMES])
def test_extremes_repeat_from_their_seed(make) -> None:  # type: ignore[no-untyped-def]
    np.testing.assert_array_equal(make(_rng(1)), make(_rng(1)))
    assert (make(_rng(1)) != make(_rng(2))).any()
