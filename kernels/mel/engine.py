"""Which code makes a recipe's columns: vector code for the published ones, plain compiled loops for any other."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.mel.kernels import (
    columns_of,
    emphasise_chunk,
    emphasise_plain_chunk,
    emphasise_plain_padded,
    plain_columns,
    whole_of,
)
from lipforge.kernels.mel.plan import plan_for
from lipforge.kernels.mel.recipe import AnyMelSpec, MelRecipe, recipe_of
from lipforge.kernels.mel.shape import MelShape
from lipforge.kernels.mel.tables import shape_for, tables_for
from lipforge.kernels.simd.cpu import native_lanes

ALIGNMENT = 64
"""Bytes of a cache line: a vector that lies across two costs two loads."""


class MelEngine(Protocol):
    """Makes columns out of emphasised samples; one object serves one signal at a time."""

    dtype: np.dtype[Any]
    """Of emphasised samples."""

    spare_samples: int
    """Samples behind the last column that must be readable; what stands there does not matter."""

    emphasise: Callable[..., None]
    """See ``numba_emphasis.emphasise_chunk``."""

    def columns(self, signal: NDArray[Any], first: int, count: int, out: NDArray[np.float32], to: int) -> None:
        """Fill ``out[:, to : to + count]``; column k starts at ``signal[first + k * hop_samples]``."""

    def whole(self, audio: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """Fill ``out`` with all columns of a signal."""


class SimdEngine:
    """Vector code, float32."""

    dtype: np.dtype[Any] = np.dtype(np.float32)

    def __init__(
        self, recipe: MelRecipe, shape: MelShape, tables: NDArray[np.float32], taps: NDArray[np.int64]
    ) -> None:
        self.emphasise = emphasise_chunk.function
        self._recipe, self._shape = recipe, shape
        self._columns, self._whole = columns_of(shape), whole_of(shape)
        self._tables, self._taps = tables, taps
        # Zeros: lanes without a column are computed too, and must not hold numbers that are slow to compute with.
        self._scratch = _aligned_zeros(shape.tile_scratch + recipe.n_mels * shape.lanes)
        self.spare_samples = 4 * shape.hop_samples

    def columns(self, signal: NDArray[Any], first: int, count: int, out: NDArray[np.float32], to: int) -> None:
        """See ``MelEngine``."""
        self._columns.function(signal, first, count, self._tables, self._taps, self._scratch, out, to)

    def whole(self, audio: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """See ``MelEngine``."""
        recipe, shape = self._recipe, self._shape
        segment = _aligned_zeros(shape.segment_samples)
        self._whole.function(
            audio, recipe.preemphasis, recipe.reflect, self._tables, self._taps, self._scratch, segment, out
        )


class PlainEngine:
    """Plain compiled loops, float64, for any FFT size and hop."""

    dtype: np.dtype[Any] = np.dtype(np.float64)
    spare_samples = 0

    def __init__(self, spec: AnyMelSpec) -> None:
        self._recipe, self._plan = recipe_of(spec), plan_for(spec)
        self.emphasise = emphasise_plain_chunk.function

    def columns(self, signal: NDArray[Any], first: int, count: int, out: NDArray[np.float32], to: int) -> None:
        """See ``MelEngine``."""
        recipe, plan = self._recipe, self._plan
        part = np.empty((recipe.n_mels, count), np.float32)
        plain_columns(
            signal[first:],
            recipe.hop_samples,
            plan.window,
            plan.cosine,
            plan.sine,
            plan.radices,
            plan.first_bin,
            plan.first_weight,
            plan.weights,
            (recipe.floor, recipe.scale, recipe.offset, recipe.lowest, recipe.highest),
            recipe.squared,
            part,
        )
        out[:, to : to + count] = part

    def whole(self, audio: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """See ``MelEngine``."""
        recipe = self._recipe
        padded = np.empty(audio.size + recipe.n_fft)
        emphasise_plain_padded(audio, -(recipe.n_fft // 2), padded.size, recipe.preemphasis, recipe.reflect, padded)
        self.columns(padded, 0, out.shape[1], out, 0)


def engine_for(spec: AnyMelSpec, lanes: int | None = None) -> MelEngine:
    """Return a new engine.

    Args:
        spec: the recipe.
        lanes: columns that the vector code makes at once, 4, 8 or 16; None: as many as a register of this CPU holds.
            The result is the same, bit for bit.

    Raises:
        ConfigError: the recipe is not usable.
    """
    return _maker(spec, lanes or native_lanes())()


@functools.lru_cache(maxsize=16)
def _maker(spec: AnyMelSpec, lanes: int) -> Callable[[], MelEngine]:
    """Return what makes an engine; looking a spec up costs microseconds, so this is the only time that it is done."""
    shape = shape_for(spec, lanes)
    if shape is None:
        return functools.partial(PlainEngine, spec)
    return functools.partial(SimdEngine, recipe_of(spec), shape, *tables_for(spec, shape))


def _aligned_zeros(size: int) -> NDArray[np.float32]:
    memory = np.zeros(size + ALIGNMENT // 4, np.float32)
    skip = -memory.__array_interface__["data"][0] % ALIGNMENT // 4
    return memory[skip : skip + size]
