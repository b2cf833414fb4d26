"""A graph's file: written, checked as saved, and described for the manifest."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
from onnx import helper

from lipforge.export.graph import opset_of, shape_of
from lipforge.export.plan import GraphPlan
from lipforge.kernels.errors import ExportError
from lipforge.runtime.manifest import GraphEntry, ParityEntry, TensorEntry, sha256_of

FORBIDDEN_OPS = {
    "GridSample": "moving pixels is the compositor's job, at the video's own resolution",
    "Loop": "Ascend's ATC does not know it",
    "Scan": "Ascend's ATC does not know it",
}


def save_graph(model: onnx.ModelProto, plan: GraphPlan, opset: int, path: Path) -> None:
    """Write a model and check the file: valid ONNX, the opset asked for, the plan's contract, allowed operators.

    Raises:
        ExportError: the saved file is not what was asked for.
    """
    onnx.save_model(model, str(path))
    check_saved(path, opset, plan.inputs, plan.outputs)


def check_saved(path: Path, opset: int, inputs: tuple[TensorEntry, ...], outputs: tuple[TensorEntry, ...]) -> None:
    """Check a file: valid ONNX, of this opset, with these inputs and outputs, and allowed operators only.

    Raises:
        ExportError: it is something else.
    """
    saved = onnx.load_model(str(path))
    try:
        onnx.checker.check_model(saved, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"{path.name}: not a valid ONNX graph: {str(error).splitlines()[0]}") from error
    if opset_of(saved) != opset:
        raise ExportError(f"{path.name}: saved at opset {opset_of(saved)}, asked for {opset}. Ask for another --opset.")
    foreign = sorted({node.domain for node in saved.graph.node} - {"", "ai.onnx"})
    if foreign or saved.functions:
        raise ExportError(f"{path.name}: uses operators outside ONNX's own ({foreign or 'functions'}).")
    for node in saved.graph.node:
        if node.op_type in FORBIDDEN_OPS:
            raise ExportError(f"{path.name}: {node.name} is a {node.op_type}: {FORBIDDEN_OPS[node.op_type]}.")
    for kind, found, wanted in (
        ("inputs", tensors(saved.graph.input), inputs),
        ("outputs", tensors(saved.graph.output), outputs),
    ):
        if found != wanted:
            raise ExportError(f"{path.name}: {kind} are {found}, the bundle's contract says {wanted}.")


def describe_graph(path: Path, parity: ParityEntry) -> GraphEntry:
    """Describe a saved graph for the manifest."""
    model = onnx.load_model(str(path))
    ops = Counter(node.op_type for node in model.graph.node)
    return GraphEntry(
        file=path.name,
        sha256=sha256_of(path),
        opset=opset_of(model),
        inputs=tensors(model.graph.input),
        outputs=tensors(model.graph.output),
        ops=dict(sorted(ops.items())),
        parity=parity,
    )


def tensors(values: list[onnx.ValueInfoProto]) -> tuple[TensorEntry, ...]:
    """Return a graph's inputs or outputs as manifest entries."""
    return tuple(
        TensorEntry(
            name=value.name,
            dtype=helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name,
            shape=shape_of(value),
        )
        for value in values
    )
