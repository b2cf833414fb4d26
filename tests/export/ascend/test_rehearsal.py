from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from lipforge.export.ascend.half import peaks, round_to_half, run_model
from lipforge.export.ascend.rehearsal import rehearse, samples_like

node = helper.make_node
ROW = {"inputs": [("x", ("B", 4))], "outputs": [("y", ("B", 4))]}
ModelOf = Callable[..., onnx.ModelProto]


def half(values: Any) -> np.ndarray:
    return np.asarray(values, np.float32).astype(np.float16).astype(np.float32)


def test_inputs_weights_and_every_result_are_rounded(model_of: ModelOf) -> None:
    nodes = [node("Mul", ["x", "w"], ["a"], name="mul"), node("Add", ["a", "x"], ["y"], name="add")]
    weight = np.float32([0.1, 1.00049, 3.3, -7.7])
    model = model_of(nodes, **ROW, constants={"w": weight})
    x = np.float32([[0.3, 2.7, 1e-3, 11.1]])
    produced = run_model(round_to_half(model), {"x": x})["y"]
    np.testing.assert_array_equal(produced, half(half(half(x) * half(weight)) + half(x)))
    assert np.any(produced != run_model(model, {"x": x})["y"])
    assert onnx.numpy_helper.to_array(model.graph.initializer[0])[0] == weight[0]  # the model itself is untouched


def test_what_says_how_to_compute_is_never_rounded(model_of: ModelOf) -> None:
    """A scale of 1.1 rounded to float16 would make 9 of 10 x 0.9 px."""
    scales = np.float32([1, 1, 1.1, 1.3])
    model = model_of(
        [node("Resize", ["x", "", "s"], ["y"], name="a")],
        inputs=[("x", ("B", 1, 10, 10))],
        outputs=[("y", ("B", 1, 11, 13))],
        constants={"s": scales},
    )
    rounded = round_to_half(model)
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(rounded.graph.initializer[0]), scales)
    assert run_model(rounded, {"x": np.ones((1, 1, 10, 10), np.float32)})["y"].shape == (1, 1, 11, 13)


def test_constants_of_nodes_are_rounded_too(model_of: ModelOf) -> None:
    constant = node("Constant", [], ["c"], value=helper.make_tensor("c", TensorProto.FLOAT, [1], [0.1]))
    model = model_of([constant, node("Mul", ["x", "c"], ["y"], name="a")], **ROW)
    produced = run_model(round_to_half(model), {"x": np.ones((1, 4), np.float32)})["y"]
    np.testing.assert_array_equal(produced, half(np.full((1, 4), 0.1)))


def test_the_largest_values_are_found_with_their_nodes(model_of: ModelOf) -> None:
    nodes = [node("Mul", ["x", "k"], ["a"], name="big"), node("Mul", ["a", "s"], ["y"], name="small")]
    model = model_of(nodes, **ROW, constants={"k": np.float32(1e5), "s": np.float32(1e-6)})
    found = peaks(model, [{"x": np.float32([[1, -2, 0, 1]])}, {"x": np.float32([[0, 0, 0, 1]])}])
    assert (found[0].node.name, round(found[0].value)) == ("big", 200_000)


def test_a_graph_that_fits_passes(checked: Callable[..., Any], model_of: ModelOf) -> None:
    model = model_of([node("Sigmoid", ["x"], ["y"], name="a")], **ROW)
    found = rehearse(checked(model), model, (), samples_like({"x": np.float32([[-1, 0, 1, 2]])}))
    assert found.findings == ()
    assert 0 < found.error["y"] < 1e-3
    assert found.budget["y"] == pytest.approx(0.01)
    assert 0.5 < found.largest_activation < 1


@pytest.mark.parametrize(("precision", "severity"), [("fp16", "error"), ("mixed", "warning"), ("origin", None)])
def test_overflow_is_found_where_it_happens(
    checked: Callable[..., Any], model_of: ModelOf, precision: str, severity: str | None
) -> None:
    nodes = [node("Mul", ["x", "k"], ["a"], name="/body/scale/Mul"), node("Tanh", ["a"], ["y"], name="squash")]
    model = model_of(nodes, **ROW, constants={"k": np.float32(6e4)})
    found = rehearse(checked(model, precision=precision), model, (), samples_like({"x": np.float32([[-1, 0, 1, 2]])}))
    if severity is None:
        assert (found.findings, found.error) == ((), {})
        return
    assert [(one.rule, one.node, one.module, one.severity) for one in found.findings] == [
        ("ASC202", "/body/scale/Mul", "body.scale", severity)
    ]
    assert "reaches 1.2e+05, float16 ends at 65504" in found.findings[0].reason


def test_a_mask_of_minus_infinity_is_found(checked: Callable[..., Any], model_of: ModelOf) -> None:
    nodes = [node("Add", ["x", "mask"], ["a"], name="add"), node("Softmax", ["a"], ["y"], name="soft")]
    model = model_of(nodes, **ROW, constants={"mask": np.float32([0, -np.inf, 0, 0])})
    found = rehearse(checked(model), model, (), samples_like({"x": np.float32([[-1, 0, 1, 2]])}))
    assert ("ASC201", "mask") in {(one.rule, one.node) for one in found.findings}


def test_an_output_beyond_its_budget_is_found_and_the_budget_can_be_replaced(
    checked: Callable[..., Any], model_of: ModelOf
) -> None:
    """A small difference of large numbers has no digits left in float16."""
    nodes = [node("Add", ["x", "k"], ["a"], name="up"), node("Sub", ["a", "k"], ["y"], name="down")]
    model = model_of(nodes, **ROW, constants={"k": np.float32(1000)})
    samples = samples_like({"x": np.float32([[0.1, 0.2, 0.3, 0.4]])})
    found = rehearse(checked(model), model, (), samples)
    assert [(one.rule, one.node) for one in found.findings] == [("ASC203", "y")]
    assert found.error["y"] > 0.1
    assert rehearse(checked(model), model, (), samples, budget=0.5).findings == ()


def test_division_by_what_float16_takes_for_zero_is_found(checked: Callable[..., Any], model_of: ModelOf) -> None:
    nodes = [node("Abs", ["x"], ["a"]), node("Add", ["a", "eps"], ["b"]), node("Div", ["x", "b"], ["y"], name="norm")]
    model = model_of(nodes, **ROW, constants={"eps": np.float32(1e-9)})
    found = rehearse(checked(model), model, (), [{"x": np.zeros((1, 4), np.float32)}])
    assert [one.rule for one in found.findings] == ["ASC203"]
    assert "moves the output by inf" in found.findings[0].reason
    assert found.error == {}  # JSON has no infinity


def test_samples_span_the_range_of_each_input() -> None:
    typical = {"byte": np.full((1, 5, 5), 7, np.uint8), "mel": np.float32([[-3, 1, 2]])}
    samples = samples_like(typical)
    assert samples[0] is typical
    assert all(one["byte"].dtype == np.uint8 and one["mel"].dtype == np.float32 for one in samples)
    assert {int(one["byte"].max()) for one in samples[2:]} == {0, 255}
    assert [float(one["mel"].mean()) for one in samples[2:]] == [-3, 2]
    assert samples[1]["byte"].std() > 50
    assert -3 <= samples[1]["mel"].min() < samples[1]["mel"].max() <= 2
