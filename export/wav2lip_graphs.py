"""The graphs of the Wav2Lip family: the generator of an inpaint bundle, and the networks that judge it.

Pictures go in and out as bytes with their channels last, BGR as the family's weights want them: scaling, blanking and
joining happen inside, so every runtime feeds the same.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lipforge.export.plan import BYTE, Arrays, GraphPlan, tensor, tolerance_of
from lipforge.export.samples import SEED, draw_face, draw_voice
from lipforge.export.sources import Sources
from lipforge.kernels.spec import CropSpec, FaceBoxSpec, MelChunkSpec, MelSpec
from lipforge.runtime.manifest import TensorEntry
from lipforge.train.models import quality_discriminator, syncnet, wav2lip
from lipforge.train.models.quality_discriminator import QualityDiscriminator
from lipforge.train.models.wav2lip_blocks import FRAMES, lower_half

SIDE_PX = 96  # of the faces that the expert and the critic of the published sizes look at


class InpaintGraph(nn.Module):
    """The generator with everything around it that is arithmetic on pixels.

    Args:
        network: ``Wav2Lip`` in eval mode.
        size_px: side S of its pictures.
    """

    visible: Tensor

    def __init__(self, network: nn.Module, size_px: int) -> None:
        super().__init__()
        self.network = network
        rows = torch.full((1, 1, size_px, 1), BYTE)  # blanks and scales to shares at once
        rows[:, :, size_px // 2 :] = 0.0
        self.register_buffer("visible", rows)

    def forward(self, mel: Tensor, face: Tensor, reference: Tensor) -> Tensor:
        """Draw the face with the mouth of the sound.

        Args:
            mel: float32 (B, M, columns), log-mel.
            face: uint8 (B, S, S, 3), BGR; its lower half is not looked at.
            reference: uint8 (B, S, S, 3), BGR, a whole face of the person: the same one, as in the published inference.

        Returns:
            uint8 (B, S, S, 3), BGR, rounded to nearest.
        """
        masked = face.float().permute(0, 3, 1, 2) * self.visible
        shown = reference.float().permute(0, 3, 1, 2) * BYTE
        drawn = self.network(mel[:, None], torch.cat([masked, shown], 1))
        # Conversion to bytes cuts off, so a half rounds; the network's sigmoid leaves nothing to clip.
        image: Tensor = (drawn.permute(0, 2, 3, 1) * 255.0 + 0.5).to(torch.uint8)
        return image


class SyncNetGraph(nn.Module):
    """The sync expert on whole faces in bytes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, mel: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
        """Embed sound and mouths.

        Args:
            mel: float32 (B, M, columns), the window that starts with the first face.
            faces: uint8 (B, 5, 96, 96, 3), BGR, of five consecutive frames.

        Returns:
            ``sound`` and ``mouths``, float32 (B, E) each, of length 1; their product is the chance of being in sync.
        """
        halves = lower_half(faces.float().permute(0, 1, 4, 2, 3)) * BYTE
        stacked = halves.reshape(-1, 3 * FRAMES, SIDE_PX // 2, SIDE_PX)
        sound, mouths = self.network(mel[:, None], stacked)
        return sound, mouths


class CriticGraph(nn.Module):
    """The picture critic on single faces in bytes."""

    def __init__(self, network: QualityDiscriminator) -> None:
        super().__init__()
        self.network = network

    def forward(self, face: Tensor) -> Tensor:
        """Return the chance of being real, float32 (B, 1), of faces uint8 (B, 96, 96, 3), BGR."""
        return self.network.judge(face.float().permute(0, 3, 1, 2) * BYTE)


def plan_inpaint(sources: Sources, tolerance: float | None) -> list[GraphPlan]:
    """Plan the generator's graph; ``tolerance`` replaces the output's own."""
    network = sources.networks()[wav2lip.KIND]
    size = sources.spec("face_box", FaceBoxSpec) if "face_box" in sources.specs else sources.spec("crop", CropSpec)
    picture = (size.size_px, size.size_px, 3)
    random = np.random.default_rng(SEED)
    outputs = (tensor("image", "uint8", *picture),)
    plan = GraphPlan(
        name=wav2lip.KIND,
        module=InpaintGraph(network, size.size_px).eval(),
        inputs=(_mel(sources), tensor("face", "uint8", *picture), tensor("reference", "uint8", *picture)),
        outputs=outputs,
        tolerance=tolerance_of(outputs, tolerance),
        typical={
            **_voice(sources),
            "face": _face(size.size_px, random)[None],
            "reference": _face(size.size_px, random)[None],
        },
        float_limit=sources.spec("mel", MelSpec).max_abs,
    )
    return [plan]


def plan_syncnet(sources: Sources, tolerance: float | None) -> list[GraphPlan]:
    """Plan the expert's graph; ``tolerance`` replaces the outputs' own."""
    network = sources.networks()[syncnet.KIND]
    embedding = int(cast(Any, network).audio_encoder[-1].conv_block[0].out_channels)
    outputs = (tensor("sound", "float32", embedding), tensor("mouths", "float32", embedding))
    random = np.random.default_rng(SEED)
    plan = GraphPlan(
        name=syncnet.KIND,
        module=SyncNetGraph(network).eval(),
        inputs=(_mel(sources), tensor("faces", "uint8", FRAMES, SIDE_PX, SIDE_PX, 3)),
        outputs=outputs,
        tolerance=tolerance_of(outputs, tolerance),
        typical={**_voice(sources), "faces": np.stack([_face(SIDE_PX, random) for _ in range(FRAMES)])[None]},
        float_limit=sources.spec("mel", MelSpec).max_abs,
    )
    return [plan]


def plan_critic(sources: Sources, tolerance: float | None) -> list[GraphPlan]:
    """Plan the critic's graph; ``tolerance`` replaces the output's own."""
    network = cast(QualityDiscriminator, sources.networks()[quality_discriminator.KIND])
    outputs = (tensor("chance", "float32", 1),)
    plan = GraphPlan(
        name=quality_discriminator.KIND,
        module=CriticGraph(network).eval(),
        inputs=(tensor("face", "uint8", SIDE_PX, SIDE_PX, 3),),
        outputs=outputs,
        tolerance=tolerance_of(outputs, tolerance),
        typical={"face": _face(SIDE_PX, np.random.default_rng(SEED))[None]},
    )
    return [plan]


def _mel(sources: Sources) -> TensorEntry:
    columns = sources.spec("mel_chunk", MelChunkSpec).columns
    return tensor("mel", "float32", sources.spec("mel", MelSpec).n_mels, columns)


def _voice(sources: Sources) -> Arrays:
    columns = sources.spec("mel_chunk", MelChunkSpec).columns
    return {"mel": draw_voice(sources.spec("mel", MelSpec), columns, np.random.default_rng(SEED))[None]}


def _face(size_px: int, random: np.random.Generator) -> NDArray[np.uint8]:
    return np.ascontiguousarray(draw_face(size_px, random)[..., ::-1])  # BGR
