"""Transposed convolutions become plain convolutions whose results are spread over space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper

from lipforge.export.graph import Array, Graph, attributes

Shapes = dict[str, tuple[int | str, ...]]


@dataclass(frozen=True)
class _Axis:
    """How a transposed convolution works, the same along both axes of space but for the size of the picture.

    Attributes:
        height: input rows.
        width: input columns.
        kernel: width of the kernel.
        stride: output pixels an input pixel.
        begin: output pixels that are cut off before the first.
    """

    height: int
    width: int
    kernel: int
    stride: int
    begin: int

    def taps(self, phase: int) -> list[tuple[int, int]]:
        """Return what makes outputs ``stride * a + phase``: pairs of an input's offset from ``a`` and a kernel tap."""
        # Input i reaches output stride * i - begin + tap.
        pairs = [(phase + self.begin - tap, tap) for tap in range(self.kernel)]
        return sorted((shift // self.stride, tap) for shift, tap in pairs if shift % self.stride == 0)


def split_transposed(graph: Graph, *, channels_last: bool) -> int:
    """Rewrite each transposed convolution that enlarges by its stride as plain ones and a depth-to-space.

    Outputs of one phase, their place within a stride, see the same taps of the kernel: each phase is a plain
    convolution of the input, with exactly the taps that it uses, and their results lie interleaved. One pixel is
    enlarged by its kernel whatever the stride. A ReLU that follows moves in front, where it can join the convolutions.

    It pays where the runtime has plain convolutions only, as with 8 bits; in float32 it makes no difference.

    Args:
        graph: edited in place.
        channels_last: interleave by reshaping in channels-last order, in which onnxruntime's 8-bit convolutions
            already hold their results, instead of by DepthToSpace.

    Returns:
        How many were rewritten. What has dilations, groups or another size stays.
    """
    shapes = graph.shapes()
    return sum(_split(graph, node, shapes, channels_last) for node in graph.nodes_of("ConvTranspose"))


def _split(graph: Graph, node: onnx.NodeProto, shapes: Shapes, channels_last: bool) -> bool:
    weights = graph.constants(node.input[1:])
    axis = _axis(node, shapes.get(node.input[0], ()), shapes.get(node.output[0], ()))
    if weights is None or axis is None:
        return False
    follower = graph.only_consumer(node.output[0])
    relu = follower is not None and follower.op_type == "Relu"
    output = follower.output[0] if follower is not None and relu else node.output[0]
    nodes, parts = [], []
    for row in range(axis.stride):
        for column in range(axis.stride):
            part = f"{node.output[0]}.phase{row}{column}"
            nodes.append(_phase(graph, node, weights[0], (axis.taps(row), axis.taps(column)), part))
            if follower is not None and relu:
                name = f"{follower.name}/phase{row}{column}"
                nodes.append(helper.make_node("Relu", [part], [f"{part}.relu"], name=name))
            parts.append(nodes[-1].output[0])
    packed = f"{node.output[0]}.packed"
    nodes.append(helper.make_node("Concat", parts, [packed], name=f"{node.name}/packed", axis=1))
    nodes += _spread(graph, axis, (packed, output), node, channels_last)
    if follower is not None and relu:
        graph.replace(follower, [])
    graph.replace(node, nodes)
    return True


def _axis(node: onnx.NodeProto, source: tuple[int | str, ...], target: tuple[int | str, ...]) -> _Axis | None:
    """Return how a node works; None if the axes differ or the output is not the input times the stride."""
    said = attributes(node)
    if said.get("group", 1) != 1 or "output_shape" in said or "auto_pad" in said or _ints(said, "dilations", 1) != {1}:
        return None
    kernels, strides, pads = (_ints(said, *pair) for pair in (("kernel_shape", 0), ("strides", 1), ("pads", 0)))
    sides, enlarged = source[2:], target[2:]
    if any(len(values) != 1 for values in (kernels, strides)) or len(source) != 4 or len(target) != 4 or not pads:
        return None
    height, width = sides
    if not isinstance(height, int) or not isinstance(width, int):
        return None
    stride = strides.pop()
    if sides == (1, 1) and enlarged[0] == enlarged[1] and isinstance(enlarged[0], int):  # nothing overlaps
        stride = enlarged[0]
    # The last pads may differ: a size that is the stride's multiple says all about them.
    axis = _Axis(height, width, kernels.pop(), stride, _first(said.get("pads")))
    # Padding cannot be negative: every phase has to reach its own input or both sides of it.
    whole = all((taps := axis.taps(phase)) and taps[0][0] <= 0 <= taps[-1][0] for phase in range(stride))
    return axis if stride > 1 and enlarged == (height * stride, width * stride) and whole else None


def _ints(said: dict[str, object], name: str, default: int) -> set[int]:
    value = said.get(name)
    return {int(number) for number in value} if isinstance(value, list | tuple) else {default}


def _first(pads: object) -> int:
    return int(pads[0]) if isinstance(pads, list | tuple) else 0


def _phase(
    graph: Graph,
    node: onnx.NodeProto,
    kernel: Array,
    taps: tuple[list[tuple[int, int]], list[tuple[int, int]]],
    output: str,
) -> onnx.NodeProto:
    """Make the convolution of one phase; ``kernel`` (in, out, k, k), ``taps`` those of its rows and columns."""
    rows, columns = taps
    narrow = kernel[:, :, [tap for _, tap in rows]][:, :, :, [tap for _, tap in columns]].swapaxes(0, 1)
    # Offsets rise by one, since taps that share a phase lie a stride apart.
    pads = [-rows[0][0], -columns[0][0], rows[-1][0], columns[-1][0]]
    return helper.make_node(
        "Conv",
        [node.input[0], graph.add_constant(narrow, node.input[1]), *node.input[2:]],
        [output],
        name=f"{node.name}/{output.rpartition('.')[2]}",
        kernel_shape=list(narrow.shape[2:]),
        pads=pads,
    )


def _spread(
    graph: Graph, axis: _Axis, tensors: tuple[str, str], node: onnx.NodeProto, channels_last: bool
) -> list[onnx.NodeProto]:
    """Interleave phases (B, stride * stride * C, H, W) as a picture (B, C, stride * H, stride * W)."""
    packed, output = tensors
    name = f"{node.name}/spread"
    if not channels_last:
        spread = helper.make_node("DepthToSpace", [packed], [output], name=name, blocksize=axis.stride, mode="DCR")
        return [spread]
    kernel = graph.constant(node.input[1])
    assert kernel is not None  # _split has read it
    channels, height, width, stride = kernel.shape[1], axis.height, axis.width, axis.stride
    rows = graph.add_constant(np.array([-1, height, width, stride, stride * channels], np.int64), f"{output}.rows")
    picture = graph.add_constant(
        np.array([-1, height * stride, width * stride, channels], np.int64), f"{output}.picture"
    )
    steps: list[tuple[str, list[str], dict[str, Any]]] = [
        ("Transpose", [], {"perm": [0, 2, 3, 1]}),
        ("Reshape", [rows], {}),
        ("Transpose", [], {"perm": [0, 1, 3, 2, 4]}),
        ("Reshape", [picture], {}),
        ("Transpose", [], {"perm": [0, 3, 1, 2]}),
    ]
    nodes, source = [], packed
    for number, (operator, more, settings) in enumerate(steps):
        target = output if number == len(steps) - 1 else f"{output}.spread{number}"
        nodes.append(helper.make_node(operator, [source, *more], [target], name=f"{name}{number}", **settings))
        source = target
    return nodes
