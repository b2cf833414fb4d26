"""Which recipes the vector code can make, and the numbers that it reads."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.mel.filterbank import band_taps
from lipforge.kernels.mel.recipe import AnyMelSpec, recipe_of
from lipforge.kernels.mel.shape import MelShape

FIRST_PASSES = {(800, 200): 20, (400, 160): 10}
"""(n_fft, hop_samples) of Wav2Lip and Whisper: size of the first pass. The second one's is SECOND_PASS."""

SECOND_PASS = 20


def shape_for(spec: AnyMelSpec, lanes: int) -> MelShape | None:
    """Return the shape of a recipe's vector code, or None for a recipe that it cannot make.

    That is one with another FFT size or hop, or whose filters use the first or last bin, which ``split`` leaves out.
    """
    recipe = recipe_of(spec)
    first = FIRST_PASSES.get((recipe.n_fft, recipe.hop_samples))
    first_bin, first_weight, _ = band_taps(spec)
    taps = np.diff(first_weight)
    if first is None or np.any((taps > 0) & ((first_bin < 1) | (first_bin + taps > recipe.n_fft // 2))):
        return None
    return MelShape(lanes, recipe.hop_samples, first, SECOND_PASS, recipe.squared)


def tables_for(spec: AnyMelSpec, shape: MelShape) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return (tables, taps) of ``simd_mel.columns_kernel``."""
    recipe, n_fft = recipe_of(spec), 2 * shape.points
    window = 0.5 * (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n_fft) / n_fft))  # with the halves of the split
    turns = np.outer(np.arange(shape.second), np.arange(shape.first)) / shape.points
    rotation = np.exp(-2j * np.pi * turns)
    split = -1j * np.exp(-2j * np.pi * np.arange(shape.points) / n_fft)
    levels = [
        recipe.floor,
        recipe.scale * math.log10(2.0),
        recipe.scale / math.log(10.0),
        recipe.offset,
        recipe.lowest,
        recipe.highest,
    ]
    first_bin, first_weight, weights = band_taps(spec)
    parts = [window, rotation.view(np.float64).ravel(), split.view(np.float64), levels, weights]
    taps = np.stack([first_bin, first_weight[:-1], np.diff(first_weight)], axis=1)
    return np.concatenate(parts).astype(np.float32), np.ascontiguousarray(taps)
