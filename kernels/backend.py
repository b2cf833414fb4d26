"""Which implementation of an op runs: named by the caller, or chosen here with the reason.

    crop_batch = choose("crop", "triton").load()  # once
    crops = crop_batch(images, transforms, 96)  # as often as needed: this is the function itself

A backend that is named and cannot run is an error; nothing ever falls back silently.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from lipforge.kernels.errors import BackendError

BACKENDS = ("reference", "numba", "triton")
AUTO = "auto"

_BATCH = "lipforge.kernels.batch"
_FUNCTIONS = {
    "mel": {
        "reference": f"{_BATCH}.reference:log_mel",
        "numba": "lipforge.kernels.mel:log_mel",
        "triton": "lipforge.kernels.mel.triton_mel:log_mel",
    },
    "crop": {
        "reference": f"{_BATCH}.reference:crop_batch",
        "numba": f"{_BATCH}.numba_batch:crop_batch",
        "triton": "lipforge.kernels.crop.triton_crop:crop_batch",
    },
    "warp": {
        "reference": f"{_BATCH}.reference:composite_batch",
        "numba": f"{_BATCH}.numba_batch:composite_batch",
        "triton": "lipforge.kernels.warp.triton_warp:composite_batch",
    },
}
"""Named by strings, so that triton and torch are imported only when their backend is loaded."""

OPS = tuple(_FUNCTIONS)
AUTO_REASON = "numba: compiled, on every CPU, and the sessions' own; triton pays off for batches on a GPU, by name only"


@dataclass(frozen=True)
class Choice:
    """One op's backend.

    Attributes:
        op: ``mel``, ``crop`` or ``warp``.
        backend: ``reference``, ``numba`` or ``triton``.
        reason: why, in one line.
    """

    op: str
    backend: str
    reason: str

    def load(self) -> Callable[..., Any]:
        """Import the backend and return its function, which keeps the contract of ``lipforge.kernels.batch``."""
        module, _, name = _FUNCTIONS[self.op][self.backend].partition(":")
        function: Callable[..., Any] = getattr(import_module(module), name)
        return function


def choose(op: str, requested: str = AUTO) -> Choice:
    """Decide which backend computes an op; do it once, and keep what ``load`` gives.

    Args:
        op: ``mel``, ``crop`` or ``warp``.
        requested: ``reference``, ``numba``, ``triton``, or ``auto``, which is numba.

    Raises:
        BackendError: there is no such op or backend, or the backend that was named cannot run here; the message says
            what to install.
    """
    _require_op(op)
    if requested == AUTO:
        return Choice(op, "numba", AUTO_REASON)
    if requested not in BACKENDS:
        raise BackendError(f"There is no backend {requested!r}; choose one of {', '.join(BACKENDS)} or {AUTO}.")
    obstacle = missing(requested)
    if obstacle:
        raise BackendError(f"The {requested} backend cannot compute {op} here: {obstacle}")
    return Choice(op, requested, "asked for by name")


def available(op: str) -> tuple[str, ...]:
    """Return the backends that can compute an op on this machine; imports torch and triton where both are installed.

    Raises:
        BackendError: there is no such op.
    """
    _require_op(op)
    return tuple(backend for backend in BACKENDS if not missing(backend))


def missing(backend: str) -> str:
    """Return what a backend lacks on this machine and what to do, or "" if it can run."""
    if backend != "triton":
        return ""  # numpy and numba come with every installation
    if find_spec("triton") is None:
        return "triton is not installed. Install it: pip install 'lipforge[gpu]'"
    if find_spec("torch") is None:
        return "torch, which carries triton's arrays, is not installed. Install it: pip install 'lipforge[gpu,train]'"
    try:
        launch = import_module("lipforge.kernels.triton_launch")
        found = launch.accelerator()
    except Exception as error:  # a broken driver or shared library can raise anything
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return f"torch or triton does not start ({reason}). See: lipforge doctor"
    if found is None:
        return "torch finds no CUDA or NPU device. Install a driver and a torch build for it, or use the numba backend."
    return ""


def _require_op(op: str) -> None:
    if op not in OPS:
        raise BackendError(f"There is no op {op!r} with a choice of backends; there are {', '.join(OPS)}.")
