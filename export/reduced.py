"""Graphs of less precision than torch's: checked as saved, and described by what they show on the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lipforge.export.onnx_file import check_saved, describe_graph
from lipforge.export.parity import ROUNDED_SHARE
from lipforge.kernels.errors import ExportError
from lipforge.runtime.engine import Arrays
from lipforge.runtime.manifest import GraphEntry, ParityEntry

SLACK = 2.0
"""``verify`` allows this times the error that the reference showed here: other machines round otherwise."""


def describe_reduced(folder: Path, graph: GraphEntry, produced: Arrays, expected: Arrays) -> GraphEntry:
    """Check a graph's new file and describe it for the manifest.

    Args:
        folder: where the file is.
        graph: the entry of the graph that it replaces, whose contract stays.
        produced: what the new graph makes of the reference inputs.
        expected: torch's outputs.

    Raises:
        ExportError: the file breaks the contract, or a value is not finite.
    """
    path = folder / graph.file
    check_saved(path, graph.opset, graph.inputs, graph.outputs)
    errors, tolerance = {}, {}
    for name, truth in expected.items():
        difference = np.abs(produced[name].astype(np.float64) - truth.astype(np.float64))
        if not np.isfinite(difference).all():
            raise ExportError(f"{graph.file}: output {name} is not finite; nothing was written. Use --target onnx.")
        errors[name] = float(difference.max())
        largest = max(errors[name], graph.parity.tolerance[name])
        if truth.dtype == np.uint8:  # whose mean is bounded too, see ``parity``
            largest = max(largest, float(difference.mean()) / ROUNDED_SHARE)
        tolerance[name] = SLACK * largest
    return describe_graph(path, ParityEntry(errors, tolerance))
