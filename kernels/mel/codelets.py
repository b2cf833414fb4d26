"""The mel's vector code: one lane is one column. How codelets work is told in ``lipforge.kernels.simd``.

The steps for a batch of ``lanes`` neighbouring columns, and what makes them fast:

1. *Blocks.* The signal is cut into blocks of one hop and transposed: row m of ``blocks`` holds sample m of all blocks.
   Sample ``hop * q + m`` of columns f, f + 1, ... is then the run ``blocks[m][q], blocks[m][q + 1], ...``: one vector
   load, although the columns overlap.
2. *First and second pass.* The real transform of n_fft samples is a complex one of ``points = n_fft / 2`` (even samples
   as real, odd ones as imaginary part). With ``points = first * second`` it is two passes of short transforms with a
   rotation between them (Cooley and Tukey).
3. *Split.* The complex spectrum Z is turned into that of the real signal:
   ``X[k] = (Z[k] + conj Z[-k]) / 2 - i w^k (Z[k] - conj Z[-k]) / 2`` with ``w = exp(-2 pi i / n_fft)``. The halves are
   in the window already. X[k] and X[points - k] come from the same two numbers, and only their amplitudes are kept.
4. *Bands.* Of each filter only the taps that are not zero are summed; then logarithm, scale and clip.

``spectrum`` holds, for each of ``points`` complex numbers, ``lanes`` real and then ``lanes`` imaginary parts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir
from numba.core import cgutils

from lipforge.kernels.simd.dft import dft, multiply
from lipforge.kernels.simd.logarithm import split_logarithm
from lipforge.kernels.simd.transpose import COLUMNS, ROWS, transpose_tile
from lipforge.kernels.simd.vectors import INDEX, Value, VectorCode, codelet


@dataclass(frozen=True)
class MelShape:
    """All that the vector code must know while it is printed.

    Attributes:
        lanes: columns in a batch.
        hop_samples: distance of columns; a multiple of ``2 * second`` and of 8.
        first: size of the first pass's transforms.
        second: size of the second pass's transforms.
        squared: whether bands sum squared amplitudes.
    """

    lanes: int
    hop_samples: int
    first: int
    second: int
    squared: bool

    @property
    def points(self) -> int:
        """Complex points of the transform."""
        return self.first * self.second

    @property
    def overlap(self) -> int:
        """Blocks that a column needs beyond its first one."""
        return -(-2 * self.points // self.hop_samples) - 1

    @property
    def block_row(self) -> int:
        """Length of a row of blocks: what ``lanes`` columns need, in whole tiles."""
        return self.lanes + -(-self.overlap // ROWS) * ROWS

    # Where things stand in ``tables`` and ``scratch``, which are one array each: each argument of a compiled function
    # costs time, and a chunk of a stream has only microseconds.

    @property
    def rotation_table(self) -> int:
        """Offset of the rotations between the passes, behind the window of 2 * points."""
        return 2 * self.points

    @property
    def split_table(self) -> int:
        """Offset of the factors of the split, ``-i w^k`` for k up to points / 2."""
        return self.rotation_table + 2 * self.points

    @property
    def level_table(self) -> int:
        """Offset of floor, scale of the exponent, scale of log(mantissa), offset, lowest, highest."""
        return self.split_table + 2 * (self.points // 2 + 1)

    @property
    def weight_table(self) -> int:
        """Offset of the filters' weights, to the end."""
        return self.level_table + 6

    @property
    def block_scratch(self) -> int:
        """Offset of the blocks, behind the spectrum."""
        return self.points * 2 * self.lanes

    @property
    def tile_scratch(self) -> int:
        """Offset of a batch's finished columns, for a batch with fewer columns than lanes."""
        return self.block_scratch + self.hop_samples * self.block_row


@dataclass(frozen=True)
class MelCodelets:
    """Callable from compiled functions; every index counts float32 values."""

    transpose: Callable[..., None]
    first_pass: Callable[..., None]
    second_pass: Callable[..., None]
    split: Callable[..., None]
    band: Callable[..., None]


def mel_codelets(shape: MelShape) -> MelCodelets:
    """Print the codelets of one shape."""
    lanes = shape.lanes
    return MelCodelets(
        transpose=codelet(COLUMNS, 2, 3, _transpose(shape)),
        first_pass=codelet(lanes, 2, 1, _first_pass(shape)),
        second_pass=codelet(lanes, 1, 1, _second_pass(shape)),
        split=codelet(lanes, 2, 1, _split(shape)),
        band=codelet(lanes, 3, 4, _band(shape)),
    )


def _transpose(shape: MelShape) -> Callable[..., None]:
    def body(code: VectorCode, signal: Value, scratch: Value, start: Value, block: Value, sample: Value) -> None:
        """Transpose 8 samples, from ``sample`` on, of 4 blocks, of which ``block`` is the first; it is at ``start``."""
        rows = [code.builder.add(start, code.index(sample, 1, i * shape.hop_samples)) for i in range(ROWS)]
        target = code.builder.add(code.index(sample, shape.block_row, shape.block_scratch), block)
        narrow = VectorCode(code.builder, ROWS)
        for i, column in enumerate(transpose_tile(code, signal, rows)):
            narrow.store(column, scratch, code.index(target, 1, i * shape.block_row))

    return body


