"""What an OM takes where the graph takes bytes: bytes too, float32, or a picture that AIPP prepares on the NPU.

AIPP is ATC's preprocessing: ``(pixel - mean - min) * var_reci`` on bytes with their channels last, in float16. It can
take the place of the graph's own ``Cast -> Transpose -> Mul`` on a picture of three channels, and of nothing else here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from lipforge.export.graph import Graph, attributes, set_shape, shape_of

NCHW = [0, 3, 1, 2]
WIDTHS, HEIGHTS = range(2, 4097), range(1, 4097)
"""Sizes of a picture that AIPP takes, px."""


@dataclass(frozen=True)
class AippInput:
    """A picture that AIPP prepares.

    Attributes:
        name: of the input.
        rank: its place among the graph's inputs.
        height: px.
        width: px.
        scale: factor of a byte, ``var_reci``.
    """

    name: str
    rank: int
    height: int
    width: int
    scale: float

    def to_text(self) -> str:
        """Return the ``aipp_op`` block of ATC's configuration; the channels keep their order in memory."""
        lines = [
            "aipp_mode: static",
            f"related_input_rank: {self.rank}",
            "input_format: RGB888_U8",
            f"src_image_size_w: {self.width}",
            f"src_image_size_h: {self.height}",
            "csc_switch: false",
            "rbuv_swap_switch: false",
            *(f"{key}_{channel}: {value}" for channel in range(3) for key, value in self._constants()),
        ]
        return "aipp_op {\n" + "".join(f"    {line}\n" for line in lines) + "}\n"

    def _constants(self) -> tuple[tuple[str, str], ...]:
        return ("mean_chn", "0"), ("min_chn", "0.0"), ("var_reci_chn", f"{self.scale:.9f}")

    def emulate(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute what AIPP gives the graph, by the published formula.

        Args:
            pixels: uint8 (B, H, W, 3).

        Returns:
            float32 (B, 3, H, W), values of float16.
        """
        prepared = pixels.astype(np.float16) * np.float16(self.scale)
        return np.ascontiguousarray(prepared.transpose(0, 3, 1, 2).astype(np.float32))


def use_aipp(model: onnx.ModelProto) -> tuple[onnx.ModelProto, tuple[AippInput, ...], tuple[str, ...]]:
    """Let AIPP prepare every input that it fits.

    Returns:
        The graph with those inputs float32 (B, 3, H, W), prepared; what AIPP does; and for each other input why not.
    """
    graph = Graph(_copy(model))
    fitting: list[AippInput] = []
    reasons: list[str] = []
    for rank, value in enumerate(graph.model.graph.input):
        found = _replace_preparation(graph, rank, value)
        if isinstance(found, AippInput):
            fitting.append(found)
        else:
            reasons.append(f"{value.name}: {found}")
    graph.prune()
    return graph.model, tuple(fitting), tuple(reasons)


def use_floats(model: onnx.ModelProto) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Let every input of bytes be float32 with the same values, where the graph casts it to float32 anyway.

    Returns:
        The graph and the names of the inputs that changed.
    """
    graph = Graph(_copy(model))
    changed = []
    for value in graph.model.graph.input:
        users = graph.consumers(value.name)
        if value.type.tensor_type.elem_type == TensorProto.UINT8 and users and all(map(_casts_to_float, users)):
            for user in users:
                graph.redirect(user.output[0], value.name)
            value.type.tensor_type.elem_type = TensorProto.FLOAT
            changed.append(value.name)
    graph.prune()
    return graph.model, tuple(changed)


def _replace_preparation(graph: Graph, rank: int, value: onnx.ValueInfoProto) -> AippInput | str:
    """Cut the nodes that prepare a picture out of a graph, or say what is there instead."""
    shape = shape_of(value)
    if value.type.tensor_type.elem_type != TensorProto.UINT8 or len(shape) != 4 or shape[3] != 3:
        return f"is {list(shape)}, AIPP takes bytes (B, H, W, 3)"
    height, width = shape[1], shape[2]
    if height not in HEIGHTS or width not in WIDTHS:
        return f"is {list(shape)}, AIPP takes pictures of {WIDTHS.start} to {WIDTHS.stop - 1} px"
    scale, tensor = 1.0, value.name
    steps: set[str] = set()
    while (node := graph.only_consumer(tensor)) is not None:
        if "Cast" not in steps and _casts_to_float(node):
            steps.add("Cast")
        elif "Transpose" not in steps and node.op_type == "Transpose" and attributes(node).get("perm") == NCHW:
            steps.add("Transpose")
        elif "scale" not in steps and "Cast" in steps and (factor := _factor(graph, node, tensor)) is not None:
            scale = factor
            steps.add("scale")
        else:
            break
        tensor = node.output[0]
    if not {"Cast", "Transpose"} <= steps:
        return "does not go through Cast to float32 and Transpose to channels first alone"
    graph.redirect(tensor, value.name)
    value.type.tensor_type.elem_type = TensorProto.FLOAT
    set_shape(value, (shape[0], 3, height, width))
    return AippInput(value.name, rank, int(height), int(width), scale)


def _factor(graph: Graph, node: onnx.NodeProto, tensor: str) -> float | None:
    """Return what a node multiplies a tensor with, if it is one number."""
    if node.op_type not in ("Mul", "Div") or (node.op_type == "Div" and node.input[0] != tensor):
        return None
    constant = graph.constant(next(name for name in node.input if name != tensor))
    if constant is None or constant.size != 1 or float(constant.reshape(-1)[0]) == 0.0:
        return None
    number = float(constant.reshape(-1)[0])
    return number if node.op_type == "Mul" else 1.0 / number


def _casts_to_float(node: onnx.NodeProto) -> bool:
    return node.op_type == "Cast" and attributes(node).get("to") == TensorProto.FLOAT


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied
