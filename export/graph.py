"""An ONNX graph that can be edited: who makes a tensor, who uses it, what is constant."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

Array = NDArray[np.generic]


class Graph:
    """Wraps a model whose nodes stand in topological order and which has no subgraphs.

    Attributes:
        model: the model, edited in place.
        opset: version of ONNX's own operators.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.opset = opset_of(model)

    @property
    def nodes(self) -> list[onnx.NodeProto]:
        """The nodes now, in order; safe to edit the graph while going through them."""
        return list(self.model.graph.node)

    def nodes_of(self, *op_types: str) -> list[onnx.NodeProto]:
        """Return the nodes of these operators."""
        return [node for node in self.model.graph.node if node.op_type in op_types]

    def producer(self, tensor: str) -> onnx.NodeProto | None:
        """Return the node that makes a tensor; None for inputs and constants."""
        return next((node for node in self.model.graph.node if tensor in node.output), None)

    def consumers(self, tensor: str) -> list[onnx.NodeProto]:
        """Return the nodes that use a tensor."""
        return [node for node in self.model.graph.node if tensor in node.input]

    def is_output(self, tensor: str) -> bool:
        """Tell whether a tensor is an output of the graph."""
        return any(value.name == tensor for value in self.model.graph.output)

    def only_consumer(self, tensor: str) -> onnx.NodeProto | None:
        """Return the one node that uses a tensor; None if it is an output too or others use it."""
        consumers = self.consumers(tensor)
        return consumers[0] if len(consumers) == 1 and not self.is_output(tensor) else None

    def constant(self, tensor: str) -> Array | None:
        """Return a tensor's value if it is an initializer."""
        found = next((init for init in self.model.graph.initializer if init.name == tensor), None)
        return None if found is None else numpy_helper.to_array(found)

    def constants(self, tensors: Iterable[str]) -> list[Array] | None:
        """Return the values of tensors if all of them are initializers."""
        values = [self.constant(tensor) for tensor in tensors]
        known = [value for value in values if value is not None]
        return known if len(known) == len(values) else None

    def add_constant(self, value: Array, near: str) -> str:
        """Add an initializer and return its name, which tells the tensor that it stands near."""
        taken = {init.name for init in self.model.graph.initializer}
        name = next(name for name in _names(near) if name not in taken)
        self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def replace(self, node: onnx.NodeProto, nodes: list[onnx.NodeProto]) -> None:
        """Put other nodes in a node's place."""
        position = next(index for index, other in enumerate(self.model.graph.node) if other is node or other == node)
        del self.model.graph.node[position]
        for offset, other in enumerate(nodes):
            self.model.graph.node.insert(position + offset, other)

    def redirect(self, old: str, new: str) -> None:
        """Let every user of a tensor use another one."""
        for node in self.model.graph.node:
            for index, name in enumerate(node.input):
                if name == old:
                    node.input[index] = new

    def evaluate(self, node: onnx.NodeProto, inputs: list[Array]) -> list[Array]:
        """Compute a node on arrays with ONNX's reference implementation."""
        names = [f"x{index}" for index in range(len(inputs))]
        alone = onnx.NodeProto()
        alone.CopyFrom(node)
        del alone.input[:]
        alone.input.extend(names)
        evaluator = ReferenceEvaluator(alone, opsets={"": self.opset})
        return [np.asarray(value) for value in evaluator.run(None, dict(zip(names, inputs, strict=True)))]

    def shapes(self) -> dict[str, tuple[int | str, ...]]:
        """Infer the shapes of all tensors; a symbolic size is its name and an unknown one is empty."""
        inferred = onnx.shape_inference.infer_shapes(self.model, strict_mode=True, data_prop=True).graph
        values = [*inferred.input, *inferred.output, *inferred.value_info]
        return {value.name: shape_of(value) for value in values}

    def forget_shapes(self) -> None:
        """Remove the shapes that the exporter wrote, among them invented names for sizes that it did not know.

        Shapes follow from those of the inputs; ``shapes`` infers them.
        """
        for value in self.model.graph.output:
            value.type.tensor_type.ClearField("shape")
        del self.model.graph.value_info[:]

    def prune(self) -> None:
        """Remove nodes and initializers that nothing uses."""
        graph = self.model.graph
        wanted = {value.name for value in graph.output}
        kept: list[onnx.NodeProto] = []
        for node in reversed(graph.node):
            if wanted.intersection(node.output):
                kept.insert(0, node)
                wanted.update(node.input)
        initializers = [init for init in graph.initializer if init.name in wanted]
        del graph.node[:], graph.initializer[:]
        graph.node.extend(kept)
        graph.initializer.extend(initializers)

    def finished(self) -> onnx.ModelProto:
        """Return the model pruned, without inferred shapes and without texts of the exporter such as source lines."""
        self.prune()
        del self.model.graph.value_info[:]
        for node in self.model.graph.node:
            node.ClearField("doc_string")
        self.model.graph.doc_string = self.model.doc_string = ""
        self.model.graph.name = "lipforge"
        self.model.producer_name, self.model.producer_version = "lipforge", metadata.version("lipforge")
        return self.model


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of ONNX's own operators that a model imports; 0 if it imports none."""
    return next((int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def shape_of(value: onnx.ValueInfoProto) -> tuple[int | str, ...]:
    """Return the sizes of a graph's value; a symbolic size is its name and an unknown one is empty."""
    sizes = value.type.tensor_type.shape.dim
    return tuple(size.dim_value if size.HasField("dim_value") else size.dim_param for size in sizes)


def set_shape(value: onnx.ValueInfoProto, sizes: Iterable[int | str]) -> None:
    """Set the sizes of a graph's value; a string names a size of any length."""
    value.type.tensor_type.ClearField("shape")
    shape = value.type.tensor_type.shape  # reading it does not create it; adding to it does
    for size in sizes:
        shape.dim.add(**({"dim_value": size} if isinstance(size, int) else {"dim_param": size}))


def attributes(node: onnx.NodeProto) -> dict[str, object]:
    """Return a node's attributes by name."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _names(near: str) -> Iterable[str]:
    yield f"{near}.constant"
    number = 1
    while True:
        number += 1
        yield f"{near}.constant{number}"
