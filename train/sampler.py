"""Which samples a step trains on: shuffled passes over the data, computed from the seed and the step alone."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

WHOLE = slice(None)
"""The part of a batch that a single rank takes: all of it."""


class Sampler:
    """Cuts an endless row of seeded permutations of ``range(length)`` into batches.

    There is no state to save: batch k is the same in a resumed run and in an unbroken one.
    """

    def __init__(self, length: int, batch_size: int, seed: int) -> None:
        self._length, self._batch_size, self._seed = length, batch_size, seed
        self._epoch = functools.lru_cache(maxsize=2)(self._permutation)

    def batch(self, step: int) -> npt.NDArray[np.int64]:
        """Return int64 (batch_size,), the samples of a step."""
        positions = np.arange(step * self._batch_size, (step + 1) * self._batch_size)
        epochs, places = np.divmod(positions, self._length)
        return np.array([self._epoch(int(e))[p] for e, p in zip(epochs, places, strict=True)], np.int64)

    def _permutation(self, epoch: int) -> npt.NDArray[np.int64]:
        return np.random.default_rng([self._seed, epoch]).permutation(self._length)


def step_generator(seed: int, step: int, stream: int) -> np.random.Generator:
    """Return the random numbers of one step; ``stream`` keeps different uses apart."""
    return np.random.default_rng([seed, stream, step])
