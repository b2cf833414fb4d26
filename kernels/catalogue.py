"""Every compiled kernel that lipforge calls, op by op: what can be compiled ahead of time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module

from lipforge.kernels.machine_code import Kernel

OPS = ("mel", "crop", "polygon", "warp", "paste")
"""``lipforge.kernels.<op>.kernels`` declares an op's kernels and gives them by ``all_kernels()``."""

SECONDS_PER_KERNEL = 2.0
"""What compiling one takes on a server's core, for forecasts."""


def kernels_of(op: str) -> tuple[Kernel, ...]:
    """Return the kernels that an op's calls can need on this machine; imports no numba."""
    all_kernels: Callable[[], Iterable[Kernel]] = import_module(f"lipforge.kernels.{op}.kernels").all_kernels
    return tuple(all_kernels())


@dataclass(frozen=True)
class CodeState:
    """What of an op's machine code is on disk.

    Attributes:
        kernels: how many there are.
        missing: how many of them are not compiled.
    """

    kernels: int
    missing: int

    @property
    def seconds(self) -> float:
        """About how long compiling the missing ones takes."""
        return self.missing * SECONDS_PER_KERNEL


def state_of(op: str) -> CodeState:
    """Return what of an op's machine code is on disk."""
    kernels = kernels_of(op)
    return CodeState(len(kernels), sum(not kernel.ready for kernel in kernels))
