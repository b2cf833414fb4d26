"""Louder speech opens the mouth wider."""

from __future__ import annotations

import numpy as np
import pytest

from lipforge.preprocess.synth.effort import EFFORT_RATE_HZ, speaking_effort

RATE_HZ = 16_000


def _tone(gains: list[float]) -> np.ndarray:
    """A second of tone at each gain."""
    tone = np.sin(2 * np.pi * 200 * np.arange(RATE_HZ) / RATE_HZ)
    return np.concatenate([gain * tone for gain in gains]).astype(np.float32)


def test_the_level_of_the_clip_does_not_count_but_its_changes_do() -> None:
    loud, quiet = (speaking_effort(_tone([g, 0.3 * g]), RATE_HZ) for g in (0.9, 0.05))
    np.testing.assert_allclose(loud, quiet, atol=1e-3)
    middle = EFFORT_RATE_HZ // 2
    assert loud[middle] == pytest.approx(1.0, abs=0.02)
    assert loud[middle + EFFORT_RATE_HZ] == pytest.approx(0.3**0.4, abs=0.02), "10 dB are a factor of 1.6"


def test_silence_and_odd_lengths() -> None:
    effort = speaking_effort(np.zeros(RATE_HZ + 7, np.float32), RATE_HZ)
    assert effort.shape == (EFFORT_RATE_HZ + 1,)
    assert np.isfinite(effort).all()


def test_it_moves_no_faster_than_syllables() -> None:
    effort = speaking_effort(_tone([0.9, 0.001]), RATE_HZ)
    assert np.abs(np.diff(effort)).max() < 0.1
