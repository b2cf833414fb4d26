from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from lipforge.export.ascend.half import run_model
from lipforge.export.ascend.input_forms import AippInput, use_aipp, use_floats
from lipforge.export.half_budget import BUDGET
from lipforge.runtime.bundle import Bundle

node = helper.make_node
ModelOf = Callable[..., onnx.ModelProto]
BYTES = ("x", ("B", 6, 5, 3), TensorProto.UINT8)


def cast(source: str, target: str) -> onnx.NodeProto:
    return node("Cast", [source], [target], name=f"cast {source}", to=TensorProto.FLOAT)


def turn(source: str, target: str, perm: Sequence[int] = (0, 3, 1, 2)) -> onnx.NodeProto:
    return node("Transpose", [source], [target], name="turn", perm=list(perm))


PREPARATIONS = {
    "turned, then scaled": [cast("x", "f"), turn("f", "t"), node("Mul", ["t", "k"], ["p"], name="scale")],
    "scaled, then turned": [cast("x", "f"), node("Mul", ["k", "f"], ["s"], name="scale"), turn("s", "p")],
    "divided": [cast("x", "f"), turn("f", "t"), node("Div", ["t", "d"], ["p"], name="scale")],
}


@pytest.mark.parametrize("preparation", PREPARATIONS.values(), ids=list(PREPARATIONS))
def test_aipp_takes_the_place_of_the_graphs_own_preparation(
    model_of: ModelOf, preparation: list[onnx.NodeProto]
) -> None:
    nodes = [*preparation, node("Sub", ["p", "m"], ["y"], name="rest")]
    constants = {"k": np.float32(1 / 255), "d": np.float32(255), "m": np.float32(0.5)}
    model = model_of(nodes, inputs=[BYTES], outputs=[("y", ("B", 3, 6, 5))], constants=constants)
    changed, fitting, reasons = use_aipp(model)
    assert reasons == ()
    assert fitting == (AippInput("x", 0, 6, 5, pytest.approx(1 / 255)),)
    pixels = np.random.default_rng(1).integers(0, 256, (2, 6, 5, 3), np.uint8)
    prepared = fitting[0].emulate(pixels)
    assert prepared.shape == (2, 3, 6, 5)
    truth = run_model(model, {"x": pixels})["y"]
    # 5e-4: float16 has 11 bits, and so have the factor and the product.
    np.testing.assert_allclose(run_model(changed, {"x": prepared})["y"], truth, rtol=0, atol=5e-4)
    if "Sub" in {one.op_type for one in changed.graph.node}:
        assert [one.op_type for one in changed.graph.node][-1] == "Sub"
    onnx.checker.check_model(changed, full_check=True)


def test_the_formula_is_the_published_one() -> None:
    """(pixel - mean - min) * var_reci, every constant and the result in float16, channels in their order."""
    step = AippInput("x", 0, 1, 2, 1 / 255)
    pixels = np.uint8([[[[0, 1, 2], [253, 254, 255]]]])
    factor = np.float16(1 / 255)
    for channel in range(3):
        expected = [np.float16(np.float16(value) * factor) for value in pixels[0, 0, :, channel]]
        np.testing.assert_array_equal(step.emulate(pixels)[0, channel, 0], np.float32(expected))
    assert np.abs(step.emulate(pixels)[0, :, 0].T - pixels[0, 0] / 255).max() < 5e-4


def test_the_configuration_says_what_the_emulator_computes() -> None:
    text = AippInput("face", 2, 96, 64, 1 / 255).to_text()
    assert text.startswith("aipp_op {\n    aipp_mode: static\n    related_input_rank: 2\n    input_format: RGB888_U8\n")
    for line in ("src_image_size_w: 64", "src_image_size_h: 96", "mean_chn_2: 0", "var_reci_chn_0: 0.003921569"):
        assert f"    {line}\n" in text
    assert text.endswith("}\n")


@pytest.mark.parametrize(
    ("nodes", "value", "reason"),
    [
        ([node("Relu", ["x"], ["y"])], ("x", ("B", 3, 6, 5)), r"is \['B', 3, 6, 5\], AIPP takes bytes"),
        ([cast("x", "y")], ("x", ("B", 2, 6, 5), TensorProto.UINT8), "AIPP takes bytes"),
        ([cast("x", "y")], BYTES, "does not go through Cast to float32 and Transpose"),
        ([cast("x", "f"), turn("f", "y", (0, 3, 2, 1))], BYTES, "does not go through"),
        ([cast("x", "f"), cast("x", "z"), turn("f", "y")], BYTES, "does not go through"),
        ([cast("x", "y")], ("x", ("B", 6, 5000, 3), TensorProto.UINT8), "pictures of 2 to 4096 px"),
    ],
)
def test_what_does_not_fit_is_left_alone_and_told(
    model_of: ModelOf, nodes: list[onnx.NodeProto], value: Any, reason: str
) -> None:
    model = model_of(nodes, inputs=[value], outputs=[("y", ("B", None, None, None))])
    before = [one.op_type for one in model.graph.node if "y" in one.output or one.output[0] != "z"]
    changed, fitting, reasons = use_aipp(model)
    assert fitting == ()
    assert len(reasons) == 1
    assert re.search(reason, reasons[0])
    assert [one.op_type for one in changed.graph.node] == before


def test_bytes_can_become_floats_with_the_same_values(model_of: ModelOf) -> None:
    nodes = [cast("x", "f"), node("Add", ["f", "z"], ["y"], name="add")]
    model = model_of(nodes, inputs=[BYTES, ("z", ("B", 6, 5, 3))], outputs=[("y", ("B", 6, 5, 3))])
    changed, names = use_floats(model)
    assert names == ("x",)
    assert [one.op_type for one in changed.graph.node] == ["Add"]
    pixels = np.random.default_rng(1).integers(0, 256, (2, 6, 5, 3), np.uint8)
    other = np.zeros((2, 6, 5, 3), np.float32)
    truth = run_model(model, {"x": pixels, "z": other})["y"]
    np.testing.assert_array_equal(run_model(changed, {"x": pixels.astype(np.float32), "z": other})["y"], truth)


def test_the_shipped_warp_graph_takes_aipp_for_its_picture_only() -> None:
    bundle = Bundle.load("synth-warp")
    model = onnx.load_model(str(Path(bundle.paths["warp"])))
    changed, fitting, reasons = use_aipp(model)
    assert [(step.name, step.rank, step.height, step.width) for step in fitting] == [("reference", 0, 96, 96)]
    assert [reason.split(":")[0] for reason in reasons] == ["reference_lips", "target_lips"]
    reference = np.load(bundle.folder / "reference.npz")
    arrays = {name: reference[f"warp.{name}"] for name in ("reference", "reference_lips", "target_lips")}
    truth = run_model(model, arrays)
    arrays["reference"] = fitting[0].emulate(arrays["reference"])
    for name, produced in run_model(changed, arrays).items():
        np.testing.assert_allclose(produced, truth[name], rtol=0, atol=BUDGET[name])
