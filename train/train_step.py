"""One optimiser step: every network's loss in turn, in parts if need be, over all ranks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor

from lipforge.kernels.errors import BackendError, LipforgeError
from lipforge.train.checkpoint import on_cpu
from lipforge.train.device import Device
from lipforge.train.learner import Learner
from lipforge.train.ranks import Ranks
from lipforge.train.stage_clock import StageClock
from lipforge.train.task import Batch, Loss, Task

COMPILERS = ("torch._dynamo", "torch._inductor")


@dataclass
class Means:
    """Running sums of what is logged, on the device, and how many steps are in them."""

    sums: dict[str, Tensor] = field(default_factory=dict)
    steps: int = 0

    def add(self, name: str, value: Tensor | float) -> None:
        """Add to one sum."""
        now = value.detach().float() if isinstance(value, Tensor) else torch.tensor(value)
        self.sums[name] = self.sums[name] + now if name in self.sums else now

    def read(self, ranks: Ranks) -> dict[str, float]:
        """Return the means over steps and ranks, and begin anew."""
        if not self.sums:
            return {}
        total = torch.stack([value.cpu() for value in self.sums.values()])
        means = (ranks.mean(total) / max(1, self.steps)).tolist()
        named = dict(zip(self.sums, means, strict=True))
        self.sums, self.steps = {}, 0
        return named


class TrainStep:
    """Descends the losses of a task.

    Args:
        task: the trainer.
        learners: by name of the network.
        device: where they are.
        ranks: who trains along.
        run: folder for a batch that breaks training.
    """

    def __init__(self, task: Task, learners: dict[str, Learner], device: Device, ranks: Ranks, run: Path) -> None:
        self._task, self._learners, self._device, self._ranks, self._run = task, learners, device, ranks, run
        self._networks = {name: learner.callable for name, learner in learners.items()}
        self._parts = task.loop.accumulate
        self.clock = StageClock(device)
        self.means = Means()

    def __call__(self, original: Batch, step: int, progress: float) -> None:
        """Make one optimiser step of every network that the task yields a loss for.

        Args:
            original: this rank's rows of the batch, on the CPU.
            step: number of steps before this one.
            progress: share of the run that is behind us, in [0, 1].

        Raises:
            LipforgeError: a loss or gradient was not finite; the batch is saved.
            BackendError: the network cannot be compiled here.
        """
        with self.clock.stage("copy"):
            batch = {name: self._to_device(value) for name, value in original.items()}
        rows = len(next(iter(original.values()))) // self._parts
        runs = [
            self._task.losses(self._networks, {k: v[n * rows : (n + 1) * rows] for k, v in batch.items()})
            for n in range(self._parts)
        ]
        while (learner_and_loss := self._descend(runs)) is not None:
            name, loss = learner_and_loss
            with self.clock.stage("optimiser"):
                total, norm = self._learners[name].measure(loss)
                if not math.isfinite(total):
                    self._stop_for(original, step, f"the loss of {name} is not finite", here=not loss.isfinite())
                if not math.isfinite(norm) and not self._learners[name].tolerates_overflow:
                    self._stop_for(original, step, f"the gradient of {name} is not finite", here=True)
                self._learners[name].step(progress)
            self.means.add(f"{name}_gradient_norm", norm)
        self.means.steps += 1

    def _descend(self, runs: list[Iterator[Loss]]) -> tuple[str, Tensor] | None:
        """Take the next loss of every part backwards; return the network's name and the mean loss, or None at the end.

        The graph of one part is gone before the next part is computed: that is what saves memory.
        """
        share, name, totals = 1.0 / len(runs), "", list[Tensor]()
        for run in runs:
            with self.clock.stage("forward"):
                loss = self._next_loss(run)
            if loss is None:
                return None
            if not totals:
                name = loss.network
                self._learners[name].begin()
            with self.clock.stage("backward"):
                self._learners[name].add(loss.total, share)
            totals.append(loss.total.detach())
            for part, value in loss.parts.items():
                self.means.add(part, value.detach() * share)
        return name, torch.stack(totals).mean()

    def _next_loss(self, run: Iterator[Loss]) -> Loss | None:
        try:
            with self._device.autocast():  # the forward pass only: the backward pass runs outside
                return next(run, None)
        except Exception as error:
            if not self._task.loop.compile or not type(error).__module__.startswith(COMPILERS):
                raise
            raise BackendError(
                f"loop.compile=true: torch.compile fails here ({str(error).strip().splitlines()[0]:.200}). It needs a "
                "C++ compiler (on a CPU) or triton (on a GPU); install it, or set loop.compile=false."
            ) from error

    def _to_device(self, value: Tensor) -> Tensor:
        value = value.to(self._device.torch_device, non_blocking=True)
        return value.contiguous(memory_format=self._device.memory_format) if value.ndim == 4 else value

    def _stop_for(self, batch: Batch, step: int, reason: str, *, here: bool) -> NoReturn:
        """Stop; all ranks come here together, and those whose rows are to blame save them."""
        rank = "" if self._ranks.size == 1 else f"-rank-{self._ranks.rank}"
        name = f"bad-batch-step-{step:08d}{rank}.pt"
        if here:
            torch.save(on_cpu(batch), self._run / name)
        saved = ", ".join(filter(None, self._ranks.gather(name if here else "")))
        raise LipforgeError(
            f"step {step}: {reason}; the batch is saved as {self._run / saved}. Lower loop.learning_rate or "
            "look at the batch; --resume continues from the last checkpoint."
        )
