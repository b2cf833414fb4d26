from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lipforge.train.sync_curve import EmbeddedClip, draw_curve, sync_curve


def clip_with_late_sound(late: int, missing: tuple[int, ...] = ()) -> EmbeddedClip:
    """Embeddings that turn by 20 degrees a frame; the sound that fits a mouth starts ``late`` frames after it."""
    starts = np.array([start for start in range(40) if start not in missing])
    angles = torch.from_numpy(np.deg2rad(20.0 * starts)).float()
    late_angles = angles - math.radians(20.0 * late)
    circle = [torch.stack([values.cos(), values.sin()], 1) for values in (late_angles, angles)]
    return EmbeddedClip(starts, *circle)


@pytest.mark.parametrize("late", [-3, 0, 2])
def test_peak_is_where_the_sound_fits(late: int) -> None:
    curve = sync_curve([clip_with_late_sound(late), clip_with_late_sound(late, missing=(5, 6, 20))], 6)
    assert list(curve) == list(range(-6, 7))
    assert max(curve, key=lambda shift: curve[shift]) == late
    for shift, value in curve.items():
        assert value == pytest.approx(math.cos(math.radians(20.0 * (shift - late))), abs=1e-5)
        assert value.low <= value <= value.high


def test_short_clips_leave_long_shifts_out() -> None:
    whole = clip_with_late_sound(0)
    short = EmbeddedClip(whole.starts[:3], whole.sound[:3], whole.mouths[:3])
    assert list(sync_curve([short], 6)) == [-2, -1, 0, 1, 2]


def test_picture_shows_the_curve() -> None:
    picture = draw_curve(sync_curve([clip_with_late_sound(0), clip_with_late_sound(1)], 15))
    assert picture.shape[0] == 3
    assert 0.0 <= picture.min() < 0.3 < picture.max() <= 1.0
    blue = (picture[2] - picture[0] > 0.4).nonzero()
    high = blue[blue[:, 0].argmin()]
    assert abs(int(high[1]) - picture.shape[2] / 2) < 30  # the peak is near the middle
    alone = draw_curve(sync_curve([clip_with_late_sound(0)], 15))  # no interval: no band
    assert alone.shape == picture.shape
