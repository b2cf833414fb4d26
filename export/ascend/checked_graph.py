"""A saved graph as the rules see it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, helper, numpy_helper

from lipforge.export.ascend.finding import Finding, Severity, module_of
from lipforge.export.ascend.operator_table import OperatorTable
from lipforge.export.graph import attributes, opset_of, shape_of


@dataclass(frozen=True)
class CheckedGraph:
    """A model and what it shall be built for.

    Attributes:
        name: of the graph, for messages.
        model: as read from the file.
        path: the file.
        table: what ATC knows.
        gears: the OM takes several batch sizes.
        precision: ``fp16``, ``mixed`` or ``origin``.
        aipp_inputs: inputs that AIPP prepares; the OM takes bytes there.
    """

    name: str
    model: onnx.ModelProto
    path: Path
    table: OperatorTable
    gears: bool = False
    precision: str = "fp16"
    aipp_inputs: tuple[str, ...] = ()

    @cached_property
    def opset(self) -> int:
        """Opset of the file, whatever was asked for."""
        return opset_of(self.model)

    @cached_property
    def nodes(self) -> list[onnx.NodeProto]:
        """Every node, those inside other nodes too."""
        return list(_nodes(self.model.graph))

    @cached_property
    def constants(self) -> dict[str, onnx.TensorProto]:
        """Every constant: initializers and what Constant nodes make."""
        found = {tensor.name: tensor for tensor in self.model.graph.initializer}
        for node in self.nodes:
            value = attributes(node).get("value") if node.op_type == "Constant" else None
            if isinstance(value, onnx.TensorProto):
                found[node.output[0]] = value
        return found

    @cached_property
    def shapes(self) -> dict[str, tuple[int | str, ...]]:
        """Shapes as far as ONNX can infer them."""
        try:
            graph = onnx.shape_inference.infer_shapes(self.model, data_prop=True).graph
        except (onnx.shape_inference.InferenceError, RuntimeError):
            return {}
        return {value.name: shape_of(value) for value in (*graph.input, *graph.output, *graph.value_info)}

    def nodes_of(self, *operators: str) -> Iterator[tuple[onnx.NodeProto, dict[str, Any]]]:
        """Give the nodes of these operators with their attributes."""
        for node in self.nodes:
            if node.op_type in operators:
                yield node, dict(attributes(node))

    def constant(self, node: onnx.NodeProto, index: int) -> NDArray[np.generic] | None:
        """Return the value of a node's input if it is constant."""
        if index >= len(node.input) or node.input[index] not in self.constants:
            return None
        return numpy_helper.to_array(self.constants[node.input[index]])

    def has(self, node: onnx.NodeProto, index: int) -> bool:
        """Tell whether a node has an optional input."""
        return index < len(node.input) and bool(node.input[index])

    def at(self, node: onnx.NodeProto, rule: str, reason: str, fix: str, severity: Severity = "error") -> Finding:
        """Make a finding about a node."""
        name = node.name or f"the node that makes {', '.join(node.output)}"
        return Finding(rule, severity, self.name, name, node.op_type, module_of(node), reason, fix)

    def about(self, place: str, rule: str, reason: str, fix: str, severity: Severity = "error") -> Finding:
        """Make a finding about an input, a tensor, or - with an empty place - the whole graph."""
        return Finding(rule, severity, self.name, place, "", "", reason, fix)


def dtype_name(elem_type: int) -> str:
    """Return numpy's name of an ONNX element type, or the number of one that numpy lacks."""
    try:
        return str(helper.tensor_dtype_to_np_dtype(elem_type).name)
    except KeyError:
        return f"type {elem_type}"


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from _nodes(attribute.g)
            for inner in attribute.graphs:
                yield from _nodes(inner)
