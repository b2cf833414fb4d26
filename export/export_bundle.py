"""Checkpoints in, a verified bundle out."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from lipforge.export.bundle_folder import check_target, new_folder, read_reference, write_reference
from lipforge.export.onnx_file import describe_graph, save_graph
from lipforge.export.parity import compare, worst
from lipforge.export.plan import Arrays, GraphPlan, run_torch
from lipforge.export.samples import batches
from lipforge.export.sources import Sources, read_sources
from lipforge.export.targets import ONNX, TargetOptions, check_options, finish
from lipforge.export.trace import DEFAULT_OPSET, to_onnx
from lipforge.export.warp_graphs import plan_warp
from lipforge.export.wav2lip_graphs import plan_critic, plan_inpaint, plan_syncnet
from lipforge.kernels.errors import ExportError
from lipforge.runtime.manifest import REFERENCE_NAME, GraphEntry, Manifest, ParityEntry
from lipforge.runtime.onnx_engine import OnnxEngine

PLANNERS: Mapping[tuple[str, ...], Callable[[Sources, float | None], list[GraphPlan]]] = {
    ("audio2lips", "warp"): plan_warp,
    ("wav2lip",): plan_inpaint,
    ("syncnet",): plan_syncnet,
    ("wav2lip-disc",): plan_critic,
}
"""Who plans the graphs of a bundle, by the kinds of its checkpoints (``GENERATOR_OF``)."""

ADVICE = " Nothing was written; if you can accept that error, raise --tolerance."


@dataclass(frozen=True)
class ExportRequest:
    """What to export, and how.

    Attributes:
        checkpoints: folders of the kinds that make a bundle together (``GENERATOR_OF``), in any order; among them may
            be a bundle, whose graphs are kept where no checkpoint replaces them.
        output: the bundle's folder.
        target: one of ``targets.TARGETS``.
        opset: of the graphs.
        tolerance: replaces the largest absolute error allowed of every output; None keeps each one's own.
        name: shown to the bundle's users; None takes the folder's.
        overwrite: an existing bundle may be replaced.
        options: how to make a bundle of that target.
    """

    checkpoints: Sequence[Path]
    output: Path
    target: str = ONNX
    opset: int = DEFAULT_OPSET
    tolerance: float | None = None
    name: str | None = None
    overwrite: bool = False
    options: TargetOptions = field(default_factory=TargetOptions)


def export_bundle(request: ExportRequest) -> Manifest:
    """Export checkpoints as a bundle, or write nothing.

    Returns:
        The manifest as written.

    Raises:
        InputError: a checkpoint or the output folder is not usable.
        BackendError: the runtime's engine cannot run a graph.
        ConfigError: the checkpoints do not fit together.
        ExportError: the target is not available, a network cannot be exported, or its graph disagrees with torch.
    """
    check_options(request.target, request.options)
    output = request.output.absolute()
    check_target(output, overwrite=request.overwrite)
    sources = read_sources(request.checkpoints)
    plans = _planner(sources)(sources, request.tolerance)
    with new_folder(output, overwrite=request.overwrite) as folder:
        graphs: dict[str, GraphEntry] = {}
        reference: Arrays = {}
        for kind in sources.kept_kinds:
            graphs[kind], arrays = _keep_graph(sources, kind, folder)
            reference |= arrays
        for plan in plans:
            graphs[plan.name], arrays = _export_graph(plan, request.opset, folder)
            reference |= {f"{plan.name}.{name}": array for name, array in arrays.items()}
        write_reference(folder / REFERENCE_NAME, reference)
        manifest = _manifest(request.name or output.name, sources, graphs)
        manifest.write(folder)
        return finish(request.target, folder, manifest, request.options, output)


def _planner(sources: Sources) -> Callable[[Sources, float | None], list[GraphPlan]]:
    """Find who plans the graphs: the kinds of the checkpoints, and of what is kept beside them."""
    kinds = {*sources.checkpoints, *sources.kept_kinds}
    return next(planner for known, planner in PLANNERS.items() if kinds <= set(known))


def _keep_graph(sources: Sources, kind: str, folder: Path) -> tuple[GraphEntry, Arrays]:
    """Copy a graph of the bundle beside the checkpoints; return its entry and its part of the reference arrays.

    Raises:
        InputError: the bundle has no reference arrays.
    """
    assert sources.kept is not None
    path = sources.kept.paths[kind]
    shutil.copyfile(path, folder / path.name)
    stored = read_reference(sources.kept.folder / REFERENCE_NAME)
    arrays = {name: array for name, array in stored.items() if name.startswith(f"{kind}.")}
    return sources.kept.manifest.graphs[kind], arrays


def _export_graph(plan: GraphPlan, opset: int, folder: Path) -> tuple[GraphEntry, Arrays]:
    """Write and prove one graph; return its entry and the reference arrays, inputs and torch's outputs."""
    path = folder / f"{plan.name}.onnx"
    save_graph(to_onnx(plan, opset), plan, opset, path)
    engine = OnnxEngine(path)  # what will run it is what proves it
    parity: ParityEntry | None = None
    reference: Arrays = {}
    for inputs in batches(plan):
        expected = _torch_outputs(plan, inputs)
        found = compare(plan.name, engine.run(inputs), expected, plan.tolerance, ADVICE)
        parity = found if parity is None else worst(parity, found)
        reference = reference or {**inputs, **expected}
    if parity is None:
        raise ExportError(f"{plan.name}: no inputs to compare with.")
    return describe_graph(path, parity), reference


def _torch_outputs(plan: GraphPlan, inputs: Arrays) -> Arrays:
    tensors = tuple(torch.from_numpy(inputs[entry.name]) for entry in plan.inputs)
    outputs = run_torch(plan.module, tensors)
    return {entry.name: output.numpy() for entry, output in zip(plan.outputs, outputs, strict=True)}


def _manifest(name: str, sources: Sources, graphs: dict[str, GraphEntry]) -> Manifest:
    return Manifest(
        name=name,
        generator=sources.generator,
        fps=sources.fps,
        specs=sources.specs,
        graphs=graphs,
        source={"checkpoints": sources.describe(), "tools": _tool_versions()},
    )


def _tool_versions() -> dict[str, Any]:
    tools = ("lipforge", "torch", "onnx", "onnxruntime", "numpy")
    return {tool: metadata.version(tool) for tool in tools}
