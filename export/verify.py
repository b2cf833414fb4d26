"""Re-run a bundle's reference: do its graphs, on this machine, still give what torch gave?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipforge.export.bundle_folder import read_reference
from lipforge.export.parity import compare
from lipforge.kernels.errors import InputError
from lipforge.runtime.backends import ACL, ONNXRUNTIME
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.manifest import REFERENCE_NAME, GraphEntry

if TYPE_CHECKING:
    from lipforge.export.plan import Arrays

BATCHES = (1, 3)
ADVICE = " The bundle or this machine's onnxruntime is at fault; export again here and compare."


@dataclass(frozen=True)
class OutputReport:
    """How one output compares with torch's.

    Attributes:
        graph: name of the graph.
        output: name of the output.
        batch: how often the reference was repeated in one run.
        max_abs: largest absolute error, in the output's unit.
        mean_abs: mean absolute error.
        psnr_db: against the range of torch's values; infinite if nothing differs.
        cosine: of the angle between both, 1 is equal.
    """

    graph: str
    output: str
    batch: int
    max_abs: float
    mean_abs: float
    psnr_db: float
    cosine: float


def verify_bundle(path_or_name: str | Path, backend: str = ONNXRUNTIME) -> list[OutputReport]:
    """Run each graph of a bundle, given as folder or shipped name, on its reference inputs, alone and as a batch.

    On an NPU the outputs are judged by what float16 may move them, and batches stay within the OM's gears.

    Raises:
        InputError: the bundle is incomplete, or a file is not what was exported.
        ConfigError: the manifest is not usable.
        BackendError: the runtime's engine cannot run a graph.
        ExportError: an output differs from torch's by more than the manifest's tolerance.
    """
    bundle = Bundle.load(path_or_name, backend)
    reference = read_reference(bundle.folder / REFERENCE_NAME)
    reports = []
    for name, graph in bundle.manifest.graphs.items():
        engine = bundle.engine(name)
        inputs, expected = reference_arrays(reference, name, graph)
        ascend = bundle.manifest.ascend if bundle.choice.backend == ACL else None
        tolerance = graph.parity.tolerance if ascend is None else ascend.budget(name, expected)
        for batch in BATCHES if ascend is None else ascend.gears:
            wanted = repeat(expected, batch)
            produced = engine.run(repeat(inputs, batch))
            compare(name, produced, wanted, tolerance, ADVICE)
            reports += [report_output(name, output, batch, produced[output], wanted[output]) for output in wanted]
    return reports


def reference_arrays(reference: Arrays, name: str, graph: GraphEntry) -> tuple[Arrays, Arrays]:
    """Return a graph's reference inputs and torch's outputs by tensor name.

    Raises:
        InputError: some are missing.
    """
    missing = [tensor.name for tensor in (*graph.inputs, *graph.outputs) if f"{name}.{tensor.name}" not in reference]
    if missing:
        raise InputError(f"{REFERENCE_NAME}: arrays of graph {name} are missing: {missing}. Export the bundle again.")
    inputs = {tensor.name: reference[f"{name}.{tensor.name}"] for tensor in graph.inputs}
    return inputs, {tensor.name: reference[f"{name}.{tensor.name}"] for tensor in graph.outputs}


def repeat(arrays: Arrays, batch: int) -> Arrays:
    """Return samples repeated along the batch."""
    return {name: np.repeat(array, batch, axis=0) for name, array in arrays.items()}


def report_output(
    graph: str, output: str, batch: int, produced: NDArray[np.generic], expected: NDArray[np.generic]
) -> OutputReport:
    """Compare one output with torch's."""
    a, b = produced.astype(np.float64).ravel(), expected.astype(np.float64).ravel()
    error = np.abs(a - b)
    mean_square = float(np.mean(error**2))
    span = float(np.ptp(b)) or 1.0
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return OutputReport(
        graph=graph,
        output=output,
        batch=batch,
        max_abs=float(error.max()),
        mean_abs=float(error.mean()),
        psnr_db=float("inf") if mean_square == 0.0 else 10.0 * float(np.log10(span**2 / mean_square)),
        cosine=1.0 if norms == 0.0 else float(a @ b) / norms,
    )
