from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from lipforge.export.graph import Graph, opset_of, shape_of
from lipforge.export.onnx_file import save_graph
from lipforge.export.passes.batch_axis import open_batch_axis
from lipforge.export.passes.transposed import split_transposed
from lipforge.export.plan import GraphPlan
from lipforge.export.trace import to_onnx
from lipforge.kernels.errors import ExportError
from lipforge.runtime.manifest import TensorEntry
from lipforge.runtime.onnx_engine import OnnxEngine

PlanOf = Callable[..., GraphPlan]


def check_equal(plan: GraphPlan, folder: Path) -> Counter[str]:
    """Compare graph and torch at batch 1 and 3; return the graph's operators."""
    model = to_onnx(plan)
    save_graph(model, plan, 17, folder / "test.onnx")
    engine = OnnxEngine(folder / "test.onnx")
    for batch in (1, 3):
        x = torch.from_numpy(np.random.default_rng(batch).normal(size=(batch, *plan.inputs[0].shape[1:]))).float()
        with torch.no_grad():
            expected = plan.module(x).numpy()
        assert np.abs(expected).max() > 0.1
        # 2e-6 of the largest value: float32 sums of some hundred products in another order.
        np.testing.assert_allclose(
            engine.run({"x": x.numpy()})["y"], expected, rtol=0, atol=2e-6 * np.abs(expected).max()
        )
    return Counter(node.op_type for node in model.graph.node)


@pytest.mark.parametrize(
    ("layers", "sizes"),
    [
        ([nn.Conv2d(6, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4)], (6, 9, 7)),
        ([nn.Conv2d(6, 4, 3, groups=2), nn.BatchNorm2d(4, eps=1e-2)], (6, 9, 7)),
        ([nn.Conv1d(5, 3, 3), nn.BatchNorm1d(3)], (5, 11)),
        ([nn.ConvTranspose2d(6, 4, 3, 2, 1), nn.BatchNorm2d(4)], (6, 5, 7)),
        ([nn.ConvTranspose2d(6, 4, 2, 2, groups=2, bias=False), nn.BatchNorm2d(4, affine=False)], (6, 5, 7)),
        ([nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 2, 3), nn.BatchNorm2d(2)], (3, 4, 4)),
    ],
)
def test_batch_norm_folds_exactly(
    plan_of: PlanOf, layers: list[nn.Module], sizes: tuple[int, ...], tmp_path: Path
) -> None:
    ops = check_equal(plan_of(nn.Sequential(*layers), *sizes), tmp_path)
    assert set(ops) <= {"Conv", "ConvTranspose"}
    assert sum(ops.values()) == len(layers) // 2


def test_batch_norm_stays_where_its_convolution_is_used_twice(plan_of: PlanOf, tmp_path: Path) -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return y + self.norm(y)

    assert check_equal(plan_of(Both(), 3, 6, 6), tmp_path) == {"Conv": 1, "BatchNormalization": 1, "Add": 1}


