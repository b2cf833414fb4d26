"""Everything that does not depend on an input becomes an initializer."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from lipforge.export.graph import Array, Graph, attributes


def remove_identities(graph: Graph) -> None:
    """Remove nodes that pass a tensor on unchanged, except where they name an output of the graph."""
    for node in graph.nodes_of("Identity", "Dropout"):
        if not graph.is_output(node.output[0]):
            graph.redirect(node.output[0], node.input[0])
            graph.replace(node, [])


def fold_constants(graph: Graph) -> None:
    """Compute, once and for all, each node whose inputs are constant, and the shapes that are known."""
    while _fold_once(graph):  # folding one shape can make the next one known
        pass
    graph.prune()


def _fold_once(graph: Graph) -> bool:
    shapes, folded = graph.shapes(), False
    for node in graph.nodes:  # topological order: what is folded here is constant for the nodes that follow
        values = _constant_outputs(graph, node, shapes)
        if values is None or any(graph.is_output(name) for name in node.output):
            continue
        folded = True
        graph.replace(node, [])
        for name, value in zip(node.output, values, strict=True):
            graph.model.graph.initializer.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
    return folded


def _constant_outputs(
    graph: Graph, node: onnx.NodeProto, shapes: dict[str, tuple[int | str, ...]]
) -> list[Array] | None:
    if node.op_type == "Shape" and not attributes(node):
        shape = shapes.get(node.input[0], ("",))
        return [np.array(shape, np.int64)] if all(isinstance(size, int) for size in shape) else None
    if any(name == "" for name in node.input):
        return None
    inputs = graph.constants(node.input)
    return None if inputs is None else graph.evaluate(node, inputs)
