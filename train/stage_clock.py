"""How long the stages of a training step take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from lipforge.train.device import Device

STAGES = ("data", "copy", "forward", "backward", "optimiser")


class StageClock:
    """Adds up the time of each stage.

    An accelerator works on after a call has returned, so its stages are told apart only by waiting for it. That costs
    speed: only steps that ``begin_step`` says are measured do it, and only those count. On a CPU all steps count.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._seconds = dict.fromkeys(STAGES, 0.0)
        self._steps = 0
        self._measures = True

    def begin_step(self, *, measured: bool) -> None:
        """Begin a step; ``measured`` is whether it is one of the few that an accelerator is waited for."""
        self._measures = measured or not self._device.is_asynchronous
        self._steps += self._measures

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what happens inside."""
        if not self._measures:
            yield
            return
        started_s = time.perf_counter()
        yield
        self._device.synchronise()
        self._seconds[name] += time.perf_counter() - started_s

    def read(self) -> dict[str, float]:
        """Return mean milliseconds a step by stage since the last call, and begin anew."""
        means = (
            {f"{name}_ms": 1e3 * total / self._steps for name, total in self._seconds.items()} if self._steps else {}
        )
        self._seconds, self._steps = dict.fromkeys(STAGES, 0.0), 0
        return means