class Coordinates(nn.Module):
    """Concatenates constant planes in front of, between and behind the moving ones."""

    planes: Tensor

    def __init__(self, *, bias: bool = True, groups: int = 1) -> None:
        super().__init__()
        self.register_buffer("planes", torch.linspace(-1, 1, 2 * 7 * 6).reshape(1, 2, 7, 6))
        self.conv = nn.Conv2d(10, 4, 3, 2, 1, bias=bias, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        planes = self.planes.expand(x.shape[0], -1, -1, -1)
        return self.conv(torch.cat([planes, x[:, :2], planes, x[:, 2:]], 1))


@pytest.mark.parametrize("bias", [True, False])
def test_constant_planes_become_a_constant_map(plan_of: PlanOf, bias: bool, tmp_path: Path) -> None:
    ops = check_equal(plan_of(Coordinates(bias=bias), 6, 7, 6), tmp_path)
    assert ops == {"Slice": 2, "Concat": 1, "Conv": 1, "Add": 1}


def test_constant_planes_alone_with_one_input_need_no_concatenation(plan_of: PlanOf, tmp_path: Path) -> None:
    class One(Coordinates):
        def forward(self, x: Tensor) -> Tensor:
            return self.conv(torch.cat([x, self.planes.expand(x.shape[0], -1, -1, -1)], 1))

    assert check_equal(plan_of(One(), 8, 7, 6), tmp_path) == {"Conv": 1, "Add": 1}


def test_planes_of_a_grouped_convolution_cannot_be_opened_and_say_so(plan_of: PlanOf) -> None:
    with pytest.raises(ExportError, match="batch"):
        to_onnx(plan_of(Coordinates(groups=2), 6, 7, 6))


class Shapes(nn.Module):
    """Resizes to sizes, reshapes and pads: everything whose constants hold a batch of 1 when traced."""

    def forward(self, x: Tensor) -> Tensor:
        x = functional.interpolate(x, size=(12, 10), mode="nearest")
        x = functional.interpolate(x, size=(18, 25), mode="bilinear", align_corners=False)
        x = functional.pad(x, (0, 0, 2, 0)).reshape(x.shape[0], 2, 2, -1)
        return functional.pixel_shuffle(x.transpose(1, 2).reshape(x.shape[0], 4, 20, 25), 2)


def test_no_arithmetic_on_shapes_is_left(plan_of: PlanOf, tmp_path: Path) -> None:
    ops = check_equal(plan_of(Shapes(), 4, 6, 5), tmp_path)
    assert not {"Shape", "Gather", "Slice", "Cast", "Expand", "ConstantOfShape", "Constant", "Identity"} & set(ops)


def test_a_size_without_an_exact_scale_is_refused() -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 3, 49])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 3, 1])
    sizes = numpy_helper.from_array(np.array([1, 1, 3, 1]), "sizes")
    node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], name="shrink")
    graph = helper.make_graph([node], "test", [x], [y], [sizes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    with pytest.raises(ExportError, match="shrink: no scale turns"):
        open_batch_axis(Graph(model))


def test_the_saved_graph_tells_nothing_of_the_machine_it_was_made_on(plan_of: PlanOf, tmp_path: Path) -> None:
    model = to_onnx(plan_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), 3, 6, 6))
    assert b".py" not in model.SerializeToString()
    assert opset_of(model) == 17
    assert [shape_of(value) for value in (*model.graph.input, *model.graph.output)] == [("B", 3, 6, 6), ("B", 4, 4, 4)]
    onnx.checker.check_model(model, full_check=True)


@pytest.mark.parametrize("opset", [12, 19])
def test_an_opset_out_of_range_is_refused(plan_of: PlanOf, opset: int) -> None:
    with pytest.raises(ExportError, match=f"opset {opset}: allowed are 13 to 18"):
        to_onnx(plan_of(nn.Conv2d(3, 4, 3), 3, 6, 6), opset)


def test_a_network_that_does_not_fit_its_recipe_is_refused(plan_of: PlanOf) -> None:
    plan = plan_of(nn.Conv2d(3, 4, 3), 3, 6, 6)
    wrong_input = GraphPlan("test", plan.module, (TensorEntry("x", "float32", ("B", 2, 6, 6)),), plan.outputs, {})
    with pytest.raises(ExportError, match="does not take the inputs"):
        to_onnx(wrong_input)
    wrong_output = GraphPlan("test", plan.module, plan.inputs, (TensorEntry("y", "float32", ("B", 4, 5, 4)),), {})
    with pytest.raises(ExportError, match=r"returns shapes \[\(1, 4, 4, 4\)\]"):
        to_onnx(wrong_output)


