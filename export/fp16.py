"""The target ``onnx-fp16``: half the size, and the speed of processors that compute in float16."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from lipforge.export.ascend.half import HALF_MAX, peaks
from lipforge.export.bundle_folder import read_reference
from lipforge.export.graph import Graph
from lipforge.export.half_budget import half_budget
from lipforge.export.reduced import describe_reduced
from lipforge.export.verify import reference_arrays
from lipforge.kernels.errors import ExportError
from lipforge.runtime.engine import Arrays
from lipforge.runtime.manifest import FP16, FP32, REFERENCE_NAME, GraphEntry, Manifest
from lipforge.runtime.onnx_engine import OnnxEngine

ADVICE = "Nothing was written; use --target onnx."


def add_fp16(folder: Path, manifest: Manifest) -> Manifest:
    """Make the graphs of a whole bundle in ``folder`` ones in float16, in place; inputs and outputs stay as they are.

    Returns:
        The manifest as written.

    Raises:
        ExportError: the bundle is not in float32, or float16 moves an output further than its budget or overflows.
        InputError: the reference is damaged.
    """
    if manifest.precision != FP32:
        raise ExportError(f"{manifest.name}: is in {manifest.precision}; give the bundle or checkpoints in float32.")
    reference = read_reference(folder / REFERENCE_NAME)
    graphs = {
        name: _convert(folder, graph, *reference_arrays(reference, name, graph))
        for name, graph in manifest.graphs.items()
    }
    manifest = replace(manifest, graphs=graphs, precision=FP16)
    manifest.write(folder)
    return manifest


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph that holds weights and values in float16 and takes and gives what it did before."""
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers.float16 import convert_float_to_float16

    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    converted = ONNXModel(convert_float_to_float16(copied, keep_io_types=True))
    converted.topological_sort()
    return Graph(converted.model).finished()


def _convert(folder: Path, graph: GraphEntry, inputs: Arrays, expected: Arrays) -> GraphEntry:
    path = folder / graph.file
    model = onnx.load_model(str(path))
    largest = peaks(model, [inputs])
    if largest and not largest[0].value <= HALF_MAX:
        what = f"{largest[0].node.name} reaches {largest[0].value:.3g}"
        raise ExportError(f"{graph.file}: {what}, float16 ends at {HALF_MAX:g}. {ADVICE}")
    onnx.save_model(to_half(model), str(path))
    produced = OnnxEngine(path).run(inputs)
    for name, truth in expected.items():
        error = float(np.max(np.abs(produced[name].astype(np.float64) - truth.astype(np.float64))))
        budget = half_budget(name, [truth])
        if not error <= budget:
            raise ExportError(
                f"{graph.file}: float16 moves output {name} by {error:.3g}, allowed is {budget:.3g}. {ADVICE}"
            )
    return describe_reduced(folder, graph, produced, expected)
