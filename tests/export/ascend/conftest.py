"""Tiny models, each for one rule, and a bundle made for an NPU with the stand-in for atc."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lipforge.export.ascend.checked_graph import CheckedGraph
from lipforge.export.ascend.operator_table import OperatorTable
from lipforge.export.ascend.target import AscendOptions
from lipforge.export.from_bundle import export_from_bundle
from lipforge.export.targets import ASCEND, TargetOptions

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


@pytest.fixture(scope="session")
def converted(bundle: Path, atc: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle, converted for batches of 1 and 4; not to be changed."""
    folder = tmp_path_factory.mktemp("npu") / "converted"
    export_from_bundle(bundle, folder, ASCEND, TargetOptions(ascend=AscendOptions(gears=(1, 4), atc=atc)))
    return folder


@pytest.fixture
def converted_copy(converted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(converted, tmp_path / "copied"))


@pytest.fixture
def no_atc(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A machine without CANN: what a shell script needs is on PATH, atc is not."""
    folder = tmp_path_factory.mktemp("bin")
    for tool in ("sh", "dirname", "mktemp", "rm", "cp", "mv", "cat", "tail", "sha256sum"):
        (folder / tool).symlink_to(shutil.which(tool) or tool)
    monkeypatch.setenv("PATH", str(folder))
