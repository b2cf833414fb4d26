"""A graph as an NPU computes it in float16: every value rounded, sums kept wide; and how large its values grow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lipforge.runtime.engine import Arrays

HALF_MAX = 65504.0
"""Largest finite float16."""

CONTROL_INPUTS: Mapping[str, tuple[int, ...]] = {"Resize": (1, 2), "Upsample": (1,)}
"""Float inputs that say how to compute (regions, scales) and are never turned into float16."""


def round_to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph that rounds inputs, weights and the result of every node to float16 and stays float32 outside.

    An NPU in ATC's fp16 mode multiplies float16 and sums in float32 inside an operator; between operators everything
    is float16. A value beyond 65504 becomes infinite. Nodes inside ``If`` are left as they are.
    """
    rounded = onnx.ModelProto()
    rounded.CopyFrom(model)
    graph = rounded.graph
    floats = float_tensors(rounded)
    control = _control_tensors(graph)
    for weights in graph.initializer:
        if weights.data_type == TensorProto.FLOAT and weights.name not in control:
            values = numpy_helper.to_array(weights)
            weights.CopyFrom(numpy_helper.from_array(_to_half(values), weights.name))
    nodes: list[onnx.NodeProto] = []
    renamed = {}
    for value in graph.input:
        if value.name in floats:
            renamed[value.name] = f"{value.name}.rounded"
            nodes += _rounding(value.name, renamed[value.name])
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name in renamed and name not in control:
                node.input[index] = renamed[name]
        nodes.append(node)
        for index, name in enumerate(node.output):
            if name in floats and name not in control:
                node.output[index] = f"{name}.wide"
                nodes += _rounding(f"{name}.wide", name)
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(kept)
    return rounded


def float_tensors(model: onnx.ModelProto) -> set[str]:
    """Return the names of all float32 tensors that inputs and nodes make."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    values = [*graph.input, *graph.output, *graph.value_info]
    return {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT}


@dataclass(frozen=True)
class Peak:
    """The largest absolute value of a tensor and the node that made it."""

    node: onnx.NodeProto
    value: float


def peaks(model: onnx.ModelProto, batches: Iterable[Arrays]) -> list[Peak]:
    """Run a graph in float32 and return the largest absolute value of every float tensor, the largest first."""
    floats = float_tensors(model)
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    makers = {name: node for node in model.graph.node for name in node.output if name in floats}
    del watched.graph.output[:]
    watched.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in makers)
    largest = dict.fromkeys(makers, 0.0)
    for arrays in batches:
        for name, values in run_model(watched, arrays).items():
            largest[name] = max(largest[name], float(np.max(np.abs(values), initial=0.0)))
    found = [Peak(node, largest[name]) for name, node in makers.items()]
    return sorted(found, key=lambda peak: -peak.value)


def run_model(model: onnx.ModelProto, arrays: Arrays) -> Arrays:
    """Run a graph in memory on onnxruntime's CPU provider, unoptimised; return its outputs by name."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in model.graph.output]
    return dict(zip(names, session.run(names, arrays), strict=True))


def _control_tensors(graph: onnx.GraphProto) -> set[str]:
    return {
        node.input[index]
        for node in graph.node
        for index in CONTROL_INPUTS.get(node.op_type, ())
        if index < len(node.input)
    }


def _rounding(source: str, target: str) -> list[onnx.NodeProto]:
    half = f"{target}.half"
    return [
        helper.make_node("Cast", [source], [half], name=half, to=TensorProto.FLOAT16),
        helper.make_node("Cast", [half], [target], name=f"{half}.back", to=TensorProto.FLOAT),
    ]


def _to_half(values: NDArray[np.generic]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return values.astype(np.float16).astype(np.float32)
