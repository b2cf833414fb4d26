"""The mel's vector code: one lane is one column. How codelets work is told in ``lipforge.kernels.simd``.

The steps for a batch of ``lanes`` neighbouring columns, and what makes them fast:

1. *Blocks.* The signal is cut into blocks of one hop and transposed: row m of ``blocks`` holds sample m of all blocks.
   Sample ``hop * q + m`` of columns f, f + 1, ... is then the run ``blocks[m][q], blocks[m][q + 1], ...``: one vector
   load, although the columns overlap.
2. *First pass.* The real transform of n_fft samples is a complex one of ``points = n_fft / 2`` (even samples as real,
   odd ones as imaginary part). With ``points = first * second`` it is two passes of short transforms with a rotation
   between them (Cooley and Tukey).
3. *Second pass and split.* The complex spectrum Z is turned into that of the real signal:
   ``X[f] = (Z[f] + conj Z[-f]) / 2 - i w^f (Z[f] - conj Z[-f]) / 2`` with ``w = exp(-2 pi i / n_fft)``. The halves are
   in the window already. X[f] and X[points - f] come from the same two numbers. A transform of the second pass makes
   the frequencies k, k + first, k + 2 first, ..., and the one of ``first - k`` their mirrors: the two are done
   together, and only amplitudes go back to memory.
4. *Bands.* Of each filter only the taps that are not zero are summed. The logarithms follow in a loop of their own:
   a sum and a logarithm are long chains of instructions that wait for each other, and short loops let the CPU overlap
   the chains of several bands.

``spectrum`` holds, for each of ``points`` complex numbers, ``lanes`` real and then ``lanes`` imaginary parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from llvmlite import ir
from numba.core import cgutils

from lipforge.kernels.mel.shape import MelShape
from lipforge.kernels.simd.dft import FACTORS, Complex, Slots, dft, multiply
from lipforge.kernels.simd.logarithm import split_logarithm
from lipforge.kernels.simd.transpose import COLUMNS, ROWS, transpose_tile
from lipforge.kernels.simd.vectors import INDEX, Value, VectorCode, codelet


@dataclass(frozen=True)
class MelCodelets:
    """Callable from compiled functions; every index counts float32 values."""

    transpose: Callable[..., None]
    first_pass: Callable[..., None]
    middle: Callable[..., None]
    pair: Callable[..., None]
    band: Callable[..., None]
    level: Callable[..., None]


def mel_codelets(shape: MelShape) -> MelCodelets:
    """Print the codelets of one shape."""
    lanes = shape.lanes
    return MelCodelets(
        transpose=codelet(COLUMNS, 2, 3, _transpose(shape)),
        first_pass=codelet(lanes, 2, 1, _first_pass(shape)),
        middle=codelet(lanes, 2, 0, _middle(shape)),
        pair=codelet(lanes, 2, 1, _pair(shape)),
        band=codelet(lanes, 2, 4, _band(shape)),
        level=codelet(lanes, 3, 2, _level(shape)),
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

        def read(i: int) -> Complex:
            block, sample = divmod(step * i, shape.hop_samples)
            real, imaginary = (windowed(sample + part, block, step * i + part) for part in (0, 1))
            return real, imaginary

        def windowed(sample: int, block: int, position: int) -> Value:
            row = code.index(n, 2 * shape.block_row, shape.block_scratch + sample * shape.block_row + block)
            return code.multiply(code.load(scratch, row), code.broadcast(tables, code.index(n, 2, position)))

        slots = Slots(scratch, lambda k: code.index(n, 2 * lanes * shape.first, 2 * lanes * k))
        for row in dft(code, shape.first, read, slots):
            for k, y in row.items():
                rotation = code.index(n, 2 * shape.first, shape.rotation_table + 2 * k)
                slots.store(code, multiply(code, y, _broadcast_pair(code, tables, rotation)) if k else y, k)

    return body


def _middle(shape: MelShape) -> Callable[..., None]:
    def body(code: VectorCode, tables: Value, scratch: Value) -> None:
        """Second pass and split of the two transforms that are their own mirrors, 0 and first / 2.

        Frequencies 0 and ``points`` stay as they are: no filter uses them.
        """
        second = shape.second
        own = ((0, second, range(1, second // 2 + 1)), (shape.first // 2, second - 1, range(second // 2)))
        for number, whole, js in own:
            k = ir.Constant(INDEX, number)
            slots = _slots(code, shape, scratch, k)
            for row in _second_pass(code, shape, slots):
                _park(code, slots, row)
            for j in js:  # the mirror of j is whole - j
                code.fence()
                low, high = slots.load(code, j), slots.load(code, whole - j)
                _split(code, shape, tables, scratch, (low, k, j), (high, k, whole - j))

    return body


def _pair(shape: MelShape) -> Callable[..., None]:
    rows = FACTORS[shape.second][0]
    last = shape.second - 1

    def body(code: VectorCode, tables: Value, scratch: Value, k: Value) -> None:
        """Second pass and split of the transforms k and first - k; 0 < k < first / 2."""
        mirror = code.builder.sub(ir.Constant(INDEX, shape.first), k)
        low, high = _slots(code, shape, scratch, k), _slots(code, shape, scratch, mirror)
        # The mirror of j is last - j, so a row's mirrors are the row that is as far from the other end.
        lows, highs = _second_pass(code, shape, low), _second_pass(code, shape, high, range(rows - 1, -1, -1))
        for row in lows:
            _park(code, low, row)
            mirrors = next(highs)
            for j in row:
                _split(code, shape, tables, scratch, (low.load(code, j), k, j), (mirrors[last - j], mirror, last - j))

    return body


def _slots(code: VectorCode, shape: MelShape, scratch: Value, k: Value) -> Slots:
    """Return where the second pass's transform k stands: number n goes in, frequency ``k + first * n`` comes out."""
    return Slots(scratch, lambda n: _place(code, shape, k, n))


