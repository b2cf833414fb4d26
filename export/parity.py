"""Does a graph compute what torch computes? One number per output decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import ExportError
from lipforge.runtime.manifest import ParityEntry

if TYPE_CHECKING:
    from lipforge.export.plan import Arrays

ROUNDED_SHARE = 0.02
"""Mean error that a picture in bytes may have, in shares of the largest one: 0.02 grey levels are 8e-5 of the range."""


def compare(
    graph: str,
    produced: Mapping[str, NDArray[np.generic]],
    expected: Arrays,
    tolerance: Mapping[str, float],
    advice: str = "",
) -> ParityEntry:
    """Measure the largest absolute error of each output.

    Args:
        graph: what messages call the graph.
        produced: arrays by output name.
        expected: torch's arrays by output name.
        tolerance: largest absolute error allowed, by output name, in the output's unit.
        advice: what to do about a difference; ends the message.

    Raises:
        ExportError: an output is missing, has another shape or dtype, is not finite, or differs by more than allowed.
    """
    errors: dict[str, float] = {}
    for name, truth in expected.items():
        if name not in produced:
            raise ExportError(f"{graph}: the graph has no output {name}; it has {', '.join(produced)}.")
        output = produced[name]
        if output.shape != truth.shape or output.dtype != truth.dtype:
            raise ExportError(
                f"{graph}: output {name} is {output.dtype} {output.shape}, torch gives {truth.dtype} {truth.shape}."
            )
        error = float(np.max(np.abs(output.astype(np.float64) - truth.astype(np.float64))))
        if not np.isfinite(error) or error > tolerance[name]:
            raise ExportError(
                f"{graph}: output {name} differs from torch by {error:.3g}, allowed is {tolerance[name]:.3g}.{advice}"
            )
        _check_bytes(graph, name, output, truth, tolerance[name])
        errors[name] = error
    return ParityEntry(max_abs=errors, tolerance={name: float(tolerance[name]) for name in expected})


def _check_bytes(
    graph: str, name: str, output: NDArray[np.generic], truth: NDArray[np.generic], tolerance: float
) -> None:
    """Bound the mean error of a picture in bytes, where the largest one says little.

    Pictures that differ by a small share of a level before rounding differ by a level in that share of their values.
    """
    if output.dtype != np.uint8:
        return
    mean = float(np.mean(np.abs(output.astype(np.float64) - truth.astype(np.float64))))
    if mean > ROUNDED_SHARE * tolerance:
        raise ExportError(
            f"{graph}: output {name} differs from torch by {mean:.3g} levels on average; rounding alone explains "
            f"{ROUNDED_SHARE * tolerance:.3g}."
        )


def worst(graph: ParityEntry, other: ParityEntry) -> ParityEntry:
    """Combine two comparisons of the same graph: the larger error of each output."""
    errors = {name: max(error, other.max_abs[name]) for name, error in graph.max_abs.items()}
    return ParityEntry(max_abs=errors, tolerance=graph.tolerance)
