from __future__ import annotations

import pytest
import torch

from lipforge.kernels.errors import ConfigError
from lipforge.kernels.spec import MouthPart
from lipforge.train.models import build_network
from lipforge.train.models.audio2lips import Audio2Lips
from lipforge.train.models.warp import MASK_START, PARTS, TOP_FADE_PX, WarpNet, WarpOutputs


def drawn(network: WarpNet, factor: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What a network makes of random crops."""
    return network.fields(network(torch.rand(2, 3, 96, 96), torch.rand(2, 2, 96, 96), torch.rand(2, 2, 96, 96)), factor)


def test_warp_net_starts_without_motion() -> None:
    network = WarpNet().eval()
    flow, mask, colour = drawn(network)
    assert (flow.shape, mask.shape, colour.shape) == ((2, 2, 96, 96), (2, 1, 96, 96), (2, 3, 96, 96))
    assert flow.abs().max() == 0
    assert mask[:, :, : network.still_px].abs().max() == 0
    lower = mask[:, :, network.still_px + TOP_FADE_PX :]
    torch.testing.assert_close(lower, torch.full_like(lower, torch.tensor(MASK_START).sigmoid().item()))


def test_warp_net_cannot_touch_the_still_part() -> None:
    torch.manual_seed(0)
    network = WarpNet().eval()
    for layer in (network.low, network.out):
        torch.nn.init.normal_(layer.weight)
    crop, lips = torch.rand(1, 3, 96, 96), torch.rand(1, 2, 96, 96)
    flow, mask, _ = network.fields(network(crop, lips, lips))
    assert flow[:, :, :32].abs().max() == 0
    assert mask[:, :, :32].abs().max() == 0
    assert flow[:, :, 40:].abs().min() > 0
    crop[:, :, :32] = 0.0  # nor does it look at it
    assert torch.equal(network.fields(network(crop, lips, lips))[0], flow)


def test_a_finer_grid_shows_the_same_motion_and_paint() -> None:
    torch.manual_seed(0)
    network = WarpNet().eval()
    for layer in (network.low, network.out):
        torch.nn.init.normal_(layer.weight, std=0.05)
    outputs = network(torch.rand(1, 3, 96, 96), torch.rand(1, 2, 96, 96), torch.rand(1, 2, 96, 96))
    coarse, fine = network.fields(outputs), network.fields(outputs, 2)
    averaged = [torch.nn.functional.avg_pool2d(field, 2) for field in fine]
    torch.testing.assert_close(averaged[0] / 2, coarse[0], atol=0.2, rtol=0.05)
    torch.testing.assert_close(averaged[1], coarse[1], atol=0.02, rtol=0.05)
    assert (averaged[2] - coarse[2]).abs().mean() < 0.01


def test_the_edge_between_two_parts_is_crisper_than_the_networks_grid() -> None:
    network = WarpNet().eval()
    parts = torch.full((1, PARTS, 64, 96), -20.0)
    height = torch.arange(64.0).view(1, 64, 1)
    parts[:, MouthPart.TEETH], parts[:, MouthPart.DARK] = 2.0 * (30.4 - height), 2.0 * (height - 30.4)
    palette = torch.full((1, 3 * PARTS, 32, 48), -20.0)
    palette[:, 3 * MouthPart.TEETH : 3 * MouthPart.TEETH + 3] = 20.0
    blank = torch.zeros(1, 2, 64, 96)
    colour = network.fields(WarpOutputs(blank, blank[:, :1], parts, palette), 4)[2][0, 0, :, 4 * 48]
    between = ((colour > 0.05) & (colour < 0.95)).sum()
    assert colour[4 * (32 + 26)] > 0.99
    assert colour[4 * (32 + 34)] < 0.01
    assert between <= 4, "a quarter of a crop px each: one crop px in all"


def test_frozen_parts_keep_weights_and_statistics() -> None:
    network = WarpNet(size_px=32, still_px=0, encoder=(8, 8, 8, 8), decoder=(8, 8, 8), head=4)
    network.freeze(["down", "middle"])
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimiser = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    outputs = network.train()(torch.rand(2, 3, 32, 32), torch.rand(2, 2, 32, 32), torch.rand(2, 2, 32, 32))
    sum(output.square().sum() + output.sum() for output in outputs).backward()
    optimiser.step()
    changed = {name.split(".")[0] for name, value in network.state_dict().items() if not value.equal(before[name])}
    assert changed.isdisjoint({"down", "middle"})
    assert {"up", "fine", "out", "low"} <= changed
    with pytest.raises(ConfigError, match="no module 'encoder' to freeze"):
        network.freeze(["encoder"])


def test_warp_net_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    network = WarpNet(size_px=32, still_px=0, encoder=(8, 8, 8, 8), decoder=(8, 8, 8), head=4)
    for layer in (network.low, network.out):  # the zero start hides what is below
        torch.nn.init.normal_(layer.weight)
    outputs = network(torch.rand(2, 3, 32, 32), torch.rand(2, 2, 32, 32), torch.rand(2, 2, 32, 32))
    sum(output.square().sum() for output in outputs).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_costs_stay_what_the_runtime_was_planned_for() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    network = WarpNet().eval()
    with FlopCounterMode(display=False) as counter:
        network(torch.rand(1, 3, 96, 96), torch.rand(1, 2, 96, 96), torch.rand(1, 2, 96, 96))
    assert counter.get_total_flops() / 2 < 0.4e9
    assert sum(p.numel() for p in Audio2Lips().parameters()) < 1e6


def test_shapes_start_as_the_principal_components() -> None:
    torch.manual_seed(0)
    network = Audio2Lips(points=4, components=2)
    weights = torch.randn(500, 2) * torch.tensor([3.0, 0.5])
    basis = torch.linalg.qr(torch.randn(12, 2)).Q
    data = (weights @ basis.T + 0.7).reshape(500, 4, 3)
    network.start_from_shapes(data)
    coefficients = torch.linalg.lstsq(network.shapes.weight, (data.flatten(1) - network.shapes.bias).T).solution
    rebuilt = network.shapes(coefficients.T)
    torch.testing.assert_close(rebuilt, data.flatten(1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(coefficients.std(1, correction=0), torch.ones(2), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(network.shapes.weight.norm(dim=0), torch.tensor([3.0, 0.5]), atol=0.2, rtol=0.1)


def test_audio2lips_shape() -> None:
    assert Audio2Lips().eval()(torch.zeros(3, 80, 32)).shape == (3, 40, 3)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("warp", {"encoder": [8, 8, 8]}),
        ("warp", {"decoder": [8, 8, 8, 8]}),
        ("warp", {"size_px": 90}),
        ("warp", {"still_px": 96}),
        ("audio2lips", {"columns": 30}),
        ("audio2lips", {"components": 121}),
    ],
)
def test_sizes_that_cannot_work(kind: str, arguments: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(arguments))):
        build_network(kind, arguments)


def test_unknown_kind_and_argument() -> None:
    with pytest.raises(ConfigError, match="known are"):
        build_network("inpaint", {})
    with pytest.raises(ConfigError, match="depth"):
        build_network("warp", {"depth": 3})
