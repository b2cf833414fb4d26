"""What a trainer brings to the loop: networks, batches, losses and validation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from torch import Tensor, nn

from lipforge.kernels.spec import Spec
from lipforge.train.config import LoopConfig
from lipforge.train.device import Device

Batch = dict[str, Tensor]
Networks = dict[str, nn.Module]


@dataclass(frozen=True)
class Loss:
    """A scalar to descend with one optimiser step of one network, and its parts for the log.

    Attributes:
        network: name of the network whose optimiser steps.
        total: scalar with a graph.
        parts: scalars to log.
    """

    network: str
    total: Tensor
    parts: dict[str, Tensor]


class TrainingData(Protocol):
    """What the loop wants to know of a dataset: where it is, how large, and by what it is recognised."""

    @property
    def root(self) -> Path:
        """The folder."""

    @property
    def fps(self) -> float:
        """Frames a second of every clip."""

    @property
    def samples(self) -> int:
        """Number of clips."""

    @property
    def fingerprint(self) -> str:
        """Changes when the data changes."""


class Task(ABC):
    """A trainer. The loop calls it; training state of its own, if any, goes through ``state``.

    Attributes:
        kind: name in checkpoints; the network of that name is the product.
        dataset: what it trains on.
        loop: settings of the loop.
        config: the whole resolved configuration.
        model_args: constructor arguments of the product.
        specs: recipes that the product needs when used.
        networks: freshly initialised networks by name.
        notes: what the user should know about the data, one line each.
        better: validation metrics that can choose the best checkpoint, each ``min`` or ``max``; the first does unless
            ``loop.best_metric`` names another.
    """

    kind: str
    dataset: TrainingData
    loop: LoopConfig
    config: dict[str, Any]
    model_args: dict[str, Any]
    specs: dict[str, Spec]
    networks: Networks
    notes: tuple[str, ...] = ()
    better: Mapping[str, str] = MappingProxyType({})

    @abstractmethod
    def batch(self, step: int) -> Batch:
        """Make the training batch of a step, on the CPU; the first axis of every tensor is the sample.

        Must be a function of the seed, the data and ``step`` alone: that is why a resumed run needs no sampler state.
        Several threads may call it at once.
        """

    def rows_of_batch(self, step: int, rows: slice) -> Batch:
        """Make some rows of a step's batch: what one of several ranks trains on.

        By default the whole batch is made and cut. Override it to make no more than the rows; they must be equal.
        """
        return {name: value[rows] for name, value in self.batch(step).items()}

    @abstractmethod
    def losses(self, networks: Networks, batch: Batch) -> Iterator[Loss]:
        """Yield losses; each is descended before the next one is computed, so adversaries can take turns.

        Each is a mean over the samples of the batch, which may be a part of a step's; gradients of parts are averaged.
        """

    @abstractmethod
    def validate(self, network: nn.Module, device: Device) -> dict[str, float]:
        """Measure the product on held-out clips; the same samples every time.

        Numbers with a confidence interval are ``lipforge.train.metrics.Estimate``. Called by rank 0 alone; the others
        get ``state`` from it.
        """

    def images(self, network: nn.Module, device: Device) -> dict[str, Tensor]:
        """Draw what the product does on held-out samples: RGB float32 (3, H, W) in [0, 1] by title."""
        del network, device
        return {}

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs beside networks, optimisers and random states."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` returned."""
        del state
