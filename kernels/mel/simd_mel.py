"""Mel columns by vector code: the compiled loops around the codelets, made for one shape each."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.compiled import compiled
from lipforge.kernels.mel.codelets import mel_codelets
from lipforge.kernels.mel.numba_emphasis import emphasise_padded
from lipforge.kernels.mel.shape import SEGMENT_COLUMNS, MelShape

Floats = NDArray[np.float32]


@functools.cache
def columns_kernel(shape: MelShape) -> Callable[..., None]:
    """Return the loops that make a few columns out of emphasised samples; ``columns`` below tells its arguments."""
    lanes, hop, first_size, second_size = shape.lanes, shape.hop_samples, shape.first, shape.second
    overlap, tile = shape.overlap, shape.tile_scratch
    printed = mel_codelets(shape)
    transpose, first_pass, middle = printed.transpose, printed.first_pass, printed.middle
    pair, band, level = printed.pair, printed.band, printed.level

    @compiled
    def columns(
        signal: Floats,
        first: int,
        count: int,
        tables: Floats,
        taps: NDArray[np.int64],
        scratch: Floats,
        out: Floats,
        to: int,
    ) -> None:
        """Fill ``out[:, to : to + count]``; column k is made of ``signal[first + k * hop :][:n_fft]``.

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
        for start in range(0, count, lanes):
            used = min(lanes, count - start)
            for block in range(0, used + overlap, 4):
                for sample in range(0, hop, 8):
                    transpose(signal, scratch, first + (start + block) * hop, block, sample)
            for n in range(second_size):
                first_pass(tables, scratch, n)
            middle(tables, scratch)
            for k in range(1, first_size // 2):
                pair(tables, scratch, k)
            for i in range(bands):
                band(tables, scratch, taps[i, 0], taps[i, 1], taps[i, 2], tile + i * lanes)
            if used == lanes:
                for i in range(bands):
                    level(tables, scratch, out, tile + i * lanes, i * row + to + start)
            else:
                for i in range(bands):
                    level(tables, scratch, scratch, tile + i * lanes, tile + i * lanes)
                    for lane in range(used):
                        out[i, to + start + lane] = scratch[tile + i * lanes + lane]

    return columns


@functools.cache
def whole_kernel(shape: MelShape) -> Callable[..., None]:
    """Return the loops that make all columns of a signal; ``whole`` below tells its arguments."""
    hop, points = shape.hop_samples, shape.points
    columns = columns_kernel(shape)

    @compiled
    def whole(
        audio: Floats,
        preemphasis: float,
        reflect: bool,
        tables: Floats,
        taps: NDArray[np.int64],
        scratch: Floats,
        segment: Floats,
        out: Floats,
    ) -> None:
        """Fill ``out`` with all columns of a signal; ``segment`` is float32 (shape.segment_samples,)."""
        for start in range(0, out.shape[1], SEGMENT_COLUMNS):
            count = min(SEGMENT_COLUMNS, out.shape[1] - start)
            samples = (count - 1) * hop + 2 * points
            emphasise_padded(audio, start * hop - points, samples, preemphasis, reflect, segment)
            columns(segment, 0, count, tables, taps, scratch, out, start)

    return whole
