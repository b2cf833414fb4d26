"""Turning rows of samples into vectors whose lanes are the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # numba's import takes long, and MelShape asks only for the size of the tile
    from lipforge.kernels.simd.vectors import Value, VectorCode

ROWS, COLUMNS = 4, 8
"""Shape of the tile: eight samples are one AVX load, four rows one 128-bit store, which every machine has."""


def transpose_tile(code: VectorCode, source: Value, row_indices: list[Value]) -> list[Value]:
    """Print the loads and shuffles that transpose 4 rows of 8 neighbouring numbers.

    Args:
        code: with 8 lanes.
        source: pointer to float32.
        row_indices: where each of the four rows starts.

    Returns:
        Eight vectors of 4 lanes; vector s holds number s of each row.
    """
    rows = [code.load(source, index) for index in row_indices]
    low, high = [0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15]
    first, second = [0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15]
    pairs = [(code.shuffle(rows[0], rows[1], way), code.shuffle(rows[2], rows[3], way)) for way in (low, high)]
    # Number s is in the lower half of quad s, number s + 4 in its upper half.
    quads = [code.shuffle(*pair, way) for pair in pairs for way in (first, second)]
    return [code.shuffle(quad, quad, half) for half in ([0, 1, 2, 3], [4, 5, 6, 7]) for quad in quads]
