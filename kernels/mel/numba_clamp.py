"""Whisper's clamp to a range below a maximum, see ``WhisperMelSpec``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.compiled import compiled


@compiled
def clamp_columns(
    mel: NDArray[np.float32], first: int, count: int, clamp_range: float, running: bool, maximum: float
) -> float:
    """Raise values of ``mel[:, first : first + count]`` that lie too far below a maximum, in place.

    Args:
        mel: float32 (n_mels, columns).
        first: first column.
        count: columns.
        clamp_range: how far below the maximum is too far.
        running: whether a column's maximum is that of all columns up to itself; otherwise that of all ``count``.
        maximum: of earlier columns; -inf if there are none.

    Returns:
        The maximum of earlier and these columns.
    """
    peaks = np.full(count, maximum).astype(np.float32)
    for band in range(mel.shape[0]):
        row = mel[band, first : first + count]
        for i in range(count):
            peaks[i] = row[i] if row[i] > peaks[i] else peaks[i]
    for i in range(1, count):
        peaks[i] = max(peaks[i], peaks[i - 1])
    highest = np.float32(maximum) if count == 0 else peaks[-1]
    if not running:
        peaks[:] = highest
    peaks -= np.float32(clamp_range)
    for band in range(mel.shape[0]):
        row = mel[band, first : first + count]
        for i in range(count):
            row[i] = row[i] if row[i] > peaks[i] else peaks[i]
    return float(highest)
