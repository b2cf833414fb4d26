"""What each graph of a bundle is: the network behind it, its inputs and outputs, and how exact the copy must be."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lipforge.export.sources import Recipe
from lipforge.runtime.manifest import TensorEntry

BYTE = 1.0 / 255.0

# Largest absolute error of an ONNX output against torch, in the output's unit. Float32 convolutions regrouped by
# another library differ by about 1e-5 of the values' size; these leave a factor of ten and are far below what shows
# in a picture (flow and lips: px of the crop; mask and colour: 1e-4 is a fortieth of a grey level).
TOLERANCE = {"lips": 1e-3, "flow": 1e-3, "mask": 1e-4, "colour": 1e-4}


@dataclass(frozen=True)
class GraphPlan:
    """A graph to be exported.

    Attributes:
        name: of the graph in the manifest, and of its file without the suffix.
        module: torch module in eval mode that takes ``inputs`` and returns ``outputs`` in their order.
        inputs: contract of the graph; the first axis is ``"B"``.
        outputs: contract of the graph; the first axis is ``"B"``.
        tolerance: largest absolute error allowed, by output name.
    """

    name: str
    module: nn.Module
    inputs: tuple[TensorEntry, ...]
    outputs: tuple[TensorEntry, ...]
    tolerance: dict[str, float]


class WarpGraph(nn.Module):
    """The warp network behind the bundle's contract: bytes in, images with their channels last."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, reference: Tensor, reference_lips: Tensor, target_lips: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run the network.

        Args:
            reference: uint8 (B, S, S, 3), RGB.
            reference_lips: uint8 (B, 2, S, S), 255 inside the contours seen in the reference.
            target_lips: uint8 (B, 2, S, S), the same of the wanted mouth.

        Returns:
            flow float32 (B, 2, S, S) in crop px, mask (B, 1, S, S) in [0, 1], colour (B, 3, S, S) RGB in [0, 1].
        """
        image = reference.float().permute(0, 3, 1, 2) * BYTE
        flow, mask, colour = self.network(image, reference_lips.float() * BYTE, target_lips.float() * BYTE)
        return flow, mask, colour


def plan_graphs(networks: dict[str, nn.Module], recipe: Recipe, tolerance: float | None = None) -> list[GraphPlan]:
    """Plan the graphs of a bundle with a warp generator.

    Args:
        networks: ``audio2lips`` and ``warp`` in eval mode, on the CPU.
        recipe: sizes of inputs and outputs come from it.
        tolerance: replaces every output's own tolerance.
    """
    size = recipe.crop.size_px
    planes = (2, size, size)
    audio = GraphPlan(
        name="audio2lips",
        module=networks["audio2lips"],
        inputs=(_tensor("mel", "float32", recipe.mel.n_mels, recipe.window.columns),),
        outputs=(_tensor("lips", "float32", recipe.lips.points, 3),),
        tolerance=_tolerance(("lips",), tolerance),
    )
    warp = GraphPlan(
        name="warp",
        module=WarpGraph(networks["warp"]).eval(),
        inputs=(
            _tensor("reference", "uint8", size, size, 3),
            _tensor("reference_lips", "uint8", *planes),
            _tensor("target_lips", "uint8", *planes),
        ),
        outputs=(
            _tensor("flow", "float32", *planes),
            _tensor("mask", "float32", 1, size, size),
            _tensor("colour", "float32", 3, size, size),
        ),
        tolerance=_tolerance(("flow", "mask", "colour"), tolerance),
    )
    return [audio, warp]


@torch.no_grad()
def run_torch(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Run a module without gradients; one output comes back as a tuple of one."""
    outputs = module(*inputs)
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _tensor(name: str, dtype: str, *sizes: int) -> TensorEntry:
    return TensorEntry(name, dtype, ("B", *sizes))


def _tolerance(names: tuple[str, ...], override: float | None) -> dict[str, float]:
    return {name: TOLERANCE[name] if override is None else override for name in names}
