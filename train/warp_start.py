"""Weights of a warp network read back from a bundle's graph: a checkpoint may be lost where its bundle is not.

Export folds every batch norm into the convolution before it, and the constant planes of coordinates into a constant.
Both are undone: the constant by least squares, exactly, and the batch norms by measuring the statistics that give the
same outputs. Layers that the graph does not have start fresh.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lipforge.kernels.errors import InputError
from lipforge.train.models.warp import ConvBlock, WarpNet

MEASURED_BATCHES = 16
PREFIX, CONSTANT = "network.", ".constant"


def start_from_graph(network: WarpNet, path: Path, inputs: Iterable[tuple[Tensor, Tensor, Tensor]]) -> list[str]:
    """Put the weights of an exported graph into a network.

    Args:
        network: changed in place; its widths have to be the graph's.
        path: ``warp.onnx`` of a bundle.
        inputs: batches as ``WarpNet.forward`` takes them; the statistics of the batch norms are measured on them.

    Returns:
        Names of the parameters that keep their fresh values, as the graph has none of that shape.

    Raises:
        InputError: the file is no such graph.
    """
    found = _read(path)
    fresh = _copy_plain(network, found)
    blocks = {name: module for name, module in network.named_modules() if isinstance(module, ConvBlock)}
    for name, block in blocks.items():
        weight, bias = _block_weights(network, name, found, path)
        with torch.no_grad():
            block.conv.weight.copy_(weight)
            block.norm.weight.fill_((1.0 + block.norm.eps) ** 0.5)
            block.norm.bias.copy_(bias)
            block.norm.running_mean.zero_()  # type: ignore[union-attr]
            block.norm.running_var.fill_(1.0)  # type: ignore[union-attr]
    _measure(network, list(blocks.values()), inputs)
    return fresh


def _read(path: Path) -> dict[str, Tensor]:
    import onnx
    from onnx import numpy_helper

    try:
        graph = onnx.load(str(path)).graph
    except Exception as error:  # onnx raises protobuf's own errors
        raise InputError(f"{path}: cannot be read as an ONNX graph ({error}).") from error
    return {item.name: torch.from_numpy(numpy_helper.to_array(item).copy()) for item in graph.initializer}


def _copy_plain(network: WarpNet, found: dict[str, Tensor]) -> list[str]:
    """Copy the layers without a norm; return those that the graph does not have."""
    fresh = []
    for name, parameter in network.named_parameters():
        if ".norm." in name or ".conv." in name:
            continue
        stored = found.get(PREFIX + name)
        if stored is None or stored.shape != parameter.shape:
            fresh.append(name)
            continue
        with torch.no_grad():
            parameter.copy_(stored)
    return fresh


def _block_weights(network: WarpNet, name: str, found: dict[str, Tensor], path: Path) -> tuple[Tensor, Tensor]:
    weight = found.get(f"{PREFIX}{name}.conv.weight{CONSTANT}")
    bias = found.get(f"{PREFIX}{name}.conv.weight.bias{CONSTANT}")
    if name == "down.0.0":
        weight, bias = _unfold_first(network, found, path)
    shape = dict(network.named_modules())[name].conv.weight.shape
    if weight is None or bias is None or weight.shape != shape:
        raise InputError(f"{path}: has no layer {name} of shape {tuple(shape)}; is it the warp graph of a bundle?")
    return weight, bias


def _unfold_first(network: WarpNet, found: dict[str, Tensor], path: Path) -> tuple[Tensor | None, Tensor | None]:
    """Recover the weights of the coordinate planes from the constant that export made of them."""
    weight = found.get(f"{PREFIX}down.0.0.conv.weight{CONSTANT}{CONSTANT}")
    constants = [value for name, value in found.items() if "down.0.0/norm" in name and value.ndim == 4]
    if weight is None or len(constants) != 1:
        return None, None
    planes = network.coordinates.double()
    columns = nn.functional.unfold(planes, 3, padding=1, stride=2)[0].T  # (pixels, 18)
    design = torch.cat([columns, torch.ones(len(columns), 1, dtype=torch.float64)], 1)
    wanted = constants[0][0].flatten(1).T.double()
    solved = torch.linalg.lstsq(design, wanted, driver="gelsd").solution
    error = float((design @ solved - wanted).abs().max())
    if error > 1e-3:
        raise InputError(f"{path}: its first layer is not that of coordinate planes (error {error:.1e}).")
    of_coordinates = solved[:-1].T.reshape(-1, 2, 3, 3).float()
    return torch.cat([weight, of_coordinates], 1), solved[-1].float()


@torch.no_grad()
def _measure(network: WarpNet, blocks: list[ConvBlock], inputs: Iterable[tuple[Tensor, Tensor, Tensor]]) -> None:
    """Let every norm normalise what comes in and undo it by scale and offset, so that nothing changes in the end."""
    sums = {block: [torch.zeros(block.conv.out_channels, dtype=torch.float64) for _ in range(2)] for block in blocks}
    counts = dict.fromkeys(blocks, 0)

    def hook(block: ConvBlock) -> Callable[..., None]:
        def add(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            values = output.double()
            sums[block][0] += values.sum((0, 2, 3))
            sums[block][1] += values.square().sum((0, 2, 3))
            counts[block] += values.numel() // values.shape[1]

        return add

    handles = [block.conv.register_forward_hook(hook(block)) for block in blocks]
    network.eval()
    for batch in inputs:
        network(*batch)
    for handle in handles:
        handle.remove()
    for block, (total, square) in sums.items():
        mean = total / counts[block]
        variance = (square / counts[block] - mean.square()).clamp_min(1e-8)
        norm = block.norm
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.add_(mean)
        norm.running_mean.copy_(mean)  # type: ignore[union-attr]
        norm.running_var.copy_(variance)  # type: ignore[union-attr]
