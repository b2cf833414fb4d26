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
        first = self.stop + columns.shape[1] - newest.shape[1]
        self._buffer[:, np.arange(first, first + newest.shape[1]) % capacity] = newest
        self.stop += columns.shape[1]

    def restart(self, number: int) -> None:
        """Forget all columns: the next one appended is column ``number``."""
        self._buffer[:] = self._silence
        self.stop = number

    def read(self, first: int, out: NDArray[np.float32]) -> None:
        """Copy the columns from ``first`` on into ``out``; silence before column 0 and after the last one."""
        numbers = np.arange(first, first + out.shape[1])
        np.take(self._buffer, numbers % self._buffer.shape[1], axis=1, out=out)
        out[:, (numbers < 0) | (numbers >= self.stop)] = self._silence
