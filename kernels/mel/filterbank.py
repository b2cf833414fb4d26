"""The mel filterbank of Slaney's Auditory Toolbox, as librosa builds it by default."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.mel.recipe import AnyMelSpec

# Slaney's mel scale (Auditory Toolbox, 1998): linear up to 1 kHz, then 27 steps for each factor of 6.4.
HZ_PER_MEL = 200.0 / 3.0
BREAK_HZ = 1000.0
BREAK_MEL = BREAK_HZ / HZ_PER_MEL
LOG_STEP = np.log(6.4) / 27.0


def slaney_filterbank(spec: AnyMelSpec) -> NDArray[np.float64]:
    """Return the triangular filters, each with unit area over Hz.

    Args:
        spec: rate, FFT size, number of bands and their range.

    Returns:
        float64 (n_mels, n_fft / 2 + 1).
    """
    bins_hz = np.arange(spec.n_fft // 2 + 1) * (spec.sample_rate_hz / spec.n_fft)
    mels = np.linspace(_hz_to_mel(spec.fmin_hz), _hz_to_mel(spec.fmax_hz), spec.n_mels + 2)
    edges_hz = np.where(mels < BREAK_MEL, mels * HZ_PER_MEL, BREAK_HZ * np.exp((mels - BREAK_MEL) * LOG_STEP))
    low, centre, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    rising = (bins_hz - low) / (centre - low)
    falling = (high - bins_hz) / (high - centre)
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (high - low)))


@functools.lru_cache(maxsize=8)
def band_taps(spec: AnyMelSpec) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the non-zero part of every filter.

    Returns:
        first_bin: int64 (n_mels,), first FFT bin of a filter.
        first_weight: int64 (n_mels + 1,), where a filter's weights start in ``weights``.
        weights: float64 (taps,), the weights of all filters one after the other.
    """
    filters = slaney_filterbank(spec)
    # An edge that falls on a bin may leave a rounding error there.
    spans = [np.flatnonzero(band > 1e-12 * filters.max()) for band in filters]
    taps = [int(span[-1] - span[0] + 1) if span.size else 0 for span in spans]
    first_bin = [int(span[0]) if span.size else 0 for span in spans]
    weights = [band[start : start + count] for band, start, count in zip(filters, first_bin, taps, strict=True)]
    first_weight = np.concatenate([[0], np.cumsum(taps)]).astype(np.int64)
    return np.array(first_bin, np.int64), first_weight, np.concatenate(weights)


def _hz_to_mel(hz: float) -> float:
    if hz < BREAK_HZ:
        return hz / HZ_PER_MEL
    return float(BREAK_MEL + np.log(hz / BREAK_HZ) / LOG_STEP)
