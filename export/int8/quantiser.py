"""A graph in 8 bits: ranges measured once, then any choice of layers with onnxruntime's static quantiser."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import onnx

from lipforge.export.graph import Graph
from lipforge.export.passes.transposed import split_transposed
from lipforge.runtime.engine import Arrays

LAYERS = ("Conv", "Gemm", "MatMul")
"""Operators that have weights and cost time."""

BETWEEN = (
    "Add",
    "AveragePool",
    "Concat",
    "Flatten",
    "LeakyRelu",
    "MaxPool",
    "Relu",
    "Reshape",
    "Resize",
    "Slice",
    "Transpose",
)
"""Operators that pass on 8-bit values; only those that stand between layers are quantised, not how a picture is made
ready at the beginning or an output at the end."""


class Quantiser:
    """Quantises a graph; the ranges of its values are measured on real inputs, once.

    Activations are uint8 and weights int8 with 7 bits, one scale an output channel: without VNNI, processors add two
    products in 16 bits, which weights of 8 bits overflow and those of 7 cannot.

    Args:
        model: in float32; it is not changed.
        feeds: real inputs, batch 1 each.
        channels_last: see ``split_transposed``.

    Attributes:
        original: the graph in float32 with its transposed convolutions split.
        layers: nodes by layer, in the order of the graph; the phases of a split layer belong together.
    """

    def __init__(self, model: onnx.ModelProto, feeds: Sequence[Arrays], *, channels_last: bool = True) -> None:
        copied = onnx.ModelProto()
        copied.CopyFrom(model)
        graph = Graph(copied)
        split_transposed(graph, channels_last=channels_last)
        self.original = graph.finished()
        self.layers: dict[str, list[str]] = {}
        for node in graph.nodes_of(*LAYERS):
            self.layers.setdefault(node.name.partition("/phase")[0], []).append(node.name)
        self._inferred = onnx.shape_inference.infer_shapes(self.original, data_prop=True)
        self._ranges = _measure(self._inferred, feeds)

    def quantised(self, floats: Collection[str] = ()) -> onnx.ModelProto:
        """Return the graph in 8 bits but for these layers."""
        return self.only([layer for layer in self.layers if layer not in floats])

    def only(self, layers: Sequence[str]) -> onnx.ModelProto:
        """Return the graph in float32 but for these layers and what passes values from one of them to another."""
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

        model = onnx.ModelProto()
        model.CopyFrom(self._inferred)
        nodes = [node for layer in layers for node in self.layers[layer]]
        if not nodes:  # to onnxruntime an empty list means all
            return Graph(model).finished()
        between = _between(model.graph.node, set(nodes))
        quantiser: Any = QDQQuantizer(
            model,
            per_channel=True,
            reduce_range=True,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=self._ranges,
            nodes_to_quantize=[*nodes, *between],
            nodes_to_exclude=[],
            op_types_to_quantize=[*LAYERS, *BETWEEN],
            extra_options={},
        )
        quantiser.quantize_model()
        quantiser.model.topological_sort()
        return Graph(quantiser.model.model).finished()


def _between(nodes: Sequence[onnx.NodeProto], layers: Collection[str]) -> list[str]:
    """Return the names of the nodes that pass values from one of the layers to another."""
    fed: set[str] = set()
    for node in nodes:
        if node.name in layers or (node.op_type in BETWEEN and fed.intersection(node.input)):
            fed.update(node.output)
    wanted: set[str] = set()
    names = []
    for node in reversed(nodes):
        passes = node.op_type in BETWEEN and bool(wanted.intersection(node.output))
        if node.name in layers or passes:
            wanted.update(node.input)
        if passes and node.name not in layers and fed.intersection(node.input):
            names.append(node.name)
    return names[::-1]


def _measure(model: onnx.ModelProto, feeds: Sequence[Arrays]) -> Any:
    """Return the lowest and highest value of every tensor that may be quantised."""
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, create_calibrator

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
        def __init__(self) -> None:
            self._feeds = iter(feeds)

        def get_next(self) -> Arrays | None:
            return next(self._feeds, None)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.onnx"
        onnx.save_model(model, str(path))
        calibrator = create_calibrator(
            path,
            [*LAYERS, *BETWEEN],
            augmented_model_path=str(Path(folder) / "watched.onnx"),
            calibrate_method=CalibrationMethod.MinMax,
        )
        calibrator.collect_data(Reader())
        return calibrator.compute_data()
