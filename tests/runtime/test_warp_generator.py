"""The warp generator on bundles whose fields have the crop's size, and twice that."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from lipforge.runtime.bundle import Bundle
from lipforge.runtime.picture import Picture
from lipforge.runtime.warp_generator import WarpGenerator

Image = NDArray[np.uint8]


@pytest.fixture
def render(disc_tracker: object, scene: Callable[..., Image]) -> Callable[[Bundle], tuple[Image, Image]]:
    """Return a function that gives a frame before and after a loud sound."""

    def make(bundle: Bundle) -> tuple[Image, Image]:
        before = scene(320, 240, 0)
        picture = before.copy()
        face = disc_tracker.track(Picture.of(before))  # type: ignore[attr-defined]
        generator = WarpGenerator(bundle)
        generator.observe(face)
        generator.prepare(Picture.of(picture), face)
        window = np.full((bundle.manifest.mel.n_mels, bundle.manifest.window.columns), 2.0, np.float32)
        generator.render(window, Picture.of(picture))
        return before, picture

    return make


def test_a_finer_grid_moves_the_same_pixels_by_the_same_way(
    bundle: Bundle, finer_bundle: Bundle, render: Callable[[Bundle], tuple[Image, Image]]
) -> None:
    before, coarse = render(bundle)
    _, fine = render(finer_bundle)
    assert finer_bundle.manifest.warp.factor == 2
    moved = np.abs(coarse.astype(int) - before)
    assert moved.max() > 50
    difference = np.abs(fine.astype(int) - coarse)
    # The finer grid's edges are a little crisper than the coarse one's, upsampled by the compositor.
    assert difference.mean() < 0.1 * moved.mean()
    untouched = moved.max(-1) == 0
    assert difference[untouched].mean() < 0.05
