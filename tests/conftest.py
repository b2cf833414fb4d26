"""What tests of more than one folder share."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    import torch


def golden_tensor(key: str, shape: tuple[int, ...], gain: float) -> torch.Tensor:
    """Make the weights that the golden outputs were computed with: a function of the key alone."""
    import torch

    random = np.random.default_rng(zlib.crc32(f"lipforge-golden-v1/{key}".encode()))
    if key.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if key.endswith("running_mean"):
        values = random.normal(0, 0.1, shape)
    elif key.endswith("running_var") or (len(shape) == 1 and key.endswith(".weight")):
        values = random.uniform(0.5, 1.1, shape)
    elif len(shape) == 1:
        values = random.normal(0, 0.05, shape)
    else:
        values = random.normal(0, gain * np.sqrt(2 / np.prod(shape[1:])), shape)
    return torch.from_numpy(values.astype(np.float32))


@pytest.fixture(scope="session")
def golden_weights() -> Callable[..., dict[str, torch.Tensor]]:
    """Makes the weights for a network of any size: ``golden_weights(network, gain=0.55)``."""

    def make(network: torch.nn.Module, gain: float = 0.55) -> dict[str, torch.Tensor]:
        return {key: golden_tensor(key, tuple(value.shape), gain) for key, value in network.state_dict().items()}

    return make
