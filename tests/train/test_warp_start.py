"""Weights go into a graph and come back: an exported warp network is what it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from lipforge.export.plan import GraphPlan, tensor
from lipforge.export.trace import to_onnx
from lipforge.export.warp_graphs import WarpGraph
from lipforge.kernels.errors import InputError
from lipforge.train.models.warp import WarpNet
from lipforge.train.warp_start import start_from_graph

SIZES = {"encoder": (8, 8, 16, 16), "decoder": (16, 8, 8), "head": 4}


def trained(seed: int) -> WarpNet:
    """A network whose weights and statistics are those of no fresh one."""
    torch.manual_seed(seed)
    network = WarpNet(**SIZES)
    for name, value in network.named_parameters():
        torch.nn.init.normal_(value, std=0.3 if value.ndim < 2 else value[0].numel() ** -0.5)
        assert name
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0.0, 0.2)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0)
    return network.eval()


def inputs(count: int) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(5)
    shapes = ((4, 3, 96, 96), (4, 2, 96, 96), (4, 2, 96, 96))
    return [tuple(torch.rand(shape, generator=generator) for shape in shapes) for _ in range(count)]  # type: ignore[misc]


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    planes = tensor("reference_lips", "uint8", 2, 96, 96), tensor("target_lips", "uint8", 2, 96, 96)
    fields = tensor("flow", "float32", 2, 96, 96), tensor("mask", "float32", 1, 96, 96)
    plan = GraphPlan(
        name="warp",
        module=WarpGraph(trained(0), 1).eval(),
        inputs=(tensor("reference", "uint8", 96, 96, 3), *planes),
        outputs=(*fields, tensor("colour", "float32", 3, 96, 96)),
        tolerance={},
        typical={
            "reference": np.zeros((1, 96, 96, 3), np.uint8),
            "reference_lips": np.zeros((1, 2, 96, 96), np.uint8),
            "target_lips": np.zeros((1, 2, 96, 96), np.uint8),
        },
    )
    path = tmp_path_factory.mktemp("graph") / "warp.onnx"
    onnx.save(to_onnx(plan, 17), str(path))
    return path


def test_what_was_exported_comes_back(graph: Path) -> None:
    original, network = trained(0), WarpNet(**SIZES)
    assert start_from_graph(network, graph, inputs(3)) == []
    with torch.no_grad():
        for given in inputs(4):  # the last batch was not measured
            expected, got = original.fields(original(*given), 2), network.eval().fields(network(*given), 2)
            for truth, value in zip(expected, got, strict=True):
                torch.testing.assert_close(value, truth, atol=1e-3, rtol=1e-3)


def test_statistics_fit_the_weights_so_that_training_goes_on_from_there(graph: Path) -> None:
    network = WarpNet(**SIZES)
    start_from_graph(network, graph, inputs(3))
    given = tuple(torch.cat(parts) for parts in zip(*inputs(3), strict=True))
    with torch.no_grad():
        evaluated = network.eval().fields(network(*given))
        trained_mode = network.train().fields(network(*given))
    for one, other in zip(evaluated, trained_mode, strict=True):
        torch.testing.assert_close(one, other, atol=2e-2, rtol=2e-2)


def test_a_graph_of_other_sizes_or_another_kind_is_refused(graph: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no layer"):
        start_from_graph(WarpNet(encoder=(16, 8, 16, 16), decoder=(16, 8, 8), head=4), graph, inputs(1))
    (tmp_path / "warp.onnx").write_bytes(b"not a graph")
    with pytest.raises(InputError, match="cannot be read as an ONNX graph"):
        start_from_graph(WarpNet(**SIZES), tmp_path / "warp.onnx", inputs(1))
