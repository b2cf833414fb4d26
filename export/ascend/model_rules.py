"""Rules about a model as a whole: opset, operators, inputs, batch and values. ASC001 to ASC012."""

from __future__ import annotations

import re
from collections.abc import Iterator

from onnx import TensorProto
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from lipforge.export.ascend.checked_graph import CheckedGraph, dtype_name
from lipforge.export.ascend.finding import Finding, Severity

QUANTISED = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"} | {
    "ConvInteger",
    "MatMulInteger",
}
CONTROL_FLOW = {"Loop", "Scan", "SequenceMap", "Optional", "OptionalGetElement", "OptionalHasElement"}
DATA_DEPENDENT = {"NonZero", "Unique", "Compress", "NonMaxSuppression"}

SHAPE_INPUTS = {"Reshape": (1,), "Expand": (1,), "Slice": (1, 2, 3, 4), "Tile": (1,), "Pad": (1,)} | {
    "Resize": (2, 3),
    "ConstantOfShape": (0,),
    "Range": (0, 1, 2),
    "TopK": (1,),
    "Split": (1,),
}
"""Inputs that decide a result's shape; constant in a graph whose shapes follow from its inputs' shapes alone."""

REWRITES = {
    "ReduceL1": "Write it as x.abs().sum(...), or export with --opset 17.",
    "ReduceL2": "Write the norm as (x * x).sum(...).clamp_min(eps).rsqrt(), or export with --opset 17.",
    "Gelu": "Export with --opset 17 or 18, where torch writes it as Erf.",
    "GroupNormalization": "Export with --opset 17, where torch writes it as InstanceNormalization.",
    "STFT": "Compute the spectrum on the host (lipforge.kernels.mel) and feed it.",
    "DFT": "Compute the spectrum on the host (lipforge.kernels.mel) and feed it.",
    "RNN": "Use a GRU or LSTM.",
}
OTHERWISE = "Rewrite the module with other operators, or give a newer --ops-table if this CANN knows it."
PLAIN = "float32", "float16"
TOLERATED = "uint8", "int8", "int32", "int64", "bool"


def opset(graph: CheckedGraph) -> Iterator[Finding]:
    """ASC001: the file's opset is not one that ATC knows."""
    first, last = graph.table.opsets
    if not first <= graph.opset <= last:
        yield graph.about(
            "",
            "ASC001",
            f"the file has opset {graph.opset}, ATC knows {first} to {last} and would end with E16002 (no ONNX parser "
            "is registered) at every node",
            "Export with --opset 17 and look at the saved file, since torch's newer exporter does not always obey.",
        )


def operators(graph: CheckedGraph) -> Iterator[Finding]:
    """ASC002: an operator that ATC does not know at this opset."""
    first, last = graph.table.opsets
    if not first <= graph.opset <= last:
        return  # ASC001 says it once instead of at every node
    for node in graph.nodes:
        known = node.op_type in QUANTISED | CONTROL_FLOW or node.domain not in ("", "ai.onnx")  # rules of their own
        if not known and not graph.table.knows(node.op_type, graph.opset):
            span = graph.table.operators.get(node.op_type)
            where = f"only at opsets {span[0]} to {span[1]}" if span else "at no opset"
            fix = REWRITES.get(node.op_type, OTHERWISE)
            yield graph.at(
                node, "ASC002", f"ATC knows {node.op_type} {where}, this model has opset {graph.opset} (E16002)", fix
            )


def domains(graph: CheckedGraph) -> Iterator[Finding]:
    """ASC003: operators outside ONNX's own, or functions of the model."""
    for node in graph.nodes:
        if node.domain not in ("", "ai.onnx"):
            reason = f"the operator is from the domain {node.domain}, ATC knows ONNX's own"
            yield graph.at(node, "ASC003", reason, "Export without custom operators, contrib operators and functions.")
    for function in graph.model.functions:
        reason = f"the model defines the function {function.name}"
        yield graph.about("", "ASC003", reason, "Inline functions before saving (onnx.inliner.inline_local_functions).")


def quantised(graph: CheckedGraph) -> Iterator[Finding]:
    """ASC004: quantised operators."""
    for node in graph.nodes:
        if node.op_type in QUANTISED:
            reason = "ATC does not know ONNX's quantised operators"
            yield graph.at(node, "ASC004", reason, "Export in float32; ATC itself turns it into float16.")


def control_flow(graph: CheckedGraph) -> Iterator[Finding]:
    """ASC005: loops and optional values."""
    for node in graph.nodes:
        if node.op_type in CONTROL_FLOW:
            reason = "ATC knows no loops and no optional values"
            yield graph.at(node, "ASC005", reason, "Unroll the loop: trace the module with fixed sizes.")


def no_input(graph: CheckedGraph) -> Iterator[Finding]:
    """ASC006: a graph without inputs."""
    if not graph.model.graph.input:
        yield graph.about("", "ASC006", "the graph has no input (E16001)", "Give the module at least one tensor.")


