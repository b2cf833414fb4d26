"""Mel of long audio on a GPU or NPU: the Fourier transform as a matrix product, the filters as another.

A window is symmetric, w[n] = w[N - n], and so is a cosine, while a sine is antisymmetric. So the two samples that lie
n before and n behind a column's centre are first added (for the cosines) and subtracted (for the sines): half as many
products as a plain matrix of the transform has. Window, the halved middle and padding to whole tiles are in the
tables, so that the inner loop has no masks. Only the bins that a filter touches are computed.

One program makes the mel columns of a tile: for each tile of bins it sums real and imaginary part over the samples,
takes the amplitude and adds its share to every band. No spectrum is ever written to memory.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl

from lipforge.kernels.errors import InputError
from lipforge.kernels.mel.filterbank import slaney_filterbank
from lipforge.kernels.mel.recipe import recipe_of
from lipforge.kernels.mel.samples import check_length
from lipforge.kernels.spec import MelSpec
from lipforge.kernels.triton_config import TritonConfig
from lipforge.kernels.triton_launch import LARGEST_OFFSET, Array, as_given, config_of, kernel, launch, on_device


def log_mel(audio: Array, spec: MelSpec) -> Any:
    """Return the log-mel spectrogram of a whole signal, as ``lipforge.kernels.mel.log_mel`` but in float32.

    Args:
        audio: float32 (n,), mono, in [-1, 1], at ``spec.sample_rate_hz``; numpy, or a tensor on the accelerator.
        spec: the recipe.

    Returns:
        float32 (n_mels, 1 + n // hop_samples), in [-max_abs, max_abs]; numpy for numpy, else a tensor.

    Raises:
        InputError: audio is not a finite float32 vector, is empty, too long, or too short for reflect padding.
        ConfigError: the recipe is not usable.
        BackendError: there is no accelerator, or the tensor is not on one.
    """
    recipe_of(spec)  # checks it
    check_length(len(audio) if hasattr(audio, "__len__") else 1, spec)
    samples = on_device("audio", audio, torch.float32, ("samples",))
    _check_finite(samples)
    config = config_of(samples.device)
    tables = _tables_for(spec, config, samples.device)
    columns = 1 + samples.numel() // spec.hop_samples
    if columns * spec.n_mels > LARGEST_OFFSET:
        raise InputError(f"audio has {samples.numel()} samples; cut it in parts of at most {_longest(spec)} samples.")
    tiles = triton.cdiv(columns, config.mel_columns)
    out = torch.empty((spec.n_mels, columns), dtype=torch.float32, device=samples.device)
    launch(
        mel_columns,
        tiles,
        config.mel_programs,
        config.mel_warps,
        samples.device,
        padded=_padded(samples, spec, tiles * config.mel_columns),
        cosine=tables.cosine,
        sine=tables.sine,
        filters=tables.filters,
        out=out,
        columns=columns,
        hop_samples=spec.hop_samples,
        n_fft=spec.n_fft,
        n_mels=spec.n_mels,
        pairs=tables.cosine.shape[0],
        bins=tables.cosine.shape[1],
        floor=spec.amplitude_floor,
        scale=tables.scale,
        offset=tables.offset,
        max_abs=spec.max_abs,
        COLUMNS=config.mel_columns,
        BINS=config.mel_bins,
        PAIRS=config.mel_samples,
        MELS=tables.filters.shape[1],
        PRECISION=config.dot_precision,
    )
    return as_given(out, audio)


def _longest(spec: MelSpec) -> int:
    return (LARGEST_OFFSET // spec.n_mels - 1) * spec.hop_samples


def _check_finite(samples: torch.Tensor) -> None:
    finite = torch.isfinite(samples)
    if not bool(finite.all()):
        position = int((~finite).nonzero()[0, 0])
        raise InputError(f"audio holds {samples[position].item()} at sample {position}; samples must be finite.")


def _padded(samples: torch.Tensor, spec: MelSpec, columns: int) -> torch.Tensor:
    """Return the pre-emphasised, padded signal, with zeros behind it up to the last tile's last column."""
    half = spec.n_fft // 2
    count = samples.numel()
    # One value more than the windows need: the padded table rows may reach n_fft samples behind a column's start.
    padded = samples.new_zeros(max(columns * spec.hop_samples, count) + 2 * spec.n_fft)
    signal = padded[half : half + count]
    signal.copy_(samples)
    signal[1:] -= spec.preemphasis * samples[:-1]
    if spec.padding == "reflect":
        padded[:half] = signal[1 : half + 1].flip(0)
        padded[half + count : half + count + half] = signal[-half - 1 : -1].flip(0)
    return padded


@dataclass(frozen=True)
class MelTables:
    """Tables of one recipe on one device, padded with zeros to whole tiles.

    Attributes:
        cosine: float32 (pairs, bins), w[n] cos(2 pi k n / n_fft) for n = 1 .. n_fft / 2, the last row halved because
            its sample is its own partner. Row 0 of the transform is left out: the periodic Hann window is 0 there.
        sine: float32 (pairs, bins), w[n] sin(2 pi k n / n_fft).
        filters: float32 (bins, bands), the filterbank.
        scale: of the natural logarithm of the amplitude.
        offset: added after scaling.
    """

    cosine: torch.Tensor
    sine: torch.Tensor
    filters: torch.Tensor
    scale: float
    offset: float


@functools.lru_cache(maxsize=8)
def _tables_for(spec: MelSpec, config: TritonConfig, device: torch.device) -> MelTables:
    filters = slaney_filterbank(spec)
    touched = np.flatnonzero(filters.any(axis=0))
    first, bins = int(touched[0]), int(touched[-1] - touched[0] + 1)
    half = spec.n_fft // 2
    n = np.arange(1, half + 1)[:, None]
    # The product is reduced before it meets pi, so that the angle is exact however large n * k is.
    angle = 2.0 * np.pi * ((n * np.arange(first, first + bins)) % spec.n_fft) / spec.n_fft
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * n / spec.n_fft)
    window[-1] *= 0.5
    rows = triton.cdiv(half, config.mel_samples) * config.mel_samples
    wide = triton.cdiv(bins, config.mel_bins) * config.mel_bins
    bands = max(16, triton.next_power_of_2(spec.n_mels))
    padded_filters = np.zeros((wide, bands), np.float32)
    padded_filters[:bins, : spec.n_mels] = filters[:, first : first + bins].T
    recipe = recipe_of(spec)
    return MelTables(
        cosine=_zero_padded(window * np.cos(angle), rows, wide, device),
        sine=_zero_padded(window * np.sin(angle), rows, wide, device),
        filters=torch.from_numpy(padded_filters).to(device),
        scale=recipe.scale / math.log(10.0),
        offset=recipe.offset,
    )


