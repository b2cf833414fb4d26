"""Babble fills its time with sounds in order, and moves the mouth."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lipforge.preprocess.synth.babble import babble
from lipforge.preprocess.synth.expression import UNIT_INDEX
from lipforge.preprocess.synth.visemes import unit_curves, visemes_of


@pytest.mark.parametrize("seed", range(5))
def test_sounds_follow_each_other_and_are_known(seed: int) -> None:
    phonemes = babble(4.0, np.random.default_rng(seed))
    assert len(phonemes) > 15
    assert all(0.0 <= start < end <= 4.0 for _, start, end in phonemes)
    assert all(before[2] <= after[1] for before, after in itertools.pairwise(phonemes))
    assert all(len(visemes_of(ipa)) == 1 for ipa, _, _ in phonemes)
    jaw = unit_curves(phonemes, 4.0, 25)[:, UNIT_INDEX["jawOpen"]]
    assert jaw.min() < 0.05
    assert jaw.max() > 0.3


def test_the_same_seed_babbles_the_same() -> None:
    assert babble(2.0, np.random.default_rng(3)) == babble(2.0, np.random.default_rng(3))
