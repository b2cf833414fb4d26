"""Constant input planes, such as coordinates, become a constant that is added behind their convolution."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from lipforge.export.graph import Array, Graph, attributes


def fold_constant_planes(graph: Graph) -> int:
    """Split ``conv(concat(x, planes)) + b`` into ``conv(x) + (conv(planes) + b)``; the last part is a constant.

    Convolution is linear, so this holds with padding too. It also frees the graph from repeating the planes for each
    image of a batch, which would need arithmetic on shapes.

    Returns:
        How many concatenations were rewritten: those along the channels that feed one ungrouped convolution only.
    """
    return sum(_fold(graph, concat) for concat in graph.nodes_of("Concat"))


def _fold(graph: Graph, concat: onnx.NodeProto) -> bool:
    conv = graph.only_consumer(concat.output[0])
    if conv is None or conv.op_type != "Conv" or attributes(concat)["axis"] != 1:
        return False
    weights = graph.constants(conv.input[1:])
    planes = {name: value for name in concat.input if (value := graph.constant(name)) is not None}
    if weights is None or not planes or attributes(conv).get("group", 1) != 1:
        return False
    if any(value.shape[0] != 1 for value in planes.values()):
        return False
    moving = [name for name in concat.input if name not in planes]
    is_plane = _channels(graph, concat, planes)
    if not moving or is_plane is None:
        return False
    _split(graph, concat, conv, weights, moving, is_plane)
    return True


def _channels(graph: Graph, concat: onnx.NodeProto, planes: dict[str, Array]) -> np.ndarray | None:
    """Return bool (channels,): which channels of a concatenation are constant; None if a width is not known."""
    shapes = graph.shapes()
    parts = []
    for name in concat.input:
        width = planes[name].shape[1] if name in planes else (shapes.get(name) or ("", ""))[1]
        if not isinstance(width, int):
            return None
        parts.append(np.full(width, name in planes))
    return np.concatenate(parts)


def _split(
    graph: Graph,
    concat: onnx.NodeProto,
    conv: onnx.NodeProto,
    weights: list[Array],
    moving: list[str],
    is_plane: np.ndarray,
) -> None:
    kernel = weights[0]
    values = [value.astype(np.float64) for name in concat.input if (value := graph.constant(name)) is not None]
    response = graph.evaluate(
        conv, [np.concatenate(values, axis=1), kernel[:, is_plane].astype(np.float64), *_bias(weights)]
    )[0]
    added = graph.add_constant(response.astype(kernel.dtype), conv.output[0])
    source, before = moving[0], []
    if len(moving) > 1:
        source = f"{concat.output[0]}.moving"
        before = [helper.make_node("Concat", moving, [source], name=concat.name, axis=1)]
    output, partial = conv.output[0], f"{conv.output[0]}.moving"
    narrow = graph.add_constant(kernel[:, ~is_plane], conv.input[1])
    graph.replace(concat, before)
    del conv.input[:]
    conv.input.extend([source, narrow])
    conv.output[0] = partial
    add = helper.make_node("Add", [partial, added], [output], name=f"{conv.name}/planes")
    graph.replace(conv, [_copy(conv), add])


def _bias(weights: list[Array]) -> list[Array]:
    return [weights[1].astype(np.float64)] if len(weights) > 1 else []


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    copied = onnx.NodeProto()
    copied.CopyFrom(node)
    return copied
