"""Tiny models, each for one rule, and a bundle made for an NPU with the stand-in for atc."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lipforge.export.ascend.checked_graph import CheckedGraph
from lipforge.export.ascend.operator_table import OperatorTable

Value = tuple[str, Sequence[int | str]] | tuple[str, Sequence[int | str], int]


def make_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[Value] = (("x", ("B", 3, 8, 8)),),
    outputs: Sequence[Value] = (("y", ("B", 3, 8, 8)),),
    constants: dict[str, Any] | None = None,
    opset: int = 17,
    domains: Sequence[str] = (),
) -> onnx.ModelProto:
    """Make a model of nodes; a value is (name, shape) or (name, shape, ONNX type)."""

    def info(name: str, shape: Sequence[int | str], kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, shape)

    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(nodes, "g", [info(*v) for v in inputs], [info(*v) for v in outputs], initializers)
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


@pytest.fixture(scope="session")
def checked() -> Callable[..., CheckedGraph]:
    """Wraps a model for the rules: ``checked(model, gears=True, precision="fp16")``."""
    table = OperatorTable.load()

    def check(model: onnx.ModelProto, path: Path = Path("tiny.onnx"), **settings: Any) -> CheckedGraph:
        return CheckedGraph("tiny", model, path, table, **settings)

    return check


@pytest.fixture(scope="session")
def model_of() -> Callable[..., onnx.ModelProto]:
    """Makes a model: ``model_of(nodes, inputs=..., outputs=..., constants=..., opset=..., domains=...)``."""
    return make_model
