"""One network with its optimiser: rate schedule, gradient clipping, scaling and averaged weights."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from lipforge.train.config import LoopConfig
from lipforge.train.device import Device
from lipforge.train.ranks import ALONE, Ranks


class Learner:
    """Owns a network, the state of its optimiser, its gradient scaler and an average of its weights.

    A trainer with several networks (a generator and its critics) has one learner for each. One optimiser step is
    ``begin``, ``add`` for each part of the batch, ``measure``, ``step``.

    Attributes:
        network: the weights that the optimiser moves, in train mode.
        average: exponential moving average of them in eval mode, or ``network`` itself if averaging is off.
        callable: what to run in training: ``network``, or its compiled form.
    """

    def __init__(self, network: nn.Module, config: LoopConfig, device: Device, ranks: Ranks = ALONE) -> None:
        self._config, self._ranks = config, ranks
        if ranks.size > 1:
            network = device.with_shared_norms(network)
        # Copied before it is moved: an accelerator's tensors need not know how to be copied.
        self.average = device.place(copy.deepcopy(network)).eval() if config.ema_decay else network
        self.network = device.place(network).train()
        ranks.copy_weights(self.network)
        ranks.copy_weights(self.average)
        self.callable = compiled(self.network) if config.compile else self.network
        self._optimiser = _optimiser(self.network, config)
        self._scaler = device.grad_scaler()
        self._updates = 0

    def begin(self) -> None:
        """Forget the gradients of the step before."""
        self._optimiser.zero_grad(set_to_none=True)

    def add(self, loss: Tensor, share: float) -> None:
        """Add the gradients of a part of the batch.

        Args:
            loss: scalar, mean over the part.
            share: of the part in this rank's rows, so that the sum is the mean over all of them.
        """
        torch.autograd.backward(self._scaler.scale(loss * share if share != 1.0 else loss))

    def measure(self, loss: Tensor) -> tuple[float, float]:
        """Average the gradients over all ranks, clip them, and wait for the device.

        Args:
            loss: scalar of this rank's rows.

        Returns:
            The loss of all rows, and the norm of their gradient before clipping; the same on every rank.
        """
        mean = self._ranks.average_gradients(self.network, loss.detach())
        self._scaler.unscale_(self._optimiser)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self._config.clip_norm or math.inf)
        total, length = torch.stack([mean.float(), norm.float()]).cpu().tolist()
        return total, length

    def step(self, progress: float) -> None:
        """Make the optimiser step; under fp16 one with a gradient that is not finite changes only the scale.

        Args:
            progress: share of the run that is behind us, in [0, 1]; sets the learning rate.
        """
        self.set_rate(progress)
        self._scaler.step(self._optimiser)
        self._scaler.update()
        self._ranks.average_buffers(self.network)
        self._updates += 1
        self._update_average()

    @property
    def tolerates_overflow(self) -> bool:
        """Whether a non-finite gradient is part of finding the loss scale rather than a fault."""
        return bool(self._scaler.is_enabled())

    def set_rate(self, progress: float) -> float:
        """Set and return the learning rate: linear warm-up over steps, then the schedule over the run's progress."""
        config = self._config
        rate = config.learning_rate * min(1.0, (self._updates + 1) / max(1, config.warmup_steps))
        if config.schedule == "cosine":
            wave = 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
            rate *= config.last_rate_share + (1.0 - config.last_rate_share) * wave
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        return rate

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[nn.Module]:
        """Lend the averaged network in eval mode."""
        training = self.average.training
        try:
            yield self.average.eval()
        finally:
            self.average.train(training)

    def state(self) -> dict[str, Any]:
        """Return everything that a resumed run needs."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "scaler": self._scaler.state_dict(),
            "updates": self._updates,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` returned; betas and the like are the configuration's, which may have changed."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        configured = [{key: value for key, value in g.items() if key != "params"} for g in self._optimiser.param_groups]
        self._optimiser.load_state_dict(state["optimiser"])
        for group, values in zip(self._optimiser.param_groups, configured, strict=True):
            group.update(values)
        self._scaler.load_state_dict(state["scaler"])
        self._updates = int(state["updates"])

    @torch.no_grad()
    def _update_average(self) -> None:
        if self.average is self.network:
            return
        # The average follows quickly at first, or it would drag the random start along for thousands of steps.
        decay = min(self._config.ema_decay, (1 + self._updates) / (10 + self._updates))
        now, mean = self.network.state_dict(), self.average.state_dict()
        floats = [name for name, value in mean.items() if value.is_floating_point()]
        torch._foreach_lerp_([mean[name] for name in floats], [now[name] for name in floats], 1.0 - decay)
        for name in set(mean) - set(floats):
            mean[name].copy_(now[name])


def compiled(network: nn.Module) -> nn.Module:
    """Return a network's compiled form, which shares its weights; compiling happens in the first forward pass."""
    return cast(nn.Module, torch.compile(network))


def _optimiser(network: nn.Module, config: LoopConfig) -> torch.optim.Optimizer:
    kind = torch.optim.Adam if config.optimiser == "adam" else torch.optim.AdamW
    return kind(_decay_groups(network, config.weight_decay), lr=config.learning_rate, betas=config.betas)


def _decay_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Decay matrices and filters only: pulling biases and norms to zero helps nothing."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