def _park(code: VectorCode, slots: Slots, row: dict[int, Complex]) -> None:
    for j, value in row.items():
        slots.store(code, value, j)


def _second_pass(
    code: VectorCode, shape: MelShape, slots: Slots, rows: Sequence[int] | None = None
) -> Iterator[dict[int, Complex]]:
    """Print one of the second pass's transforms; yields rows {j: frequency ``k + first * j``}."""
    return dft(code, shape.second, lambda n: slots.load(code, n), slots, rows)


def _place(code: VectorCode, shape: MelShape, k: Value, j: int) -> Value:
    """Return the index of frequency ``k + first * j`` in the spectrum."""
    return code.index(k, 2 * shape.lanes, 2 * shape.lanes * shape.first * j)


def _split(
    code: VectorCode,
    shape: MelShape,
    tables: Value,
    scratch: Value,
    low: tuple[Complex, Value, int],
    high: tuple[Complex, Value, int],
) -> None:
    """Write the amplitudes (or squares) of two mirrored frequencies, each (Z, k, j), over their real parts."""
    (z, k, j), (m, _, _) = low, high
    even = code.add(z[0], m[0]), code.subtract(z[1], m[1])
    odd = code.subtract(z[0], m[0]), code.add(z[1], m[1])
    factor = _broadcast_pair(code, tables, code.index(k, 2, shape.split_table + 2 * shape.first * j))
    turned = multiply(code, odd, factor)
    for combine, (_, at, step) in ((code.add, low), (code.subtract, high)):
        real, imaginary = combine(even[0], turned[0]), combine(even[1], turned[1])
        power = code.multiply_add(real, real, code.multiply(imaginary, imaginary))
        code.store(power if shape.squared else code.sqrt(power), scratch, _place(code, shape, at, step))


def _band(shape: MelShape) -> Callable[..., None]:
    def body(code: VectorCode, tables: Value, scratch: Value, bin_: Value, tap: Value, taps: Value, to: Value) -> None:
        """Sum ``taps`` weights from weight ``tap`` on times the amplitudes from ``bin_`` on, into scratch."""
        builder = code.builder
        total = cgutils.alloca_once(builder, code.floats)  # type: ignore[no-untyped-call]
        builder.store(code.constant(0.0), total)
        with cgutils.for_range(builder, taps) as loop:
            amplitude = code.load(scratch, code.index(builder.add(bin_, loop.index), 2 * shape.lanes))
            weight = code.broadcast(tables, code.index(builder.add(tap, loop.index), 1, shape.weight_table))
            builder.store(code.multiply_add(amplitude, weight, builder.load(total)), total)
        code.store(builder.load(total), scratch, to)

    return body


def _level(shape: MelShape) -> Callable[..., None]:
    def body(code: VectorCode, tables: Value, scratch: Value, out: Value, source: Value, to: Value) -> None:
        """Turn a band's sums into levels."""
        floor, octave, neper, offset, lowest, highest = (
            code.broadcast(tables, ir.Constant(INDEX, shape.level_table + i)) for i in range(6)
        )
        exponent, logarithm = split_logarithm(code, code.maximum(code.load(scratch, source), floor))
        level = code.multiply_add(exponent, octave, code.multiply_add(logarithm, neper, offset))
        code.store(code.maximum(code.minimum(level, highest), lowest), out, to)

    return body


def _broadcast_pair(code: VectorCode, pointer: Value, index: Value) -> Complex:
    return code.broadcast(pointer, index), code.broadcast(pointer, code.index(index, 1, 1))
