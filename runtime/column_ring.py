"""The mel columns that a session still needs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class ColumnRing:
    """The newest mel columns, numbered from 0, in a buffer of fixed size.

    Args:
        rows: mel bands.
        capacity: columns that are kept.
        silence: value of what lies before column 0 and after the last one.
    """

    def __init__(self, rows: int, capacity: int, silence: float) -> None:
        self._silence = np.float32(silence)
        self._buffer = np.full((rows, capacity), self._silence, np.float32)
        self.stop = 0

    def append(self, columns: NDArray[np.float32]) -> None:
        """Append float32 (n_mels, k) columns; the oldest ones give way."""
        capacity = self._buffer.shape[1]
        newest = columns[:, -capacity:]
        count = newest.shape[1]
        self.stop += columns.shape[1]
        first = (self.stop - count) % capacity
        before_the_seam = min(count, capacity - first)
        self._buffer[:, first : first + before_the_seam] = newest[:, :before_the_seam]
        self._buffer[:, : count - before_the_seam] = newest[:, before_the_seam:]

    def restart(self, number: int) -> None:
        """Forget all columns: the next one appended is column ``number``."""
        self._buffer[:] = self._silence
        self.stop = number

    def read(self, first: int, out: NDArray[np.float32]) -> None:
        """Copy the columns from ``first`` on into ``out``; silence before column 0 and after the last one."""
        capacity, count = self._buffer.shape[1], out.shape[1]
        begin, end = min(max(0, -first), count), max(0, min(count, self.stop - first))
        at = (first + begin) % capacity
        seam = min(max(begin, end), begin + capacity - at)
        out[:, begin:seam] = self._buffer[:, at : at + seam - begin]
        out[:, seam:end] = self._buffer[:, : max(0, end - seam)]
        out[:, :begin] = out[:, end:] = self._silence
