"""The tables of the plain mel: window, FFT factors and filters."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.mel.filterbank import band_taps
from lipforge.kernels.mel.recipe import AnyMelSpec, recipe_of


@dataclass(frozen=True)
class MelPlan:
    """Tables of a recipe; read-only.

    Attributes:
        window: float64 (n_fft,), periodic Hann.
        cosine: float64 (n_fft,), cos(2 pi i / n_fft).
        sine: float64 (n_fft,), sin(2 pi i / n_fft).
        radices: int64 (passes,), factors of n_fft / 2.
        first_bin: int64 (n_mels,), see ``band_taps``, as the next two.
        first_weight: int64 (n_mels + 1,).
        weights: float64 (taps,).
    """

    window: NDArray[np.float64]
    cosine: NDArray[np.float64]
    sine: NDArray[np.float64]
    radices: NDArray[np.int64]
    first_bin: NDArray[np.int64]
    first_weight: NDArray[np.int64]
    weights: NDArray[np.float64]


@functools.lru_cache(maxsize=8)
def plan_for(spec: AnyMelSpec) -> MelPlan:
    """Return the tables of a recipe, made once per process.

    Raises:
        ConfigError: the recipe is not usable.
    """
    n_fft = recipe_of(spec).n_fft
    angle = 2.0 * np.pi * np.arange(n_fft) / n_fft
    first_bin, first_weight, weights = band_taps(spec)
    return MelPlan(
        window=0.5 - 0.5 * np.cos(angle),
        cosine=np.cos(angle),
        sine=np.sin(angle),
        radices=np.array(factorise(n_fft // 2), np.int64),
        first_bin=first_bin,
        first_weight=first_weight,
        weights=weights,
    )


def factorise(n: int) -> list[int]:
    """Split n into factors 4, then 2, then odd primes; their product is n."""
    factors = []
    for radix in (4, 2):
        while n % radix == 0:
            factors.append(radix)
            n //= radix
    radix = 3
    while n > 1:
        while n % radix == 0:
            factors.append(radix)
            n //= radix
        radix += 2
    return factors
