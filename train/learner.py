"""One network with its optimiser: rate schedule, gradient clipping, scaling and averaged weights."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from lipforge.train.config import LoopConfig
from lipforge.train.device import Device


class Learner:
    """Owns a network, its AdamW state, its gradient scaler and an average of its weights.

    A trainer with several networks (a generator and its critics) has one learner for each.

    Attributes:
        network: the weights that the optimiser moves, in train mode.
        average: exponential moving average of them in eval mode, or ``network`` itself if averaging is off.
    """

    def __init__(self, network: nn.Module, config: LoopConfig, device: Device) -> None:
        self._config, self._device = config, device
        self.network = device.place(network).train()
        self.average = copy.deepcopy(self.network).eval() if config.ema_decay else self.network
        self._optimiser = torch.optim.AdamW(
            _decay_groups(self.network, config.weight_decay), lr=config.learning_rate, betas=config.betas
        )
        self._scaler = device.grad_scaler()
        self._updates = 0

    def step(self, loss: Tensor, progress: float) -> float:
        """Make one optimiser step from a loss and return the norm of the gradient.

        Args:
            loss: scalar.
            progress: share of the run that is behind us, in [0, 1]; sets the learning rate.

        Returns:
            The norm before clipping. With a non-finite one nothing is changed (under fp16 the scale shrinks).
        """
        self.set_rate(progress)
        self._optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(self._scaler.scale(loss))
        self._scaler.unscale_(self._optimiser)
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), self._config.clip_norm))
        if self._scaler.is_enabled() or math.isfinite(norm):
            self._scaler.step(self._optimiser)
            self._scaler.update()
            self._updates += 1
            self._update_average()
        return norm

    @property
    def tolerates_overflow(self) -> bool:
        """Whether a non-finite gradient is part of finding the loss scale rather than a fault."""
        return bool(self._scaler.is_enabled())

    def set_rate(self, progress: float) -> float:
        """Set and return the learning rate: linear warm-up over steps, then a cosine over the run's progress."""
        config = self._config
        warm = min(1.0, (self._updates + 1) / max(1, config.warmup_steps))
        wave = 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
        rate = config.learning_rate * warm * (config.last_rate_share + (1.0 - config.last_rate_share) * wave)
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
        """Restore what ``state`` returned."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
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


def _decay_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Decay matrices and filters only: pulling biases and norms to zero helps nothing."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
