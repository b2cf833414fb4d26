"""Which nodes compute in 8 bits, and which layer does not bear it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from lipforge.export.ascend.half import run_model
from lipforge.export.int8.mouth import Likeness, Mouth, likeness
from lipforge.export.int8.quantiser import Quantiser
from lipforge.export.int8.sensitivity import choose_layers, rank_layers
from lipforge.export.plan import GraphPlan
from lipforge.export.trace import to_onnx

PlanOf = Callable[..., GraphPlan]


class Branches(nn.Module):
    """Convolutions with a residual, a skip and a transposed one, between a head and a tail of other operators."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, 2, 1)
        self.second = nn.Conv2d(8, 8, 3, 1, 1)
        self.up = nn.ConvTranspose2d(8, 4, 3, 2, 1, 1)
        self.last = nn.Conv2d(7, 2, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x * 0.5 + 0.1
        y = self.first(x).relu()
        y = (self.second(y) + y).relu()
        y = torch.cat([self.up(y).relu(), x], 1)
        return self.last(y).sigmoid() + 0.5


@pytest.fixture(scope="module")
def quantiser(plan_of: PlanOf) -> Quantiser:
    random = np.random.default_rng(6)
    feeds = [{"x": random.uniform(-1, 1, (1, 3, 16, 16)).astype(np.float32)} for _ in range(6)]
    return Quantiser(to_onnx(plan_of(Branches(), 3, 16, 16)), feeds)


def ops(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def quantised_inputs(model: onnx.ModelProto) -> set[str]:
    """Return the nodes whose first input was dequantised."""
    made = {name for node in model.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    return {node.name for node in model.graph.node if node.input and node.input[0] in made}


def error(model: onnx.ModelProto, quantiser: Quantiser, seed: int = 9) -> float:
    x = np.random.default_rng(seed).uniform(-1, 1, (2, 3, 16, 16)).astype(np.float32)
    outputs = [run_model(one, {"x": x})["y"] for one in (model, quantiser.original)]
    return float(np.abs(outputs[0] - outputs[1]).max())


def test_everything_between_the_first_and_the_last_layer_is_in_8_bits(quantiser: Quantiser) -> None:
    assert list(quantiser.layers) == ["/first/Conv", "/second/Conv", "/up/ConvTranspose", "/last/Conv"]
    assert len(quantiser.layers["/up/ConvTranspose"]) == 4  # its phases
    model = quantiser.quantised()
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    found = quantised_inputs(model)
    assert {"/first/Conv", "/second/Conv", "/last/Conv", "/Add_1"} <= found
    assert sum(name.startswith("/up/ConvTranspose/phase") for name in found) == 4
    heads = [node for node in model.graph.node if node.name in ("/Mul", "/Add", "/Add_2")]
    assert len(heads) == 3
    assert not {"/Mul", "/Add", "/Add_2"} & found  # what comes before and after them is not
    assert error(model, quantiser) < 0.02


def test_weights_have_7_bits_and_a_scale_each_channel(quantiser: Quantiser) -> None:
    model = quantiser.quantised()
    kernels = [
        numpy_helper.to_array(init) for init in model.graph.initializer if init.data_type == onnx.TensorProto.INT8
    ]
    kernels = [kernel for kernel in kernels if kernel.ndim == 4]
    assert len(kernels) == 7
    assert max(int(np.abs(kernel.astype(int)).max()) for kernel in kernels) == 64
    scales = {init.name: numpy_helper.to_array(init) for init in model.graph.initializer if "scale" in init.name}
    assert any(scale.shape == (8,) and len(set(scale.tolist())) == 8 for scale in scales.values())


def test_layers_that_are_left_out_stay_in_float32(quantiser: Quantiser) -> None:
    model = quantiser.quantised(["/last/Conv", "/up/ConvTranspose"])
    assert not [name for name in quantised_inputs(model) if "phase" in name or name == "/last/Conv"]
    assert {"/first/Conv", "/second/Conv", "/Add_1"} <= quantised_inputs(model)
    assert error(model, quantiser) < error(quantiser.quantised(), quantiser)
    assert ops(quantiser.quantised(list(quantiser.layers)))["QuantizeLinear"] == 0
    assert error(quantiser.quantised(list(quantiser.layers)), quantiser) == 0.0
    only = quantiser.only(["/second/Conv"])
    assert ops(only)["QuantizeLinear"] == 2


def test_the_model_given_is_not_changed(plan_of: PlanOf) -> None:
    model = to_onnx(plan_of(Branches(), 3, 16, 16))
    before = model.SerializeToString(deterministic=True)
    feeds = [{"x": np.ones((1, 3, 16, 16), np.float32)}, {"x": np.zeros((1, 3, 16, 16), np.float32)}]
    first = Quantiser(model, feeds).quantised().SerializeToString(deterministic=True)
    assert model.SerializeToString(deterministic=True) == before
    assert Quantiser(model, feeds).quantised().SerializeToString(deterministic=True) == first


def test_the_layer_that_does_the_most_harm_is_found_and_left_out(plan_of: PlanOf) -> None:
    """A kernel whose first input channel is 300 times the others: 7 bits a channel keep nothing of those."""
    module = Branches()
    plan = plan_of(module, 3, 16, 16)
    with torch.no_grad():
        module.second.weight[:, 0] *= 300.0
        module.first.weight[0] = 0.0
        module.first.bias[0] = 1e-3
    random = np.random.default_rng(6)
    feeds = [{"x": random.uniform(-1, 1, (1, 3, 16, 16)).astype(np.float32)} for _ in range(6)]
    quantiser = Quantiser(to_onnx(plan), feeds)

    def look(model: onnx.ModelProto) -> Likeness:
        psnr = -20.0 * np.log10(max(error(model, quantiser), 1e-9))
        return Likeness(float(psnr), float(psnr))

    assert rank_layers(quantiser, look, print)[0] == "/second/Conv"
    said: list[str] = []
    all_in_8_bits = look(quantiser.quantised()).psnr_db
    choice = choose_layers(quantiser, look, all_in_8_bits + 6.0, said.append)
    assert choice.floats[0] == "/second/Conv"
    assert choice.likeness.psnr_db >= all_in_8_bits + 6.0
    assert "now /second/Conv" in said[1]
    assert choose_layers(quantiser, look, all_in_8_bits, said.append).floats == ()
    hopeless = choose_layers(quantiser, look, 1000.0, said.append)
    assert len(hopeless.floats) <= 2
    assert hopeless.likeness.psnr_db < 1000.0


def test_psnr_counts_pixels_by_their_weight() -> None:
    truth, drawn = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8)
    drawn[0] = 10
    drawn[3] = 200
    weight = np.zeros((4, 4), np.float32)
    weight[:2] = 1.0
    other = np.zeros((4, 4, 3), np.uint8)
    found = likeness([Mouth(drawn, weight), Mouth(other, weight)], [Mouth(truth, weight), Mouth(truth, weight)])
    assert found.psnr_db == pytest.approx(10 * np.log10(255**2 / 25.0))  # half of half the pixels are off by 10
    assert found.worst_db == pytest.approx(10 * np.log10(255**2 / 50.0))
    assert likeness([Mouth(truth, weight)], [Mouth(truth, weight)]).psnr_db == float("inf")
