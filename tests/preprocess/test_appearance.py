"""Teeth, dim light and drawn heads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lipforge.preprocess.synth.head_data import LOWER_TEETH, UPPER_TEETH
from lipforge.preprocess.synth.teeth import paint_teeth, sample_teeth


def _row(part: int) -> np.ndarray:
    """Points along a row of teeth, half way up the teeth."""
    x = np.linspace(-0.24, 0.24, 481, dtype=np.float32)
    y = 6.24 if part == UPPER_TEETH else 6.16
    return np.stack([x, np.full_like(x, y), np.full_like(x, 1.3)], 1)


@pytest.mark.parametrize("part", [UPPER_TEETH, LOWER_TEETH])
def test_there_is_a_dark_line_between_any_two_teeth(part: int) -> None:
    cavity = np.zeros(3)
    for seed in range(10):
        teeth = replace(sample_teeth(np.random.default_rng(seed)), width=1.0, middle=0.0, shade=np.ones((2, 12)))
        light = paint_teeth(_row(part), part, teeth, cavity).mean(1)
        dips = (light[1:-1] < light[:-2]) & (light[1:-1] <= light[2:]) & (light[1:-1] < 0.92 * light.max())
        assert 7 <= dips.sum() <= 9, "five teeth on either side, and the last gap may lie outside"


def test_gums_lie_above_the_upper_teeth_and_corners_are_notched() -> None:
    teeth = sample_teeth(np.random.default_rng(0))
    cavity = np.zeros(3)
    points = np.array([[0.04, 6.36, 1.3], [0.04, 6.24, 1.3], [teeth.middle + 1e-4, 6.1985, 1.3]], np.float32)
    gum, tooth, notch = paint_teeth(points, UPPER_TEETH, teeth, cavity)
    np.testing.assert_allclose(gum, teeth.gums)
    assert tooth.min() > 0.7 * teeth.colour.min()
    assert notch.max() < 0.6 * tooth.max()


def test_drawn_teeth_are_a_plain_band() -> None:
    teeth = sample_teeth(np.random.default_rng(0), flat=True)
    assert (paint_teeth(_row(UPPER_TEETH), UPPER_TEETH, teeth, np.zeros(3)) == teeth.colour).all()
