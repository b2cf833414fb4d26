"""The tables of one mel recipe: window, FFT factors and the non-zero part of every filter."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import ConfigError
from lipforge.kernels.mel.filterbank import slaney_filterbank
from lipforge.kernels.spec import MelSpec


@dataclass(frozen=True)
class MelPlan:
    """Tables of a recipe; read-only.

    Attributes:
        window: float64 (n_fft,), periodic Hann.
        cosine: float64 (n_fft,), cos(2 pi i / n_fft).
        sine: float64 (n_fft,), sin(2 pi i / n_fft).
        radices: int64 (passes,), factors of n_fft / 2.
        first_bin: int64 (n_mels,), first FFT bin of a filter.
        first_weight: int64 (n_mels + 1,), where a filter's weights start in ``weights``.
        weights: float64 (taps,), the non-zero weights of all filters.
        scale: of log10(amplitude), see ``level_mapping``.
        offset: added after scaling.
    """

    window: NDArray[np.float64]
    cosine: NDArray[np.float64]
    sine: NDArray[np.float64]
    radices: NDArray[np.int64]
    first_bin: NDArray[np.int64]
    first_weight: NDArray[np.int64]
    weights: NDArray[np.float64]
    scale: float
    offset: float


@functools.lru_cache(maxsize=8)
def plan_for(spec: MelSpec) -> MelPlan:
    """Return the tables of a recipe, made once per process.

    Raises:
        ConfigError: the recipe is not usable.
    """
    check_spec(spec)
    angle = 2.0 * np.pi * np.arange(spec.n_fft) / spec.n_fft
    filters = slaney_filterbank(spec)
    spans = [np.flatnonzero(band) for band in filters]
    taps = [int(span[-1] - span[0] + 1) if span.size else 0 for span in spans]
    first_bin = [int(span[0]) if span.size else 0 for span in spans]
    weights = [band[start : start + count] for band, start, count in zip(filters, first_bin, taps, strict=True)]
    scale, offset = level_mapping(spec)
    return MelPlan(
        window=0.5 - 0.5 * np.cos(angle),
        cosine=np.cos(angle),
        sine=np.sin(angle),
        radices=np.array(factorise(spec.n_fft // 2), np.int64),
        first_bin=np.array(first_bin, np.int64),
        first_weight=np.concatenate([[0], np.cumsum(taps)]).astype(np.int64),
        weights=np.concatenate(weights),
        scale=scale,
        offset=offset,
    )


def level_mapping(spec: MelSpec) -> tuple[float, float]:
    """Return (scale, offset): a value is ``scale * log10(amplitude) + offset`` before it is clipped to +-max_abs."""
    scale = 2.0 * spec.max_abs / -spec.min_level_db
    return 20.0 * scale, -scale * (spec.ref_level_db + spec.min_level_db) - spec.max_abs


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


def check_spec(spec: MelSpec) -> None:
    """Check a recipe.

    Raises:
        ConfigError: a value is out of range; the message names it.
    """
    if spec.n_fft < 4 or spec.n_fft % 2:
        raise ConfigError(f"MelSpec.n_fft must be even and at least 4, not {spec.n_fft}.")
    if not 1 <= spec.hop_samples <= spec.n_fft // 2:
        raise ConfigError(f"MelSpec.hop_samples must lie between 1 and n_fft / 2, not {spec.hop_samples}.")
    if spec.n_mels < 1:
        raise ConfigError(f"MelSpec.n_mels must be at least 1, not {spec.n_mels}.")
    if not 0.0 <= spec.fmin_hz < spec.fmax_hz <= spec.sample_rate_hz / 2:
        raise ConfigError(
            f"MelSpec needs 0 <= fmin_hz < fmax_hz <= sample_rate_hz / 2, not {spec.fmin_hz}, {spec.fmax_hz} "
            f"at {spec.sample_rate_hz} Hz."
        )
    if not (spec.amplitude_floor > 0.0 and spec.min_level_db < 0.0 and spec.max_abs > 0.0):
        raise ConfigError("MelSpec needs amplitude_floor > 0, min_level_db < 0 and max_abs > 0.")
    if spec.padding not in ("reflect", "constant"):
        raise ConfigError(f"MelSpec.padding must be 'reflect' or 'constant', not {spec.padding!r}.")