def test_an_operator_that_onnx_lacks_is_one_line(plan_of: PlanOf) -> None:
    class Unknown(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.special.bessel_j0(x)

    with pytest.raises(ExportError, match="test: torch cannot export it at opset 17") as caught:
        to_onnx(plan_of(Unknown(), 3))
    assert "\n" not in str(caught.value)


def test_moving_pixels_in_the_graph_is_refused(plan_of: PlanOf, tmp_path: Path) -> None:
    class Sampler(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return functional.grid_sample(x[:, 2:], x[:, :2].permute(0, 2, 3, 1), align_corners=False)

    plan = plan_of(Sampler(), 5, 6, 6)
    with pytest.raises(ExportError, match="is a GridSample: moving pixels is the compositor's job"):
        save_graph(to_onnx(plan), plan, 17, tmp_path / "test.onnx")


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(
    ("layer", "side", "convolutions"),
    [
        (nn.ConvTranspose2d(5, 3, 3, 2, 1, 1), 6, 4),
        (nn.ConvTranspose2d(5, 3, 4, 2, 1), 5, 4),
        (nn.ConvTranspose2d(5, 3, 2, 2, bias=False), 4, 4),
        (nn.ConvTranspose2d(5, 3, 5, 3, 1), 4, 9),
        (nn.ConvTranspose2d(5, 3, 3), 1, 9),  # one pixel becomes what the kernel is
        (nn.ConvTranspose2d(5, 3, 3, 1, 1), 6, 0),  # does not enlarge
        (nn.ConvTranspose2d(5, 3, 3, 2, 1), 6, 0),  # 11 pixels are no multiple of 6
        (nn.ConvTranspose2d(6, 4, 3, 2, 1, 1, groups=2), 6, 0),
        (nn.ConvTranspose2d(5, 3, 3, 2, 2, 1, dilation=2), 4, 0),
    ],
)
def test_transposed_convolutions_split_exactly(
    plan_of: PlanOf, layer: nn.ConvTranspose2d, side: int, convolutions: int, channels_last: bool, tmp_path: Path
) -> None:
    for follower in (nn.Identity(), nn.ReLU()):
        module = nn.Sequential(nn.Conv2d(3, layer.in_channels, 1), layer, follower, nn.Conv2d(layer.out_channels, 2, 1))
        plan = plan_of(module, 3, side, side)
        graph = Graph(to_onnx(plan))
        assert split_transposed(graph, channels_last=channels_last) == (convolutions > 0)
        model = graph.finished()
        save_graph(model, plan, 17, tmp_path / "test.onnx")
        ops = Counter(node.op_type for node in model.graph.node)
        assert ops["Conv"] == 2 + convolutions
        assert ops["ConvTranspose"] == (convolutions == 0)
        assert ops["DepthToSpace"] == (convolutions > 0 and not channels_last)
        x = np.random.default_rng(1).normal(size=(3, 3, side, side)).astype(np.float32)
        with torch.no_grad():
            expected = module(torch.from_numpy(x)).numpy()
        produced = OnnxEngine(tmp_path / "test.onnx").run({"x": x})["y"]
        np.testing.assert_allclose(produced, expected, rtol=0, atol=3e-6 * np.abs(expected).max())


@pytest.mark.parametrize("channels_last", [False, True])
def test_oblong_pictures_split_exactly(plan_of: PlanOf, channels_last: bool, tmp_path: Path) -> None:
    module = nn.ConvTranspose2d(3, 2, 3, 2, 1, 1)
    plan = plan_of(module, 3, 4, 6)
    graph = Graph(to_onnx(plan))
    assert split_transposed(graph, channels_last=channels_last) == 1
    save_graph(graph.finished(), plan, 17, tmp_path / "test.onnx")
    x = np.random.default_rng(1).normal(size=(3, 3, 4, 6)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    produced = OnnxEngine(tmp_path / "test.onnx").run({"x": x})["y"]
    np.testing.assert_allclose(produced, expected, rtol=0, atol=3e-6 * np.abs(expected).max())
