"""A graph traced at batch 1 becomes one that takes any batch."""

from __future__ import annotations

import numpy as np
import onnx

from lipforge.export.graph import Graph, set_shape
from lipforge.kernels.errors import ExportError

BATCH = "B"
Shapes = dict[str, tuple[int | str, ...]]


def open_batch_axis(graph: Graph) -> None:
    """Make the first axis of all inputs and outputs symbolic and free the constants that hold a batch of 1.

    Raises:
        ExportError: a shape cannot be freed, or the batch does not reach an output.
    """
    shapes = graph.shapes()
    for node in graph.nodes_of("Reshape"):
        _free_reshape(graph, node, shapes)
    for node in graph.nodes_of("Resize"):
        _free_resize(graph, node, shapes)
    for value in graph.model.graph.input:
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    graph.forget_shapes()
    opened = graph.shapes()
    for output in graph.model.graph.output:
        batch, *sizes = opened[output.name]  # behind a Reshape the batch has another name, or none
        if isinstance(batch, int) or sizes != list(shapes[output.name][1:]):
            raise ExportError(f"output {output.name}: something in its graph fixes the batch at {batch}.")
        set_shape(output, (BATCH, *sizes))


def _free_reshape(graph: Graph, node: onnx.NodeProto, shapes: Shapes) -> None:
    target = graph.constant(node.input[1])
    sizes = [size for size in shapes[node.output[0]] if isinstance(size, int)]
    if target is None or len(sizes) != len(target):
        raise ExportError(f"{node.name}: the shape of this Reshape depends on an input; give the layer a fixed one.")
    node.input[1] = graph.add_constant(np.array([-1, *sizes[1:]], np.int64), node.input[1])


def _free_resize(graph: Graph, node: onnx.NodeProto, shapes: Shapes) -> None:
    """Turn sizes, which hold the batch, into scales, which do not; they must give back the same sizes."""
    if len(node.input) < 4 or not node.input[3]:
        return
    before, after = shapes[node.input[0]], graph.constant(node.input[3])
    if after is None or not all(isinstance(size, int) for size in before):
        raise ExportError(f"{node.name}: the size of this Resize depends on an input; give the layer a fixed one.")
    old = np.array(before, np.int64)
    scales = (after.astype(np.float64) / old).astype(np.float32)
    if not np.array_equal(np.floor(old * scales), after):
        raise ExportError(f"{node.name}: no scale turns {old.tolist()} into {after.tolist()}; use another size.")
    constant = graph.add_constant(scales, node.input[3])
    del node.input[2:]
    node.input.append(constant)
