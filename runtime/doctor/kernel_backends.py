"""Which backend each kernel op uses, which others could be asked for, and whether it is compiled ahead of time."""

from __future__ import annotations

from lipforge.kernels import catalogue
from lipforge.kernels.backend import BACKENDS, OPS, choose
from lipforge.runtime.doctor.child import ask_python
from lipforge.runtime.doctor.finding import Finding

SECTION = "kernels"

# In a child: looking for a GPU imports torch and triton, which can be large, slow or broken.
QUESTION = """
import json
from lipforge.kernels.backend import BACKENDS, missing
print(json.dumps({backend: missing(backend) for backend in BACKENDS}))
"""


def kernel_findings() -> list[Finding]:
    """Look at every op and every backend; the child process takes as long as importing torch."""
    obstacles, error = ask_python(QUESTION)
    if obstacles is None:
        obstacles = {"reference": "", "numba": "", "triton": f"could not be examined: {error}"}
    ops = [*OPS, *(op for op in catalogue.OPS if op not in OPS)]
    lacking = [backend for backend in BACKENDS if obstacles[backend]]
    return [
        *(_op(op, obstacles) for op in ops),
        *(Finding(SECTION, f"{backend} backend", "optional", *_halves(obstacles[backend])) for backend in lacking),
    ]


def _op(op: str, obstacles: dict[str, str]) -> Finding:
    detail = "numba"
    if op in OPS:
        backend = choose(op).backend
        if obstacles[backend]:
            return Finding(SECTION, op, "problem", f"{backend} cannot run", obstacles[backend])
        others = [other for other in BACKENDS if other != backend and not obstacles[other]]
        detail = f"{backend} (auto), by name also {', '.join(others)}"
    if op not in catalogue.OPS:
        return Finding(SECTION, op, "ok", detail)
    state = catalogue.state_of(op)
    if state.missing:
        detail = f"{detail}; {state.missing} of {state.kernels} kernels not compiled yet; the first use does it"
        return Finding(SECTION, op, "missing", f"{detail}, about {state.seconds:.0f} s", "lipforge kernels compile")
    return Finding(SECTION, op, "ok", f"{detail}; compiled ahead of time")


def _halves(obstacle: str) -> tuple[str, str]:
    """Split what is missing from what to do about it."""
    detail, _, fix = obstacle.partition(". ")
    return detail, fix or "See the accelerator rows."
