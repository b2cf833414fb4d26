"""Each rule has a tiny model that breaks it and nothing else."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from onnx.external_data_helper import convert_model_to_external_data
from torch import Tensor, nn
from torch.nn import functional

from lipforge.export.ascend.finding import Finding, module_of
from lipforge.export.ascend.preflight import RULES, check_graph, refuse_errors
from lipforge.kernels.errors import ExportError
from lipforge.runtime.bundle import Bundle

node = helper.make_node
ROW = ("B", 4)
VECTOR = {"inputs": [("x", ROW)], "outputs": [("y", ROW)]}


def reshape_to_computed() -> list[onnx.NodeProto]:
    return [node("Shape", ["x"], ["s"], name="shape"), node("Reshape", ["x", "s"], ["y"], name="reshape")]


# rule -> (nodes, what make_model is told, what the rules are told, the node that is named)
BROKEN: dict[str, tuple[list[onnx.NodeProto], dict[str, Any], dict[str, Any], str]] = {
    "ASC001": ([node("Relu", ["x"], ["y"], name="a")], {"opset": 20}, {}, ""),
    "ASC002": (
        [node("ReduceL2", ["x", "axes"], ["y"], name="norm")],
        {"opset": 18, "inputs": [("x", ROW)], "outputs": [("y", ("B", 1))], "constants": {"axes": np.array([1])}},
        {},
        "norm",
    ),
    "ASC003": ([node("Gelu", ["x"], ["y"], name="a", domain="com.microsoft")], {"domains": ["com.microsoft"]}, {}, "a"),
    "ASC004": (
        [node("QuantizeLinear", ["x", "s"], ["q"], name="a"), node("Cast", ["q"], ["y"], to=TensorProto.FLOAT)],
        {"constants": {"s": np.float32(0.1)}},
        {},
        "a",
    ),
    "ASC005": (
        [node("Optional", ["x"], ["o"], name="a"), node("OptionalGetElement", ["o"], ["y"], name="b")],
        {},
        {},
        "a",
    ),
    "ASC006": (
        [node("RandomNormal", [], ["y"], name="a", shape=[1, 3, 8, 8])],
        {"inputs": [], "outputs": [("y", (1, 3, 8, 8))]},
        {},
        "",
    ),
    "ASC007": (
        [node("Relu", ["my input"], ["y"], name="a")],
        {"inputs": [("my input", ("B", 3, 8, 8))]},
        {},
        "my input",
    ),
    "ASC008": ([node("Relu", ["x"], ["y"], name="a")], {"inputs": [("x", ("B", 3, "H", 8))]}, {}, "x"),
    "ASC009": (reshape_to_computed(), VECTOR, {"gears": True}, "reshape"),
    "ASC010": (
        [node("Cast", ["x"], ["y"], name="a", to=TensorProto.FLOAT)],
        {"inputs": [("x", ("B", 3, 8, 8), TensorProto.UINT8)]},
        {},
        "x",
    ),
    "ASC011": (
        [
            node("Cast", ["x"], ["d"], name="a", to=TensorProto.DOUBLE),
            node("Cast", ["d"], ["y"], name="b", to=TensorProto.FLOAT),
        ],
        {},
        {},
        "a",
    ),
    "ASC101": (
        [node("Resize", ["x", "", "s"], ["y"], name="a", mode="linear", antialias=1)],
        {"opset": 18, "constants": {"s": np.array([1, 1, 2, 2], np.float32)}, "outputs": [("y", ("B", 3, 16, 16))]},
        {},
        "a",
    ),
    "ASC102": (
        [node("Resize", ["x", "", "s"], ["y"], name="a")],
        {
            "inputs": [("x", ("B", 3, 8))],
            "outputs": [("y", ("B", 3, 16))],
            "constants": {"s": np.array([1, 1, 2], np.float32)},
        },
        {},
        "a",
    ),
    "ASC103": ([node("Resize", ["x", ""], ["y"], name="a")], {"opset": 18}, {}, "a"),
    "ASC104": (
        [
            node(
                "ConvTranspose", ["x", "w"], ["y"], name="a", kernel_shape=[2, 2], strides=[2, 2], output_shape=[16, 16]
            )
        ],
        {"constants": {"w": np.ones((3, 3, 2, 2), np.float32)}, "outputs": [("y", ("B", 3, 16, 16))]},
        {},
        "a",
    ),
    "ASC105": (
        [node("Conv", ["x", "w"], ["y"], name="a")],
        {"constants": {"w": np.ones((3, 3, 1, 1), np.float32)}},
        {},
        "a",
    ),
    "ASC106": (
        [node("ReduceSum", ["x"], ["y"], name="a", noop_with_empty_axes=1)],
        {},
        {},
        "a",
    ),
    "ASC107": (
        [node("Pad", ["x", "p", "", "axes"], ["y"], name="a")],
        {
            "opset": 18,
            "constants": {"p": np.array([1, 1]), "axes": np.array([3])},
            "outputs": [("y", ("B", 3, 8, 10))],
        },
        {},
        "a",
    ),
    "ASC108": (
        [node("Split", ["x"], ["y"], name="a", axis=1, num_outputs=2)],
        {"opset": 18, "outputs": [("y", ("B", 2, 8, 8))]},
        {},
        "a",
    ),
    "ASC109": ([node("Clip", ["x"], ["y"], name="a")], {}, {}, "a"),
    "ASC110": (
        [node("AveragePool", ["x"], ["y"], name="a", kernel_shape=[2, 2], auto_pad="SAME_LOWER")],
        {},
        {},
        "a",
    ),
    "ASC111": (
        [node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y", "m2", "v2"], name="a", training_mode=1)],
        {"constants": {key: np.ones(3, np.float32) for key in "sbmv"}},
        {},
        "a",
    ),
    "ASC112": (
        [node("InstanceNormalization", ["x", "s", "b"], ["y"], name="a")],
        {"constants": {key: np.ones(3, np.float32) for key in "sb"}},
        {},
        "a",
    ),
}
WARNINGS = {"ASC010", "ASC112"}


@pytest.mark.parametrize("rule", BROKEN)
def test_a_rule_finds_its_model_and_only_it(
    rule: str, checked: Callable[..., Any], model_of: Callable[..., onnx.ModelProto]
) -> None:
    nodes, told, settings, place = BROKEN[rule]
    findings = check_graph(checked(model_of(nodes, **told), **settings))
    assert {finding.rule for finding in findings} == {rule}
    first = findings[0]
    assert (first.node, first.severity) == (place, "warning" if rule in WARNINGS else "error")
    assert str(first).startswith(f"{rule} tiny:")
    assert first.reason in str(first)
    assert first.fix.endswith(".")


def test_every_rule_has_a_model_that_breaks_it() -> None:
    codes = {re.match(r"(ASC\d{3}):", rule.__doc__ or "")[1] for rule in RULES}  # type: ignore[index]
    assert codes == {*BROKEN, "ASC012"}
    assert len(codes) == len(RULES)


def test_the_documentation_lists_every_rule() -> None:
    text = (Path(__file__).parents[3] / "docs" / "ascend-om.md").read_text(encoding="utf-8")
    rehearsal = {"ASC201", "ASC202", "ASC203"}
    assert set(re.findall(r"^\| (ASC\d{3}) \|", text, re.MULTILINE)) == {*BROKEN, "ASC012"} | rehearsal


@pytest.mark.parametrize(
    ("nodes", "told", "settings", "rule"),
    [
        ([node("NonZero", ["x"], ["n"], name="a"), *reshape_to_computed()], VECTOR, {"gears": True}, "ASC009"),
        (
            [node("Relu", ["x"], ["a"], name="a"), node("Add", ["a", "z"], ["y"], name="b")],
            {"inputs": [("x", ROW), ("z", ("C", 4))], "outputs": [("y", ROW)]},
            {},
            "ASC008",
        ),
        (
            [node("Relu", ["x"], ["y"], name="a")],
            {"inputs": [("x", (1, 4))], "outputs": [("y", (1, 4))]},
            {"gears": True},
            "ASC008",
        ),
        (
            [node("Cast", ["x"], ["y"], name="a", to=TensorProto.FLOAT)],
            {"inputs": [("x", ROW, TensorProto.DOUBLE)], "outputs": [("y", ROW)]},
            {},
            "ASC010",
        ),
        (
            [
                node("Cast", ["d"], ["f"], name="a", to=TensorProto.FLOAT),
                node("Add", ["x", "f"], ["y"], name="b"),
            ],
            {"constants": {"d": np.float64(2.0)}},
            {},
            "ASC011",
        ),
        (
            [node("ConvTranspose", ["x", "w"], ["y"], name="a")],
            {"constants": {"w": np.ones((3, 3, 1, 1), np.float32)}},
            {},
            "ASC104",
        ),
        (
            [node("Abs", ["axes"], ["computed"], name="a"), node("ReduceSum", ["x", "computed"], ["y"], name="b")],
            {"constants": {"axes": np.array([1])}, "outputs": [("y", ("B", 1, 8, 8))]},
            {},
            "ASC106",
        ),
        ([node("Frobnicate", ["x"], ["y"], name="a")], {}, {}, "ASC002"),
    ],
)
def test_further_ways_to_break_a_rule(
    nodes: Any, told: Any, settings: Any, rule: str, checked: Callable[..., Any], model_of: Callable[..., Any]
) -> None:
    findings = check_graph(checked(model_of(nodes, **told), **settings))
    assert rule in {finding.rule for finding in findings if finding.severity == "error"}


def test_a_static_model_may_compute_shapes(checked: Callable[..., Any], model_of: Callable[..., Any]) -> None:
    assert check_graph(checked(model_of(reshape_to_computed(), **VECTOR), gears=False)) == []


def test_weights_in_a_file_that_is_missing_are_found(
    checked: Callable[..., Any], model_of: Callable[..., Any], tmp_path: Path
) -> None:
    model = model_of([node("Add", ["x", "w"], ["y"], name="a")], constants={"w": np.ones((3, 8, 8), np.float32)})
    convert_model_to_external_data(model, location="weights.bin", size_threshold=0)
    path = tmp_path / "model.onnx"
    onnx.save_model(model, str(path))
    model = onnx.load_model(str(path), load_external_data=False)
    assert check_graph(checked(model, path)) == []
    (tmp_path / "weights.bin").unlink()
    findings = check_graph(checked(model, path))
    assert [(finding.rule, finding.node) for finding in findings] == [("ASC012", "w")]
    assert "weights.bin" in findings[0].reason


def test_nodes_inside_other_nodes_are_looked_at(checked: Callable[..., Any], model_of: Callable[..., Any]) -> None:
    def branch(operator: str) -> onnx.GraphProto:
        inner = helper.make_tensor_value_info("z", TensorProto.FLOAT, ("B", 3, 8, 8))
        return helper.make_graph([node(operator, ["x"], ["z"], name=f"inner {operator}")], "branch", [], [inner])

    chosen = node("If", ["c"], ["y"], name="a", then_branch=branch("Relu"), else_branch=branch("STFT"))
    model = model_of([chosen], constants={"c": np.array(True)})
    assert [finding.node for finding in check_graph(checked(model))] == ["inner STFT"]


def test_errors_stop_with_a_line_each_and_warnings_pass() -> None:
    findings = [
        Finding("ASC002", "error", "g", f"n{i}", "Gelu", "net.act", "is unknown", "Change it.") for i in range(7)
    ]
    warning = Finding("ASC010", "warning", "g", "x", "", "", "is uint8", "Try.")
    assert refuse_errors([warning]) == [warning]
    with pytest.raises(ExportError, match="not fit for an Ascend NPU; nothing was written") as caught:
        refuse_errors([warning, *findings])
    lines = str(caught.value).splitlines()
    assert lines[1] == "  ASC002 g: n0 (Gelu, module net.act): is unknown. Change it."
    assert len(lines) == 7
    assert lines[-1] == "  and 2 more"


# -- models that torch exports ---------------------------------------------------------------------------------------


class Expert(nn.Module):
    """Two towers and their cosine, as the published sync expert ends."""

    def __init__(self) -> None:
        super().__init__()
        self.face, self.voice = nn.Conv2d(3, 4, 8), nn.Linear(4, 4)

    def forward(self, x: Tensor, mel: Tensor) -> Tensor:
        a = functional.normalize(self.face(x).flatten(1), dim=1)
        b = functional.normalize(self.voice(mel), dim=1)
        return (a * b).sum(1, keepdim=True)


def exported(folder: Path, **settings: Any) -> onnx.ModelProto:
    path = folder / "expert.onnx"
    example = (torch.zeros(1, 3, 8, 8), torch.zeros(1, 4))
    names = {"input_names": ["x", "mel"], "output_names": ["y"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Expert().eval(), example, path, dynamo=False, **names, **settings)
    return onnx.load_model(str(path))


def test_the_expert_with_normalize_is_refused_at_opset_18_with_its_module(
    checked: Callable[..., Any], tmp_path: Path
) -> None:
    findings = check_graph(checked(exported(tmp_path, opset_version=18)))
    assert {(finding.rule, finding.operator) for finding in findings} == {("ASC002", "ReduceL2")}
    assert len(findings) == 2
    assert "only at opsets 11 to 17, this model has opset 18" in findings[0].reason
    assert "rsqrt" in findings[0].fix
    assert check_graph(checked(exported(tmp_path, opset_version=17))) == []


def test_a_model_at_torchs_default_opset_is_refused_once(checked: Callable[..., Any], tmp_path: Path) -> None:
    model = exported(tmp_path)
    assert model.opset_import[0].version > 18
    findings = check_graph(checked(model))
    assert [finding.rule for finding in findings] == ["ASC001"]
    assert "E16002" in findings[0].reason


@pytest.mark.parametrize("gears", [True, False])
def test_the_shipped_graphs_pass(checked: Callable[..., Any], gears: bool) -> None:
    bundle = Bundle.load("synth-warp")
    for path in bundle.paths.values():
        findings = check_graph(checked(onnx.load_model(str(path)), path, gears=gears))
        assert {finding.rule for finding in findings} <= {"ASC010"}
        assert all(finding.severity == "warning" for finding in findings)


def test_the_module_of_a_node_is_read_from_either_exporter() -> None:
    script = node("Conv", ["x"], ["y"], name="/network/down.0/down.0.1/conv/Conv")
    assert module_of(script) == "network.down.0.1.conv"
    graph = node("Conv", ["x"], ["y"], name="node_conv2d")
    graph.metadata_props.add(key="pkg.torch.onnx.name_scopes", value="['', 'body', 'body.conv', 'conv2d']")
    assert module_of(graph) == "body.conv"
    assert module_of(node("Conv", ["x"], ["y"], name="Conv_3")) == ""
