"""Pre-emphasis and padding, one compiled function for whole signals and one for chunks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.compiled import compiled

MAGNITUDE, INFINITE = np.uint32(0x7FFFFFFF), np.uint32(0x7F800000)
"""Of the bits of a float32: all but the sign, and what infinity has there; "not a number" has more."""

Samples = NDArray[np.float32]
Emphasised = NDArray[Any]
"""float32 for the vector code, float64 for the plain one.

Computed in float64 and rounded once: neighbouring samples of speech nearly cancel, and a product rounded to float32
before the difference alone costs 3e-5 in the finished mel.
"""


@compiled
def first_bad_sample(audio: Samples) -> int:
    """Return the position of the first sample that is not finite, or -1."""
    bits = audio.view(np.uint32)
    largest = np.uint32(0)
    for i in range(bits.shape[0]):  # without a way out of the loop, so that it vectorises
        largest = max(largest, bits[i] & MAGNITUDE)
    if largest < INFINITE:
        return -1
    position = 0
    while bits[position] & MAGNITUDE < INFINITE:
        position += 1
    return position


@compiled
def emphasise_chunk(
    audio: Samples, start: int, count: int, previous: float, preemphasis: float, out: Emphasised, to: int
) -> None:
    """Write ``audio[n] - preemphasis * audio[n - 1]`` of ``count`` samples from ``start`` on to ``out[to:]``.

    Args:
        audio: float32 (n,).
        start: first sample.
        count: samples, at least 1.
        previous: stands before ``audio[0]``.
        preemphasis: see ``MelRecipe``.
        out: float32 or float64.
        to: where the first one goes.
    """
    first = previous if start == 0 else np.float64(audio[start - 1])
    out[to] = np.float64(audio[start]) - preemphasis * first
    # Slices start at 0, so numba need not ask whether an index counts from the end, and the loop vectorises.
    now, before, target = audio[start + 1 : start + count], audio[start : start + count - 1], out[to + 1 : to + count]
    for i in range(count - 1):
        target[i] = np.float64(now[i]) - preemphasis * np.float64(before[i])


@compiled
def emphasise_padded(
    audio: Samples, begin: int, count: int, preemphasis: float, reflect: bool, out: Emphasised
) -> None:
    """Fill ``out[:count]`` with the emphasised signal from position ``begin`` on, which may lie outside it.

    Args:
        audio: float32 (n,), the whole signal.
        begin: first position; negative before the signal.
        count: values.
        preemphasis: see ``MelRecipe``.
        reflect: whether the *emphasised* signal is reflected at its ends; otherwise zeros stand there.
        out: float32 or float64.
    """
    size = audio.shape[0]
    first = min(max(0, -begin), count)
    last = max(min(count, size - begin), first)
    if last > first:
        emphasise_chunk(audio, begin + first, last - first, 0.0, preemphasis, out, first)
    for i in range(first):
        out[i] = _emphasised(audio, -(begin + i), preemphasis) if reflect else 0.0
    for i in range(last, count):
        out[i] = _emphasised(audio, 2 * (size - 1) - (begin + i), preemphasis) if reflect else 0.0


@compiled
def _emphasised(audio: Samples, position: int, preemphasis: float) -> float:
    before = np.float64(audio[position - 1]) if position > 0 else 0.0
    return np.float64(audio[position]) - preemphasis * before