def names(graph: CheckedGraph) -> Iterator[Finding]:
    """ASC007: names of inputs and outputs that ATC's options cannot hold."""
    for value in (*graph.model.graph.input, *graph.model.graph.output):
        if not re.fullmatch(r"[A-Za-z0-9_]+", value.name):
            reason = "the name holds other characters than letters, digits and _, which --input_shape cannot take"
            yield graph.about(value.name, "ASC007", reason, "Give torch.onnx.export other input_names, output_names.")


def batch(graph: CheckedGraph) -> Iterator[Finding]:
    """ASC008: an open axis that is not the batch, or not the same batch everywhere."""
    symbols = set()
    for value in graph.model.graph.input:
        sizes = [size.dim_value or size.dim_param or "?" for size in value.type.tensor_type.shape.dim]
        symbols |= {str(size) for size in sizes[:1] if isinstance(size, str)}
        if any(isinstance(size, str) for size in sizes[1:]):
            reason = f"its shape {sizes} is open beyond the first axis; gears and a static batch set the first alone"
            yield graph.about(value.name, "ASC008", reason, "Export with fixed sizes; one bundle for each size.")
        if graph.gears and not isinstance((sizes or [1])[0], str):
            reason = f"its shape {sizes} has a fixed batch and several gears are wanted"
            yield graph.about(value.name, "ASC008", reason, "Export with an open batch, or use --static.")
    if len(symbols) > 1:
        reason = f"the inputs' batches are called {sorted(symbols)}; a gear sets all of them to one size"
        yield graph.about("", "ASC008", reason, "Give all inputs the same open first axis.")


def data_dependent(graph: CheckedGraph) -> Iterator[Finding]:
    """ASC009: shapes that depend on values; gears are impossible then, and a static model runs slowly."""
    severity: Severity = "error" if graph.gears else "warning"
    for node in graph.nodes:
        if node.op_type in DATA_DEPENDENT:
            reason = "the shape of its result depends on values; ATC takes no gears then (E10501 or a failure later)"
            fix = "Write it with masks of a fixed shape; --static may pass but runs without a fixed plan."
            yield graph.at(node, "ASC009", reason, fix, severity)
        for index in SHAPE_INPUTS.get(node.op_type, ()) if graph.gears else ():
            if graph.has(node, index) and node.input[index] not in graph.constants:
                reason = f"its input {node.input[index]} decides a shape and is computed; ATC takes no gears then"
                fix = "Trace with a fixed batch and open the batch axis afterwards, as this exporter does, or --static."
                yield graph.at(node, "ASC009", reason, fix)


def input_types(graph: CheckedGraph) -> Iterator[Finding]:
    """ASC010: inputs of types that ATC documents only with AIPP, or not at all."""
    for value in graph.model.graph.input:
        dtype = dtype_name(value.type.tensor_type.elem_type)
        if dtype in PLAIN or value.name in graph.aipp_inputs:
            continue
        if dtype in TOLERATED:
            reason = f"the input is {dtype}; ATC documents float32, float16 and, through AIPP, bytes for ONNX models"
            fix = "If atc refuses it, export with --float-inputs, or with --aipp for pictures."
            yield graph.about(value.name, "ASC010", reason, fix, "warning")
        else:
            reason = f"the input is {dtype}; ATC takes float32, float16 and bytes"
            yield graph.about(value.name, "ASC010", reason, "Let the module take float32.")


def doubles(graph: CheckedGraph) -> Iterator[Finding]:
    """ASC011: float64, which an NPU's kernels do not have."""
    for tensor in graph.model.graph.initializer:
        if tensor.data_type == TensorProto.DOUBLE:
            yield graph.about(tensor.name, "ASC011", "the constant is float64", "Use float32 throughout the module.")
    for node in graph.nodes:
        for attribute in node.attribute:
            cast = attribute.name == "to" and attribute.i == TensorProto.DOUBLE
            if cast or (attribute.HasField("t") and attribute.t.data_type == TensorProto.DOUBLE):
                yield graph.at(node, "ASC011", "its result is float64", "Use float32 throughout the module.")


def weight_files(graph: CheckedGraph) -> Iterator[Finding]:
    """ASC012: weights in another file that is not beside the model."""
    for tensor in graph.model.graph.initializer:
        if uses_external_data(tensor):
            file = ExternalDataInfo(tensor).location
            if not (graph.path.parent / file).is_file():
                reason = f"its values are in {file}, which is not beside {graph.path.name}"
                yield graph.about(tensor.name, "ASC012", reason, "Put the file there, or save the model in one file.")


MODEL_RULES = (
    opset,
    operators,
    domains,
    quantised,
    control_flow,
    no_input,
    names,
    batch,
    data_dependent,
    input_types,
    doubles,
    weight_files,
)
