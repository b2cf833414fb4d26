"""Batch norm moves into the convolution before it."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from lipforge.export.graph import Array, Graph, attributes


def fold_batch_norm(graph: Graph) -> int:
    """Fold each batch norm that follows a convolution or transposed convolution of constant weights.

    With ``s = gamma / sqrt(variance + epsilon)``: ``s * (W x + b - mean) + beta = (s W) x + (s (b - mean) + beta)``.
    The new weights are computed in float64, so that rounding them once is the only difference.

    Returns:
        How many were folded. A batch norm stays where something else uses the convolution's output too.
    """
    return sum(_fold(graph, norm) for norm in graph.nodes_of("BatchNormalization"))


def _fold(graph: Graph, norm: onnx.NodeProto) -> bool:
    conv = graph.producer(norm.input[0])
    if conv is None or conv.op_type not in ("Conv", "ConvTranspose") or graph.only_consumer(conv.output[0]) is None:
        return False
    weights, statistics = graph.constants(conv.input[1:]), graph.constants(norm.input[1:])
    if weights is None or statistics is None:
        return False
    gamma, beta, mean, variance = (value.astype(np.float64) for value in statistics)
    epsilon = float(str(attributes(norm).get("epsilon", 1e-5)))
    scale = gamma / np.sqrt(variance + epsilon)
    bias = weights[1].astype(np.float64) if len(weights) > 1 else np.zeros_like(mean)
    group = int(str(attributes(conv).get("group", 1)))
    kernel = _scaled(weights[0], scale, transposed=conv.op_type == "ConvTranspose", group=group)
    _set_weights(graph, conv, kernel.astype(weights[0].dtype), (scale * (bias - mean) + beta).astype(weights[0].dtype))
    output = norm.output[0]
    graph.replace(norm, [])
    conv.output[0] = output
    return True


def _scaled(kernel: Array, scale: NDArray[np.float64], *, transposed: bool, group: int) -> NDArray[np.float64]:
    exact = kernel.astype(np.float64)
    space = (1,) * (exact.ndim - 2)
    if not transposed:  # (out, in / group, ...)
        return exact * scale.reshape(-1, 1, *space)
    channels_in, channels_out = exact.shape[:2]  # (in, out / group, ...), inputs of one group next to each other
    grouped = exact.reshape(group, channels_in // group, channels_out, *exact.shape[2:])
    return (grouped * scale.reshape(group, 1, channels_out, *space)).reshape(exact.shape)


def _set_weights(graph: Graph, conv: onnx.NodeProto, kernel: Array, bias: Array) -> None:
    names = [graph.add_constant(kernel, conv.input[1]), graph.add_constant(bias, f"{conv.input[1]}.bias")]
    del conv.input[1:]
    conv.input.extend(names)
