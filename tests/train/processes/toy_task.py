"""A trainer of two tiny networks, for tests of the loop; loaded by path, in the tests' process and in others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lipforge.train.config import LoopConfig
from lipforge.train.device import Device
from lipforge.train.metrics import estimate_mean
from lipforge.train.task import Batch, Loss, Networks, Task

CONFIG = LoopConfig(
    steps=12, batch_size=4, warmup_steps=3, log_every=2, validate_every=6, image_every=0, save_every=4, save_minutes=0.0
)


@dataclass(frozen=True)
class ToyData:
    root: Path = Path("toys")
    fps: float = 25.0
    samples: int = 5
    fingerprint: str = "toy"


class ToyTask(Task):
    """A perceptron with dropout (so that random states matter) and BatchNorm (so that buffers do), and a critic."""

    kind = "toy"
    better: Mapping[str, str] = {"error": "min", "height": "max"}

    def __init__(
        self, config: LoopConfig, *, poison: tuple[int, int] | None = None, plain: bool = False, dataset: Any = None
    ) -> None:
        """``poison``: step and row that are not finite; ``plain``: no dropout, no norm, so that batches can be cut."""
        self.dataset, self.loop, self.config, self.specs = dataset or ToyData(), config, {"loop": "toy"}, {}
        self.model_args = {"width": 8}
        torch.manual_seed(config.seed)
        norm, drop = (nn.Identity(), nn.Identity()) if plain else (nn.BatchNorm1d(8), nn.Dropout(0.5))
        self.networks = {
            "toy": nn.Sequential(nn.Linear(4, 8), norm, nn.ReLU(), drop, nn.Linear(8, 2)),
            "critic": nn.Linear(2, 1),
        }
        self._poison = poison
        self._validations = 0
        self.batches: list[int] = []

    def batch(self, step: int) -> Batch:
        self.batches.append(step)
        x = torch.randn(self.loop.batch_size, 4, generator=torch.Generator().manual_seed(step))
        if self._poison is not None and step == self._poison[0]:
            x[self._poison[1]] = float("nan")
        return {"x": x}

    def losses(self, networks: Networks, batch: Batch) -> Iterator[Loss]:
        y = networks["toy"](batch["x"])
        error = (y - batch["x"][:, :2]).square().mean() + networks["critic"](y).mean()
        yield Loss("toy", error, {"error": error})
        opinion = (networks["critic"](y.detach()) - 1.0).square().mean()
        yield Loss("critic", opinion, {"opinion": opinion})

    def validate(self, network: nn.Module, device: Device) -> dict[str, float]:
        assert not network.training
        self._validations += 1
        errors = network(torch.ones(1, 4) * torch.arange(3.0)[:, None]).detach().abs().sum(1)
        return {"error": estimate_mean(errors), "height": float(errors.max())}

    def state(self) -> dict[str, Any]:
        return {"validations": self._validations}

    def load_state(self, state: dict[str, Any]) -> None:
        self._validations = state["validations"]
