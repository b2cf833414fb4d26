"""Pixels of 8 bits as sixteen levels in 16-bit fixed point: sampled bilinearly, read and written; see ``fixed_point``.

A level times 128 fits an int16 and so does the difference of two, so a blend is exact to 1/128 of a level. Pixels come
in two halves of eight, each a run of neighbours in a row; ``places`` are the byte offsets of samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from lipforge.kernels.canvas import BGR, LUMA, PAIRED_CHROMA, PIXEL_BYTES, SEPARATE_CHROMA
from lipforge.kernels.simd.fixed_point import (
    BYTES,
    HALF_BYTES,
    SHORT,
    SHORTS,
    Shorts,
    end_to_end,
    pair_products,
    wide_place,
)
from lipforge.kernels.simd.instructions import BYTE, INT32, INT64, load, shuffle, store
from lipforge.kernels.simd.number_formats import HALF, LEVEL_BITS, WIDTH

EIGHT_BYTES = ir.VectorType(BYTE, 8)


def store_offsets(column: Shorts, row: Shorts, pixel_bytes: int, row_bytes: Any, address: Any) -> None:
    """Write where sixteen pixels start in an image, as 16 int32 for ``load_offsets``: addresses are scalars.

    Args:
        column: not negative.
        row: not negative.
        pixel_bytes: from column to column.
        row_bytes: int64, from row to row, below 32768.
        address: of the memory.
    """
    code = column.code
    parts = pair_products(column, row, SHORT(pixel_bytes), code.trunc(row_bytes, SHORT))
    for i, part in enumerate(parts):
        store(code, part.value, code.add(address, INT64(4 * HALF * i)))


def load_offsets(code: Any, address: Any) -> list[Any]:
    """Return what ``store_offsets`` wrote as int64 scalars, in lane order."""
    offsets = []
    for lane in range(WIDTH):
        part, place = wide_place(lane)
        number = load(code, INT32, code.add(address, INT64(4 * (HALF * part + place))))
        offsets.append(code.zext(number, INT64))
    return offsets


def sample_three(address: Any, offsets: list[Any], shares: tuple[Shorts, Shorts], row_bytes: Any) -> list[Shorts]:
    """Sample 3-byte pixels; touches GATHER_BYTES from each offset on, in its row and in the next.

    Args:
        address: int64, of the image.
        offsets: of the upper left neighbours.
        shares: of the right and of the lower neighbours.
        row_bytes: int64, from row to row.
    """
    rows = [_gather_bytes(shares[0].code, start, offsets, 6) for start in _two_rows(shares[0], address, row_bytes)]
    blended = [above.towards(below, shares[1]) for above, below in zip(*rows, strict=True)]
    return [blended[i].towards(blended[3 + i], shares[0]) for i in range(3)]


def sample_one(address: Any, offsets: list[Any], shares: tuple[Shorts, Shorts], row_bytes: Any) -> list[Shorts]:
    """Sample 1-byte pixels as ``sample_three``; touches 2 bytes from each offset on."""
    left, right = [], []
    for start in _two_rows(shares[0], address, row_bytes):
        pairs = _gather_shorts(shares[0].code, start, offsets)
        left.append(_low_byte(pairs))
        right.append(_high_byte(pairs))
    return [left[0].towards(left[1], shares[1]).towards(right[0].towards(right[1], shares[1]), shares[0])]


def sample_two(address: Any, offsets: list[Any], shares: tuple[Shorts, Shorts], row_bytes: Any) -> list[Shorts]:
    """Sample 2-byte pixels as ``sample_three``; touches 4 bytes from each offset on."""
    code = shares[0].code
    sides: list[list[Shorts]] = []
    for distance in (0, 2):
        rows = [
            _gather_shorts(code, code.add(start, INT64(distance)), offsets)
            for start in _two_rows(shares[0], address, row_bytes)
        ]
        sides.append([part(rows[0]).towards(part(rows[1]), shares[1]) for part in (_low_byte, _high_byte)])
    return [left.towards(right, shares[0]) for left, right in zip(*sides, strict=True)]


def _two_rows(share: Shorts, address: Any, row_bytes: Any) -> tuple[Any, Any]:
    return address, share.code.add(address, row_bytes)


def _gather_shorts(code: Any, address: Any, offsets: list[Any]) -> Shorts:
    """Load 16 bits at sixteen places."""
    found = ir.Constant(SHORTS, ir.Undefined)
    for lane, offset in enumerate(offsets):
        found = code.insert_element(found, load(code, SHORT, code.add(address, offset)), INT32(lane))
    return Shorts(code, found)


def _gather_bytes(code: Any, address: Any, offsets: list[Any], count: int) -> list[Shorts]:
    """Load 8 bytes at sixteen places and return the first ``count`` as levels, one vector for each.

    The 16 x 8 bytes are transposed: pixels are first paired so that three rounds of interleaving put the eight bytes
    of a half into lane order.
    """
    # Sixteen bytes, because interleaving can then take its operand from memory; the upper eight are not used.
    words = [load(code, HALF_BYTES, code.add(address, offset)) for offset in offsets]
    paired = []
    for i in (0, 1, 4, 5):  # pixels 0 and 2, 1 and 3, 4 and 6, 5 and 7 of both halves
        halves = [_interleave(code, words[i + half], words[i + 2 + half]) for half in (0, HALF)]
        paired.append(end_to_end(code, halves))
    quads = [_interleave_halves(code, a, b, 8, upper) for a, b in (paired[:2], paired[2:]) for upper in (0, 1)]
    columns = []
    for index in range((count + 1) // 2):  # bytes 2 * index and 2 * index + 1 of all pixels
        upper, last = divmod(index, 2)
        columns.append(_interleave_halves(code, quads[upper], quads[2 + upper], 32, last))
    zero = ir.Constant(BYTES, [0] * (2 * WIDTH))
    levels = []
    for index in range(count):
        high = _interleave_halves(code, zero, columns[index // 2], 8, index % 2)
        levels.append(Shorts(code, code.bitcast(high, SHORTS)) >> (8 - LEVEL_BITS))
    return levels


def _interleave(code: Any, a: Any, b: Any) -> Any:
    """Interleave the first eight elements of two vectors."""
    return shuffle(code, a, b, [lane for i in range(HALF) for lane in (i, a.type.count + i)])


def _interleave_halves(code: Any, a: Any, b: Any, bits: int, upper: int) -> Any:
    """Interleave the lower or upper parts of each half of two vectors of 32 bytes, in elements of some bits."""
    count = 128 // bits
    kind = ir.VectorType(ir.IntType(bits), 2 * count)
    a, b = code.bitcast(a, kind), code.bitcast(b, kind)
    lanes = []
    for half in (0, count):
        for i in range(count // 2):
            lane = half + upper * count // 2 + i
            lanes += [lane, 2 * count + lane]
    return code.bitcast(shuffle(code, a, b, lanes), BYTES)


def _low_byte(words: Shorts) -> Shorts:
    """Return the lower byte of every int16 as a level."""
    return (words << LEVEL_BITS) & (255 << LEVEL_BITS)


def _high_byte(words: Shorts) -> Shorts:
    return (words >> (8 - LEVEL_BITS)) & (255 << LEVEL_BITS)


def read_three(code: Any, first: Any, second: Any) -> list[Shorts]:
    """Return the levels of eight 3-byte pixels at each of two addresses."""
    kind = ir.VectorType(BYTE, 16)
    # 24 bytes as 16 and the last 16 of them: both fit a half.
    begin, end = (
        end_to_end(code, [load(code, kind, code.add(at, INT64(skip))) for at in (first, second)]) for skip in (0, 8)
    )
    zero = ir.Constant(BYTES, [0] * (2 * WIDTH))
    channels = []
    for channel in range(3):
        parts = []
        for source, skip in ((begin, 0), (end, 8)):
            lanes = []
            for half in (0, 16):
                for i in range(HALF):
                    place = 3 * i + channel - skip
                    mine = (skip == 0) == (3 * i + channel < 16)
                    lanes += [32, half + place if mine else 32]  # above a zero byte
            parts.append(shuffle(code, source, zero, lanes))
        both = code.bitcast(code.or_(*parts), SHORTS)
        channels.append(Shorts(code, both) >> (8 - LEVEL_BITS))
    return channels


def read_two(code: Any, first: Any, second: Any) -> list[Shorts]:
    """Return the levels of eight 2-byte pixels at each of two addresses."""
    kind = ir.VectorType(SHORT, HALF)
    words = Shorts(code, end_to_end(code, [load(code, kind, at) for at in (first, second)]))
    return [_low_byte(words), _high_byte(words)]


def read_one(code: Any, first: Any, second: Any) -> list[Shorts]:
    """Return the levels of eight 1-byte pixels at each of two addresses."""
    together = end_to_end(code, [load(code, EIGHT_BYTES, at) for at in (first, second)])
    return [Shorts(code, code.zext(together, SHORTS)) << LEVEL_BITS]


def _rounded(level: Shorts) -> Shorts:
    """Return levels as whole numbers, 0 to 255: 32640 + 64 still fits an int16."""
    return (level + (1 << (LEVEL_BITS - 1))) >> LEVEL_BITS


def write_three(levels: list[Shorts], first: Any, second: Any) -> None:
    """Write eight 3-byte pixels to each of two addresses, the second after the first."""
    code = levels[0].code
    low, mid, high = (_rounded(level) for level in levels)
    pairs = (low | mid << 8).value, high.value
    # 8 x 4 bytes a half, the last of which is dropped
    for half, address in ((0, first), (1, second)):
        parts = [shuffle(code, pair, pair, [HALF * half + i for i in range(HALF)]) for pair in pairs]
        words = code.bitcast(_interleave(code, *parts), BYTES)
        packed = shuffle(code, words, words, [4 * i + k for i in range(HALF) for k in range(3)])
        store(code, packed, address)


def write_two(levels: list[Shorts], first: Any, second: Any) -> None:
    """Write eight 2-byte pixels to each of two addresses, the second after the first."""
    low, high = (_rounded(level) for level in levels)
    pairs = low | high << 8
    store(pairs.code, pairs.half(0), first)
    store(pairs.code, pairs.half(1), second)


def write_one(levels: list[Shorts], first: Any, second: Any) -> None:
    """Write eight 1-byte pixels to each of two addresses, the second after the first."""
    code, level = levels[0].code, _rounded(levels[0])
    for half, address in ((0, first), (1, second)):
        store(code, code.trunc(level.half(half), EIGHT_BYTES), address)


@dataclass(frozen=True)
class Layout:
    """How the pixels of a ``PlaneGroup`` lie in memory.

    Attributes:
        pixel_bytes: from one pixel to the next.
        channels: which of the three stored channels it has, see ``Canvas.mixing``.
        planes: how many planes share them.
        sample: reads one plane between pixels, as ``sample_one``.
        read: reads pixels of one plane, as ``read_one``.
        write: writes pixels of one plane, as ``write_one``.
    """

    pixel_bytes: int
    channels: tuple[int, ...]
    planes: int
    sample: Callable[..., list[Shorts]]
    read: Callable[[Any, Any, Any], list[Shorts]]
    write: Callable[[list[Shorts], Any, Any], None]


LAYOUTS = {
    BGR: Layout(PIXEL_BYTES[BGR], (0, 1, 2), 1, sample_three, read_three, write_three),
    LUMA: Layout(PIXEL_BYTES[LUMA], (0,), 1, sample_one, read_one, write_one),
    SEPARATE_CHROMA: Layout(PIXEL_BYTES[SEPARATE_CHROMA], (1, 2), 2, sample_one, read_one, write_one),
    PAIRED_CHROMA: Layout(PIXEL_BYTES[PAIRED_CHROMA], (1, 2), 1, sample_two, read_two, write_two),
}
