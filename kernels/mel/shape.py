"""The sizes that the mel's vector code is printed for, and where it keeps what; ``codelets`` tells what they mean."""

from __future__ import annotations

from dataclasses import dataclass

from lipforge.kernels.simd.transpose import ROWS

SEGMENT_COLUMNS = 32
"""Columns that are made out of one filling of the segment, which stays in the first-level cache."""


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
        """Offset of the factors of the split, ``-i w^f`` for all points."""
        return self.rotation_table + 2 * self.points

    @property
    def level_table(self) -> int:
        """Offset of floor, scale of the exponent, scale of log(mantissa), offset, lowest, highest."""
        return self.split_table + 2 * self.points

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
        """Offset of the sums of all bands, ``lanes`` each; also of the levels of a batch with fewer columns."""
        return self.block_scratch + self.hop_samples * self.block_row

    @property
    def segment_samples(self) -> int:
        """Size of the buffer for the emphasised samples of SEGMENT_COLUMNS columns."""
        return (SEGMENT_COLUMNS + self.overlap + 4) * self.hop_samples
