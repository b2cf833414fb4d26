"""The graphs of a bundle with a warp generator: mel -> lips, and lips -> motion of pixels."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from lipforge.export.plan import BYTE, GraphPlan, tensor, tolerance_of
from lipforge.export.samples import SEED, draw_face, draw_mouth, draw_voice
from lipforge.export.sources import Sources
from lipforge.kernels.spec import AudioWindowSpec, CropSpec, LipSpec, MelSpec, WarpSpec
from lipforge.train.models.warp import WarpNet


class WarpGraph(nn.Module):
    """The warp network behind the bundle's contract: bytes in, images with their channels last; fields out."""

    def __init__(self, network: WarpNet, factor: int) -> None:
        super().__init__()
        self.network, self.factor = network, factor

    def forward(self, reference: Tensor, reference_lips: Tensor, target_lips: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run the network.

        Args:
            reference: uint8 (B, S, S, 3), RGB.
            reference_lips: uint8 (B, 2, S, S), 255 inside the contours seen in the reference.
            target_lips: uint8 (B, 2, S, S), the same of the wanted mouth.

        Returns:
            flow float32 (B, 2, F, F), mask (B, 1, F, F) in [0, 1], colour (B, 3, F, F) RGB in [0, 1], where F = kS: see
            ``WarpSpec``.
        """
        image = reference.float().permute(0, 3, 1, 2) * BYTE
        outputs = self.network(image, reference_lips.float() * BYTE, target_lips.float() * BYTE)
        return self.network.fields(outputs, self.factor)


def plan_warp(sources: Sources, tolerance: float | None) -> list[GraphPlan]:
    """Plan the graphs that have a checkpoint; ``tolerance`` replaces every output's own."""
    networks = sources.networks()
    plans = []
    if "audio2lips" in networks:
        plans.append(_plan_audio(sources, networks["audio2lips"], tolerance))
    if "warp" in networks:
        network = networks["warp"]
        assert isinstance(network, WarpNet)
        plans.append(_plan_motion(sources, network, tolerance))
    return plans


def _plan_audio(sources: Sources, network: nn.Module, tolerance: float | None) -> GraphPlan:
    mel, lips = sources.spec("mel", MelSpec), sources.spec("lips", LipSpec)
    columns = sources.spec("window", AudioWindowSpec).columns
    shapes = (tensor("lips", "float32", lips.points, 3),)
    return GraphPlan(
        name="audio2lips",
        module=network,
        inputs=(tensor("mel", "float32", mel.n_mels, columns),),
        outputs=shapes,
        tolerance=tolerance_of(shapes, tolerance),
        typical={"mel": draw_voice(mel, columns, np.random.default_rng(SEED))[None]},
        float_limit=mel.max_abs,
    )


def _plan_motion(sources: Sources, network: WarpNet, tolerance: float | None) -> GraphPlan:
    lips, size = sources.spec("lips", LipSpec), sources.spec("crop", CropSpec).size_px
    planes = (2, size, size)
    factor = sources.spec("warp", WarpSpec).factor
    fields = size * factor
    motion = (
        tensor("flow", "float32", 2, fields, fields),
        tensor("mask", "float32", 1, fields, fields),
        tensor("colour", "float32", 3, fields, fields),
    )
    return GraphPlan(
        name="warp",
        module=WarpGraph(network, factor).eval(),
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
