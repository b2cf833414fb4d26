"""Building blocks of bilinear sampling, eight positions at once; see ``lanes`` for how to read vector code.

A neighbour to the right of the last column or below the last row is never needed: its share is 0 there. It is still
loaded, so every block says which bytes it touches; what they hold does not matter as long as it is finite.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from lipforge.kernels.simd.instructions import BYTE, FLOAT, INT32, INT64, load, multiply_add, shuffle, splat
from lipforge.kernels.simd.lanes import LANES, Vector


def locate(whole: Vector, offset: Vector, last: Vector) -> tuple[Vector, Vector]:
    """Clamp the positions whole + offset to [0, last] and split them.

    The whole part stays an integer throughout, so that the share keeps its precision far from the origin.

    Args:
        whole: int32, in px.
        offset: float32, in px; any size.
        last: int32, last column or row.

    Returns:
        Index of the left or upper neighbour (int32) and share of the other one (float32, in [0, 1)).
    """
    inside = offset.at_least((-whole).to_floats()).at_most((last - whole).to_floats())
    floor = inside.floor()
    return whole + floor.to_ints(), inside - floor


def sample_records(
    address: Any, offset: Vector, shares: tuple[Vector, Vector], row_bytes: Any, width: int
) -> list[Vector]:
    """Sample records of 4 or 8 float32 that lie next to each other, and return one vector per member.

    Bilinear sampling runs along the record here (all members of one position in one register); the turn into vectors
    of eight positions comes last. Touches the records at offset, to its right, below and below right.

    Args:
        address: int64, of the first record.
        offset: int32, byte offsets of the upper left records.
        shares: of the right and of the lower neighbours.
        row_bytes: int64, from one row of records to the next.
        width: members of a record, 4 or 8.
    """
    code = offset.code
    kind = ir.VectorType(FLOAT, width)
    records = []
    for i in range(LANES):
        upper = code.add(address, code.zext(offset.lane(i), INT64))
        lower = code.add(upper, row_bytes)
        share_x, share_y = (splat(code, share.lane(i), width) for share in shares)
        rows = []
        for row in (upper, lower):
            left, right = load(code, kind, row), load(code, kind, code.add(row, INT64(4 * width)))
            rows.append(_towards(code, left, right, share_x))
        records.append(_towards(code, rows[0], rows[1], share_y))
    return transpose(code, records, width)


def _towards(code: Any, start: Any, end: Any, share: Any) -> Any:
    return multiply_add(code, code.fsub(end, start), share, start)


def transpose(code: Any, records: list[Any], width: int) -> list[Vector]:
    """Turn eight records of 4 or 8 members into 4 or 8 vectors with one lane per record."""
    if width == 4:  # records 0 and 4 share a register, 1 and 5, ...; then it is the first half of the case below
        records = [shuffle(code, records[i], records[i + 4], list(range(8))) for i in range(4)]
        return [Vector(code, value) for value in _turn_quads(code, records)]
    upper, lower = _turn_quads(code, records[:4]), _turn_quads(code, records[4:])
    first = [shuffle(code, a, b, [0, 1, 2, 3, 8, 9, 10, 11]) for a, b in zip(upper, lower, strict=True)]
    second = [shuffle(code, a, b, [4, 5, 6, 7, 12, 13, 14, 15]) for a, b in zip(upper, lower, strict=True)]
    return [Vector(code, value) for value in first + second]


def _turn_quads(code: Any, rows: list[Any]) -> list[Any]:
    """Transpose the two 4 x 4 blocks that lie side by side in four registers of eight (unpack, then shuffle pairs)."""
    low, high = [0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15]
    pairs = [[shuffle(code, rows[i], rows[i + 1], half) for half in (low, high)] for i in (0, 2)]
    turned = []
    for half in (0, 1):
        for lanes in ([0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15]):
            turned.append(shuffle(code, pairs[0][half], pairs[1][half], lanes))
    return turned


# Gathered int64 fill two AVX2 registers. In this order their halves come out in lane order without crossing the
# registers' 128-bit lanes: see ``split_words``.
GATHER_ORDER = {16: range(8), 32: range(8), 64: (0, 1, 4, 5, 2, 3, 6, 7)}


def gather(address: Any, offset: Vector, bits: int) -> Any:
    """Load 16, 32 or 64 bits at eight byte offsets (int32, not negative), in ``GATHER_ORDER``.

    Eight loads are as fast as the processors' own gather instructions, and exist everywhere.
    """
    code, kind = offset.code, ir.IntType(bits)
    words = ir.Constant(ir.VectorType(kind, LANES), ir.Undefined)
    for place, lane in enumerate(GATHER_ORDER[bits]):
        word = load(code, kind, code.add(address, code.zext(offset.lane(lane), INT64)))
        words = code.insert_element(words, word, INT32(place))
    return words


def byte_of(words: Vector, index: int) -> Vector:
    """Return byte 0 to 3 of every int32 as float32."""
    shifted = words >> (8 * index) if index else words
    return (shifted & 255 if index < 3 else shifted).to_floats()


def split_words(code: Any, words: Any) -> tuple[Vector, Vector]:
    """Split eight gathered int64 into their lower and upper int32, in lane order."""
    halves = code.bitcast(words, ir.VectorType(INT32, 2 * LANES))
    lower = [0, 2, 8, 10, 4, 6, 12, 14]
    upper = [lane + 1 for lane in lower]
    return Vector(code, shuffle(code, halves, halves, lower)), Vector(code, shuffle(code, halves, halves, upper))


def three_channels(code: Any, words: Any, share: Vector) -> list[Vector]:
    """Blend two neighbouring 3-byte pixels that lie in the low 6 bytes of int64: three float32 channels."""
    low, high = split_words(code, words)
    left = [byte_of(low, i) for i in range(3)]
    right = [byte_of(low, 3), byte_of(high, 0), byte_of(high, 1)]
    return [a.towards(b, share) for a, b in zip(left, right, strict=True)]


def sample_three(address: Any, offset: Vector, shares: tuple[Vector, Vector], row_bytes: Any) -> list[Vector]:
    """Sample a 3-byte image; touches 8 bytes from offset on, in its row and in the next."""
    code = offset.code
    upper = three_channels(code, gather(address, offset, 64), shares[0])
    lower = three_channels(code, gather(code.add(address, row_bytes), offset, 64), shares[0])
    return [a.towards(b, shares[1]) for a, b in zip(upper, lower, strict=True)]


def sample_one(
    address: Any, offset: Vector, shares: tuple[Vector, Vector], row_bytes: Any, across: int, channels: int = 1
) -> list[Vector]:
    """Sample ``channels`` bytes per pixel, ``across`` bytes apart from pixel to pixel; touches 4 bytes per row."""
    code = offset.code
    rows = [Vector(code, gather(start, offset, 32)) for start in (address, code.add(address, row_bytes))]
    sampled = []
    for channel in range(channels):
        upper, lower = (byte_of(row, channel).towards(byte_of(row, channel + across), shares[0]) for row in rows)
        sampled.append(upper.towards(lower, shares[1]))
    return sampled


def to_levels(value: Vector) -> Vector:
    """Clip to [0, 255] and round to nearest: the int32 to store."""
    return (value.at_least(0.0).at_most(255.0) + 0.5).to_ints()


def pack_three(channels: list[Vector]) -> Any:
    """Return 24 bytes: three channels of levels, interleaved."""
    code = channels[0].code
    words = channels[0] | channels[1] << 8 | channels[2] << 16
    bytes32 = code.bitcast(words.value, ir.VectorType(BYTE, 4 * LANES))
    return shuffle(code, bytes32, bytes32, [4 * i + k for i in range(LANES) for k in range(3)])


def pack_two(first: Vector, second: Vector) -> Any:
    """Return 16 bytes: two channels of levels, interleaved."""
    return first.code.trunc((first | second << 8).value, ir.VectorType(ir.IntType(16), LANES))


def pack_one(levels: Vector) -> Any:
    """Return 8 bytes: one channel of levels."""
    return levels.code.trunc(levels.value, ir.VectorType(BYTE, LANES))