def _first_pass(shape: MelShape) -> Callable[..., None]:
    lanes, step = shape.lanes, 2 * shape.second

    def body(code: VectorCode, tables: Value, scratch: Value, n: Value) -> None:
        """Transform points n, n + second, n + 2 * second, ... and rotate."""
        x = []
        for i in range(shape.first):
            block, sample = divmod(step * i, shape.hop_samples)
            parts = []
            for part in (0, 1):
                row = code.index(n, 2 * shape.block_row, shape.block_scratch + (sample + part) * shape.block_row + block)
                weight = code.broadcast(tables, code.index(n, 2, step * i + part))
                parts.append(code.multiply(code.load(scratch, row), weight))
            x.append((parts[0], parts[1]))
        for k, y in enumerate(dft(code, x)):
            rotation = code.index(n, 2 * shape.first, shape.rotation_table + 2 * k)
            if k:
                y = multiply(code, y, _broadcast_pair(code, tables, rotation))
            _store_pair(code, y, scratch, code.index(n, 2 * lanes * shape.first, 2 * lanes * k))

    return body


def _second_pass(shape: MelShape) -> Callable[..., None]:
    lanes = shape.lanes

    def body(code: VectorCode, scratch: Value, k: Value) -> None:
        """Transform what the first pass left for its frequency k, in place: spectrum[k + first * j] is frequency that."""
        places = [code.index(k, 2 * lanes, 2 * lanes * shape.first * n) for n in range(shape.second)]
        x = [_load_pair(code, scratch, place) for place in places]
        for y, place in zip(dft(code, x), places, strict=True):
            _store_pair(code, y, scratch, place)

    return body


def _split(shape: MelShape) -> Callable[..., None]:
    def body(code: VectorCode, tables: Value, scratch: Value, k: Value) -> None:
        """Replace the real parts of spectrum[k] and spectrum[points - k] by the amplitudes (squares) at k, points - k."""
        mirror = code.builder.sub(INDEX(shape.points), k)
        here, there = code.index(k, 2 * shape.lanes), code.index(mirror, 2 * shape.lanes)
        z, m = _load_pair(code, scratch, here), _load_pair(code, scratch, there)
        even = code.add(z[0], m[0]), code.subtract(z[1], m[1])
        odd = code.subtract(z[0], m[0]), code.add(z[1], m[1])
        turned = multiply(code, odd, _broadcast_pair(code, tables, code.index(k, 2, shape.split_table)))
        for combine, place in ((code.add, here), (code.subtract, there)):
            real, imaginary = combine(even[0], turned[0]), combine(even[1], turned[1])
            power = code.multiply_add(real, real, code.multiply(imaginary, imaginary))
            code.store(power if shape.squared else code.sqrt(power), scratch, place)

    return body


def _band(shape: MelShape) -> Callable[..., None]:
    def body(
        code: VectorCode, tables: Value, scratch: Value, out: Value, bin_: Value, tap: Value, taps: Value, to: Value
    ) -> None:
        """Write one band: ``taps`` weights from weight ``tap`` on times the amplitudes from ``bin_`` on, as levels."""
        total = cgutils.alloca_once_value(code.builder, code.constant(0.0))
        code.builder.store(code.constant(0.0), total)
        with cgutils.for_range(code.builder, taps) as loop:
            place = code.builder.add(bin_, loop.index)
            amplitude = code.load(scratch, code.index(place, 2 * shape.lanes))
            weight = code.broadcast(tables, code.index(code.builder.add(tap, loop.index), 1, shape.weight_table))
            code.builder.store(code.multiply_add(amplitude, weight, code.builder.load(total)), total)
        floor, octave, neper, offset, lowest, highest = (
            code.broadcast(tables, ir.Constant(INDEX, shape.level_table + i)) for i in range(6)
        )
        exponent, logarithm = split_logarithm(code, code.maximum(code.builder.load(total), floor))
        level = code.multiply_add(exponent, octave, code.multiply_add(logarithm, neper, offset))
        code.store(code.maximum(code.minimum(level, highest), lowest), out, to)

    return body


def _load_pair(code: VectorCode, pointer: Value, index: Value) -> tuple[Value, Value]:
    return code.load(pointer, index), code.load(pointer, code.index(index, 1, code.lanes))


def _store_pair(code: VectorCode, pair: tuple[Value, Value], pointer: Value, index: Value) -> None:
    code.store(pair[0], pointer, index)
    code.store(pair[1], pointer, code.index(index, 1, code.lanes))


def _broadcast_pair(code: VectorCode, pointer: Value, index: Value) -> tuple[Value, Value]:
    return code.broadcast(pointer, index), code.broadcast(pointer, code.index(index, 1, 1))
