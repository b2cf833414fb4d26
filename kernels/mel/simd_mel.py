"""Mel columns by vector code: the compiled loops around the codelets, and their tables.

``_columns`` and ``_whole`` are templates: ``kernel_for`` compiles a copy for each shape, in which the names set
below are that shape's numbers and codelets.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.mel import codelets
from lipforge.kernels.mel.codelets import MelShape, mel_codelets
from lipforge.kernels.mel.emphasis import emphasise_padded
from lipforge.kernels.mel.filterbank import band_taps
from lipforge.kernels.mel.recipe import AnyMelSpec, recipe_of
from lipforge.kernels.simd.specialise import source_digest, specialised

Floats = NDArray[np.float32]

FIRST_PASSES = {(800, 200): 20, (400, 160): 10}
"""(n_fft, hop_samples) of Wav2Lip and Whisper: size of the first pass. The second one's is SECOND_PASS."""

SECOND_PASS = 20
SEGMENT_COLUMNS = 32
"""Columns that ``_whole`` makes between two fillings of its segment, which stays in the first-level cache."""


def _of_the_copy(*arguments: Any) -> None:
    """Stands for a codelet in the templates, which nobody calls."""
    raise NotImplementedError(f"only copies made by kernel_for are called, not with {arguments}")


# What each copy has its own of.
LANES = HOP = POINTS = FIRST = SECOND = OVERLAP = TILE = 0
transpose = first_pass = middle = pair = band = level = columns = _of_the_copy


def _columns(
    signal: Floats,
    first: int,
    count: int,
    tables: Floats,
    taps: NDArray[np.int64],
    scratch: Floats,
    out: Floats,
    to: int,
) -> None:
    """Fill ``out[:, to : to + count]``; column k is made of ``signal[first + k * HOP :][: 2 * POINTS]``.

    Args:
        signal: float32 (n,), emphasised and padded; readable for 4 hops beyond the last column's last sample. What
            stands there does not matter.
        first: start of the first column.
        count: columns.
        tables: see ``MelShape``.
        taps: int64 (n_mels, 3): first bin, first weight, number of weights of each band.
        scratch: float32, see ``MelShape``; finite.
        out: float32 (n_mels, columns).
        to: first column to write.
    """
    bands, row = out.shape
    for start in range(0, count, LANES):
        used = min(LANES, count - start)
        for block in range(0, used + OVERLAP, 4):
            for sample in range(0, HOP, 8):
                transpose(signal, scratch, first + (start + block) * HOP, block, sample)
        for n in range(SECOND):
            first_pass(tables, scratch, n)
        middle(tables, scratch)
        for k in range(1, FIRST // 2):
            pair(tables, scratch, k)
        for i in range(bands):
            band(tables, scratch, taps[i, 0], taps[i, 1], taps[i, 2], TILE + i * LANES)
        if used == LANES:
            for i in range(bands):
                level(tables, scratch, out, TILE + i * LANES, i * row + to + start)
        else:
            for i in range(bands):
                level(tables, scratch, scratch, TILE + i * LANES, TILE + i * LANES)
                for lane in range(used):
                    out[i, to + start + lane] = scratch[TILE + i * LANES + lane]


def _whole(
    audio: Floats,
    preemphasis: float,
    reflect: bool,
    tables: Floats,
    taps: NDArray[np.int64],
    scratch: Floats,
    segment: Floats,
    out: Floats,
) -> None:
    """Fill ``out`` with all columns of a signal; ``segment`` is float32 ((SEGMENT_COLUMNS + OVERLAP + 4) * HOP,)."""
    for start in range(0, out.shape[1], SEGMENT_COLUMNS):
        count = min(SEGMENT_COLUMNS, out.shape[1] - start)
        samples = (count - 1) * HOP + 2 * POINTS
        emphasise_padded(audio, start * HOP - POINTS, samples, preemphasis, reflect, segment)
        columns(segment, 0, count, tables, taps, scratch, out, start)


@dataclass(frozen=True)
class MelKernel:
    """Compiled loops of one shape, see ``_columns`` and ``_whole``."""

    columns: Callable[..., None]
    whole: Callable[..., None]


@functools.cache
def kernel_for(shape: MelShape) -> MelKernel:
    """Return the compiled loops of a shape; numba compiles them, or finds them on disk, on their first call."""
    name = f"{2 * shape.points}_{shape.hop_samples}_{shape.lanes}{'_squared' if shape.squared else ''}"
    name += f"_{source_digest(codelets.__file__)}"
    printed = mel_codelets(shape)
    names: dict[str, Any] = {
        "LANES": shape.lanes,
        "HOP": shape.hop_samples,
        "POINTS": shape.points,
        "FIRST": shape.first,
        "SECOND": shape.second,
        "OVERLAP": shape.overlap,
        "TILE": shape.tile_scratch,
        **{field.name: getattr(printed, field.name) for field in fields(printed)},
    }
    made = specialised(_columns, f"columns_{name}", **names)
    return MelKernel(made, specialised(_whole, f"whole_{name}", columns=made, **names))


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


def tables_for(spec: AnyMelSpec, shape: MelShape) -> tuple[Floats, NDArray[np.int64]]:
    """Return (tables, taps) of ``_columns``; read-only by convention, as numba compiles anew for read-only arrays."""
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
