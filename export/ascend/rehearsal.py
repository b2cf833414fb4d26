"""The NPU's float16, rehearsed on this machine: how far the outputs move, and whether anything overflows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from lipforge.export.ascend.checked_graph import CheckedGraph
from lipforge.export.ascend.finding import Finding, Severity
from lipforge.export.ascend.half import HALF_MAX, peaks, round_to_half, run_model
from lipforge.export.ascend.input_forms import AippInput
from lipforge.export.half_budget import half_budget
from lipforge.runtime.engine import Arrays

SEED = 310
SHOWN = 5


@dataclass(frozen=True)
class Rehearsal:
    """What float16 does to a graph.

    Attributes:
        error: largest absolute error by output name; empty where nothing is computed in float16.
        budget: what is allowed, by output name.
        largest_activation: largest absolute value inside the graph, in float32.
        findings: what is beyond float16 or the budget. ASC201 to ASC203.
    """

    error: dict[str, float]
    budget: dict[str, float]
    largest_activation: float
    findings: tuple[Finding, ...]


def rehearse(
    graph: CheckedGraph,
    original: onnx.ModelProto,
    aipp: Sequence[AippInput],
    samples: Sequence[Arrays],
    budget: float | None = None,
) -> Rehearsal:
    """Compare a graph in rounded float16 with the bundle's own graph in float32.

    Args:
        graph: what ATC gets.
        original: the bundle's graph.
        aipp: inputs of ``graph`` that AIPP prepares; its formula is applied to them.
        samples: inputs of ``original``.
        budget: replaces every output's own.
    """
    fed = [_feed(graph.model, arrays, aipp) for arrays in samples]
    truths = [run_model(original, arrays) for arrays in samples]
    budgets = {
        name: half_budget(name, [truth[name] for truth in truths]) if budget is None else budget for name in truths[0]
    }
    largest = peaks(graph.model, fed)
    top = largest[0].value if largest else 0.0
    if graph.precision == "origin":
        return Rehearsal({}, budgets, top, ())
    half = round_to_half(graph.model)
    errors = dict.fromkeys(budgets, 0.0)
    for arrays, truth in zip(fed, truths, strict=True):
        for name, produced in run_model(half, arrays).items():
            errors[name] = max(errors[name], _error(produced, truth[name]))
    # "mixed" keeps what ATC holds for sensitive in float32; all in float16 is the worst that it can be.
    severity: Severity = "error" if graph.precision == "fp16" else "warning"
    findings = [
        *_large_weights(graph, severity),
        *(
            graph.at(
                peak.node,
                "ASC202",
                f"its result reaches {peak.value:.3g}, float16 ends at {HALF_MAX:g}",
                "Scale the module's values down, or use --precision mixed or origin.",
                severity,
            )
            for peak in largest[:SHOWN]
            if not peak.value <= HALF_MAX
        ),
        *(
            graph.about(
                name,
                "ASC203",
                f"float16 moves the output by {error:.3g}, allowed is {budgets[name]:.3g}",
                "Use --precision mixed or origin, or accept it with --fp16-budget.",
                severity,
            )
            for name, error in errors.items()
            if not error <= budgets[name]
        ),
    ]
    # JSON knows no infinity; the finding has told it.
    finite = {name: error for name, error in errors.items() if np.isfinite(error)}
    return Rehearsal(finite, budgets, top if np.isfinite(top) else HALF_MAX, tuple(findings))


def samples_like(typical: Arrays) -> list[Arrays]:
    """Make inputs around a typical sample of batch 1: itself, random values over its range, and both ends of it.

    Bytes range from 0 to 255, floats over what the typical sample holds.
    """
    rng = np.random.default_rng(SEED)
    noise, low, high = {}, {}, {}
    for name, array in typical.items():
        byte = array.dtype == np.uint8
        lowest, highest = (0.0, 255.0) if byte else (float(array.min()), float(array.max()))
        values = rng.integers(0, 256, array.shape) if byte else rng.uniform(lowest, highest, array.shape)
        noise[name] = values.astype(array.dtype)
        low[name], high[name] = np.full_like(array, lowest), np.full_like(array, highest)
    return [typical, noise, low, high]


def _feed(model: onnx.ModelProto, arrays: Arrays, aipp: Sequence[AippInput]) -> Arrays:
    """Turn the bundle's inputs into those of the graph that ATC gets."""
    prepared = {step.name: step for step in aipp}
    floats = {value.name for value in model.graph.input if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    fed: Arrays = {}
    for name, array in arrays.items():
        if name in prepared:
            fed[name] = prepared[name].emulate(array)
        else:
            fed[name] = array.astype(np.float32) if name in floats else array
    return fed


def _error(produced: NDArray[np.generic], truth: NDArray[np.generic]) -> float:
    error = float(np.max(np.abs(produced.astype(np.float64) - truth.astype(np.float64))))
    return error if np.isfinite(error) else float("inf")


def _large_weights(graph: CheckedGraph, severity: Severity) -> list[Finding]:
    findings = []
    for name, tensor in graph.constants.items():
        if tensor.data_type != TensorProto.FLOAT:
            continue
        largest = float(np.max(np.abs(numpy_helper.to_array(tensor)), initial=0.0))
        if not largest <= HALF_MAX:
            reason = f"the constant reaches {largest:.3g}, float16 ends at {HALF_MAX:g}"
            fix = "Use -1e4 instead of -inf in masks, scale weights down, or use --precision mixed or origin."
            findings.append(graph.about(name, "ASC201", reason, fix, severity))
    return findings[:SHOWN]
