"""Phonemes to mouth units."""

from __future__ import annotations

import numpy as np
import pytest

from lipforge.preprocess.synth.expression import UNIT_INDEX
from lipforge.preprocess.synth.visemes import ANTICIPATION_S, unit_curves, visemes_of

JAW, CLOSE = UNIT_INDEX["jawOpen"], UNIT_INDEX["mouthClose"]
FPS = 100.0  # finer than video, to look between its frames


def _curves(*phonemes: tuple[str, float, float], seconds: float = 1.0, energy: float = 1.0) -> np.ndarray:
    return unit_curves(phonemes, seconds, FPS, energy)


def test_silence_rests() -> None:
    assert np.abs(_curves()).max() < 1e-6


def test_length_is_rounded_to_whole_frames() -> None:
    assert unit_curves([], 1.99, 25).shape == (50, 12)


@pytest.mark.parametrize("bilabial", ["p", "b", "m", "ˈm", "pʰ"])
def test_bilabials_close_what_the_jaw_opens_between_two_open_vowels(bilabial: str) -> None:
    curves = _curves(("ɑː", 0.2, 0.4), (bilabial, 0.4, 0.48), ("ɑː", 0.48, 0.7))
    middle = curves[44]
    assert middle[JAW] - middle[CLOSE] < 0.02, "mouthClose must undo jawOpen"
    assert curves[30, JAW] - curves[30, CLOSE] > 0.3, "the vowel before is open"
    assert curves[60, JAW] - curves[60, CLOSE] > 0.3, "and the one after"


def test_an_alveolar_does_not_close_the_lips() -> None:
    curves = _curves(("ɑː", 0.2, 0.4), ("t", 0.4, 0.48), ("ɑː", 0.48, 0.7))
    assert curves[44, JAW] - curves[44, CLOSE] > 0.1


def test_lips_move_ahead_of_the_sound_but_not_earlier_than_they_anticipate() -> None:
    pucker = _curves(("uː", 0.5, 0.8))[:, UNIT_INDEX["mouthPucker"]]
    onset_s = np.flatnonzero(pucker > 0.1 * pucker.max())[0] / FPS
    assert 0.5 - 2 * ANTICIPATION_S < onset_s < 0.5 - 0.3 * ANTICIPATION_S


def test_rounded_and_spread_vowels_differ() -> None:
    rounded, spread = _curves(("uː", 0.3, 0.7))[50], _curves(("iː", 0.3, 0.7))[50]
    assert rounded[UNIT_INDEX["mouthPucker"]] > 0.7 > 0.1 > spread[UNIT_INDEX["mouthPucker"]]
    assert spread[UNIT_INDEX["mouthStretch"]] > 0.3 > 0.1 > rounded[UNIT_INDEX["mouthStretch"]]


def test_energy_scales_vowels() -> None:
    loud, quiet = (_curves(("ɑː", 0.3, 0.7), energy=e)[50, JAW] for e in (1.0, 0.5))
    assert quiet == pytest.approx(0.5 * loud, rel=1e-6)


def test_effort_scales_the_opening_at_its_moment_only() -> None:
    effort = np.concatenate([np.full(100, 0.6), np.ones(101)])
    plain = _curves(("ɑː", 0.1, 0.4), ("ɑː", 0.6, 0.9))
    weaker = unit_curves((("ɑː", 0.1, 0.4), ("ɑː", 0.6, 0.9)), 1.0, FPS, effort=effort)
    assert weaker[25, JAW] == pytest.approx(0.6 * plain[25, JAW], rel=1e-5)
    assert weaker[75, JAW] == pytest.approx(plain[75, JAW], rel=1e-5)


def test_the_mouth_has_inertia() -> None:
    """Nothing of what opens it is faster than a Gaussian of INERTIA_S lets through; the seal of a /p/ may be."""
    rng = np.random.default_rng(0)
    sounds = [(str(rng.choice(list("ɑiutsɹ"))), 0.05 * k, 0.05 * (k + 1)) for k in range(40)]
    jaw = _curves(*sounds, seconds=2.0)[:, JAW]
    power = np.abs(np.fft.rfft(jaw - jaw.mean())) ** 2
    frequency_hz = np.fft.rfftfreq(len(jaw), 1 / FPS)
    assert power[frequency_hz > 12].sum() < 1e-3 * power.sum()


def test_diphthongs_and_affricates_have_parts_and_marks_have_none() -> None:
    assert len(visemes_of("aɪ")) == 2
    assert len(visemes_of("tʃ")) == 2
    assert len(visemes_of("ˈɑː")) == 1
    assert visemes_of("") == visemes_of("_:")
