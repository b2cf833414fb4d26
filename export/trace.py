"""From a torch module to an ONNX graph that obeys a plan's contract."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import torch

from lipforge.export.graph import Graph
from lipforge.export.passes import simplify
from lipforge.export.passes.batch_axis import open_batch_axis
from lipforge.export.plan import GraphPlan, run_torch
from lipforge.kernels.errors import ExportError
from lipforge.runtime.manifest import TensorEntry

OPSETS = range(13, 19)
"""What may be asked for. Ascend's ATC looks operators up by the model's opset and stops at 18."""

DEFAULT_OPSET = 17
"""The newest that ATC registers with every reduction: ReduceL1 and ReduceL2 are missing at 18."""


def to_onnx(plan: GraphPlan, opset: int = DEFAULT_OPSET) -> onnx.ModelProto:
    """Trace a plan's module at batch 1, simplify the graph and open its batch axis.

    Tracing at a fixed batch turns all arithmetic on shapes into constants, so the graph holds none; the batch axis is
    opened afterwards (``passes.batch_axis``), and comparing at another batch size proves that nothing kept the 1.

    Raises:
        ExportError: the module does not fit its contract or cannot be expressed at this opset.
    """
    if opset not in OPSETS:
        raise ExportError(
            f"opset {opset}: allowed are {OPSETS.start} to {OPSETS.stop - 1}; {DEFAULT_OPSET} suits most."
        )
    example = tuple(torch.from_numpy(zeros(entry)) for entry in plan.inputs)
    _check_module(plan, example)
    try:
        with _quiet(), tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "traced.onnx"
            torch.onnx.export(
                plan.module,
                example,
                path,
                # The exporter built on torch.export yields opset 18 whatever it is asked and needs onnxscript.
                dynamo=False,
                opset_version=opset,
                input_names=[entry.name for entry in plan.inputs],
                output_names=[entry.name for entry in plan.outputs],
                # Keeps torch from folding batch norm by itself: it folds in float32 and skips transposed convolutions.
                training=torch.onnx.TrainingMode.PRESERVE,
            )
            graph = Graph(onnx.load_model(path))
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        raise ExportError(f"{plan.name}: torch cannot export it at opset {opset}: {_first_line(error)}") from error
    graph.forget_shapes()
    simplify(graph)
    open_batch_axis(graph)
    return graph.finished()


def zeros(entry: TensorEntry, batch: int = 1) -> np.ndarray:
    """Return an array of zeros with the dtype and shape of a graph's input."""
    return np.zeros([batch if size == "B" else int(size) for size in entry.shape], np.dtype(entry.dtype))


def _check_module(plan: GraphPlan, example: tuple[torch.Tensor, ...]) -> None:
    try:
        outputs = run_torch(plan.module, example)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ExportError(
            f"{plan.name}: the network does not take the inputs that its recipe describes: {_first_line(error)}"
        ) from error
    found = [tuple(output.shape) for output in outputs]
    wanted = [zeros(entry).shape for entry in plan.outputs]
    if found != wanted:
        raise ExportError(f"{plan.name}: the network returns shapes {found}, its recipe asks for {wanted}.")


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the tracer's warnings: that a shape is fixed is wanted here, and the result is compared with torch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
