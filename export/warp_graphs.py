"""The graphs of a bundle with a warp generator: mel -> lips, and lips -> motion of pixels."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from lipforge.export.plan import BYTE, GraphPlan, tensor, tolerance_of
from lipforge.export.samples import SEED, draw_face, draw_mouth, draw_voice
from lipforge.export.sources import Sources
from lipforge.kernels.spec import AudioWindowSpec, CropSpec, LipSpec, MelSpec


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


def plan_warp(sources: Sources, tolerance: float | None) -> list[GraphPlan]:
    """Plan the two graphs; ``tolerance`` replaces every output's own."""
    networks = sources.networks()
    mel, lips = sources.spec("mel", MelSpec), sources.spec("lips", LipSpec)
    columns, size = sources.spec("window", AudioWindowSpec).columns, sources.spec("crop", CropSpec).size_px
    planes = (2, size, size)
    shapes = (tensor("lips", "float32", lips.points, 3),)
    audio = GraphPlan(
        name="audio2lips",
        module=networks["audio2lips"],
        inputs=(tensor("mel", "float32", mel.n_mels, columns),),
        outputs=shapes,
        tolerance=tolerance_of(shapes, tolerance),
        typical={"mel": draw_voice(mel, columns, np.random.default_rng(SEED))[None]},
        float_limit=mel.max_abs,
    )
    motion = (
        tensor("flow", "float32", *planes),
        tensor("mask", "float32", 1, size, size),
        tensor("colour", "float32", 3, size, size),
    )
    warp = GraphPlan(
        name="warp",
        module=WarpGraph(networks["warp"]).eval(),
        inputs=(
            tensor("reference", "uint8", size, size, 3),
            tensor("reference_lips", "uint8", *planes),
            tensor("target_lips", "uint8", *planes),
        ),
        outputs=motion,
        tolerance=tolerance_of(motion, tolerance),
        typical={
            "reference": draw_face(size, np.random.default_rng(SEED))[None],
            "reference_lips": draw_mouth(lips, size, opening=0.02)[None],
            "target_lips": draw_mouth(lips, size, opening=0.09)[None],
        },
    )
    return [audio, warp]