def _zero_padded(table: np.ndarray[Any, Any], rows: int, columns: int, device: torch.device) -> torch.Tensor:
    padded = np.zeros((rows, columns), np.float32)
    padded[: table.shape[0], : table.shape[1]] = table
    return torch.from_numpy(padded).to(device)


@kernel
def mel_columns(
    padded: tl.tensor,
    cosine: tl.tensor,
    sine: tl.tensor,
    filters: tl.tensor,
    out: tl.tensor,
    columns: tl.tensor,
    hop_samples: tl.tensor,
    n_fft: tl.tensor,
    n_mels: tl.tensor,
    pairs: tl.tensor,
    bins: tl.tensor,
    floor: tl.tensor,
    scale: tl.tensor,
    offset: tl.tensor,
    max_abs: tl.tensor,
    tiles: tl.tensor,
    COLUMNS: tl.constexpr,
    BINS: tl.constexpr,
    PAIRS: tl.constexpr,
    MELS: tl.constexpr,
    PRECISION: tl.constexpr,
) -> None:
    """Fill ``out``, float32 (n_mels, columns), from the padded signal and ``MelTables``."""
    column, band = tl.arange(0, COLUMNS), tl.arange(0, MELS)
    for tile in tl.range(tl.program_id(0), tiles, tl.num_programs(0)):
        start = padded + tl.cast(tile * COLUMNS, tl.int64) * hop_samples
        ahead = start + column[:, None] * hop_samples + 1 + tl.arange(0, PAIRS)[None, :]
        behind = start + column[:, None] * hop_samples + n_fft - 1 - tl.arange(0, PAIRS)[None, :]
        total = tl.zeros((COLUMNS, MELS), tl.float32)
        for first_bin in tl.range(0, bins, BINS):
            bin_index = first_bin + tl.arange(0, BINS)
            real = tl.zeros((COLUMNS, BINS), tl.float32)
            imaginary = tl.zeros((COLUMNS, BINS), tl.float32)
            for first_pair in tl.range(0, pairs, PAIRS):
                before, after = tl.load(ahead + first_pair), tl.load(behind - first_pair)
                row = (first_pair + tl.arange(0, PAIRS))[:, None] * bins + bin_index[None, :]
                real = tl.dot(before + after, tl.load(cosine + row), real, input_precision=PRECISION)
                imaginary = tl.dot(before - after, tl.load(sine + row), imaginary, input_precision=PRECISION)
            amplitude = tl.sqrt(real * real + imaginary * imaginary)
            taps = tl.load(filters + bin_index[:, None] * MELS + band[None, :])
            total = tl.dot(amplitude, taps, total, input_precision=PRECISION)
        value = scale * tl.log(tl.maximum(total, floor)) + offset
        value = tl.minimum(tl.maximum(value, -max_abs), max_abs)
        # Compared as floats: an NPU compares integers one by one. Both sides are small, so they are exact.
        left = tl.cast(columns - tile * COLUMNS, tl.float32)
        inside = (column[:, None].to(tl.float32) < left) & (band[None, :].to(tl.float32) < tl.cast(n_mels, tl.float32))
        tl.store(out + tile * COLUMNS + column[:, None] + band[None, :] * columns, value, mask=inside)
