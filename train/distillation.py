"""A small generator learns from a large one: its pictures, and what its decoder makes on the way to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from lipforge.kernels.errors import ConfigError
from lipforge.kernels.spec import MelSpec
from lipforge.train.models.wav2lip import KIND, Wav2Lip
from lipforge.train.pth_exchange import read_weights
from lipforge.train.task import Batch
from lipforge.train.wav2lip_config import DistillationConfig, Wav2LipConfig

ADAPTERS = "adapters"  # their name among the networks of a run: trained and saved beside the product, no part of it
FLOOR = 1e-6  # least energy of a teacher's map that an error is measured against


class Adapters(nn.Module):
    """1x1 convolutions from the widths of a student's decoder stages to its teacher's."""

    def __init__(self, student: Sequence[int], teacher: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(own, other, 1) for own, other in zip(student, teacher, strict=True))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Map each float32 (N, own, H, W) to (N, other, H, W)."""
        return [layer(found) for layer, found in zip(self.layers, maps, strict=True)]


@dataclass(frozen=True)
class Taught:
    """A batch as the student did it, compared with the teacher.

    Attributes:
        drawn: the student's pictures, with a graph.
        total: weighted terms, to be added to the student's loss.
        parts: the terms without their weights, for the log.
        maps: the student's maps, cut off from it.
        wanted: the teacher's maps.
    """

    drawn: Tensor
    total: Tensor
    parts: dict[str, Tensor]
    maps: list[Tensor]
    wanted: list[Tensor]

    def adapters_loss(self, adapters: nn.Module) -> Tensor:
        """Return what the adapters descend: the same distance, with the student held still."""
        return map_distance(adapters(self.maps), self.wanted)


class Distillation:
    """A frozen teacher and how much its opinion weighs.

    The teacher is in eval mode, takes no gradient and never changes.

    Args:
        teacher: a trained generator; changed in place.
        config: weights and stages.
    """

    def __init__(self, teacher: Wav2Lip, config: DistillationConfig) -> None:
        self.teacher, self._config = teacher.requires_grad_(False).eval(), config
        self.stages = tuple(config.stages) if config.features > 0.0 else ()

    @classmethod
    def of(cls, config: Wav2LipConfig, student: Wav2Lip, mel: MelSpec) -> Distillation | None:
        """Read the teacher that a configuration names, if it names one, and check that it suits the student.

        Raises:
            InputError: the path holds no generator.
            ConfigError: it draws faces of another side, hears another mel or other windows of it, or lacks a stage.
        """
        named = config.distillation
        if not named.teacher:
            return None
        found = read_weights(Path(named.teacher), KIND)
        teacher = Wav2Lip(**found.model_args)
        teacher.load_state_dict(found.state_dict)
        _check_pair(named, teacher, student)
        _check_sound(named.teacher, found.mel, found.offset_frames, mel, config.data.mel_offset_frames)
        return cls(teacher, named)

    def adapters_for(self, student: Wav2Lip) -> Adapters:
        """Return fresh adapters from a student's decoder to the teacher's."""
        widths = [[net.decoder_widths[stage] for stage in self.stages] for net in (student, self.teacher)]
        return Adapters(*widths)

    @torch.no_grad()
    def teach(self, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """Return the teacher's pictures and maps of a batch, float32, on the batch's device."""
        drawn, maps = _drawn(self.teacher.to(batch["face"].device), batch, self.stages)
        return drawn, [found.float() for found in maps]

    def compare(self, student: nn.Module, adapters: nn.Module | None, batch: Batch) -> Taught:
        """Let the student draw a batch and compare it with the teacher.

        Args:
            student: the generator that learns.
            adapters: between their decoders. Gradients reach its weights too; step only the student's.
            batch: ``mels`` and ``face`` as ``Wav2LipData`` makes them.
        """
        wanted, wanted_maps = self.teach(batch)
        drawn, maps = _drawn(student, batch, self.stages)
        parts = {"to_teacher": (drawn - wanted).abs().mean()}
        total = self._config.output * parts["to_teacher"]
        if adapters is not None:
            parts["to_teacher_maps"] = map_distance(adapters(maps), wanted_maps)
            total = total + self._config.features * parts["to_teacher_maps"]
        return Taught(drawn, total, parts, [found.detach() for found in maps], wanted_maps)


def map_distance(adapted: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Return the squared error of maps over the energy of the wanted ones, a mean over samples and stages.

    Maps of zeros have 1, whatever the size of a stage's values: so all stages count alike.

    Args:
        adapted: float32 (N, C, H, W) for each stage.
        wanted: the same of the teacher.
    """
    errors = []
    for found, truth in zip(adapted, wanted, strict=True):
        energy = truth.square().flatten(1).mean(1).clamp_min(FLOOR)
        errors.append(((found.float() - truth).square().flatten(1).mean(1) / energy).mean())
    return torch.stack(errors).mean()


def _drawn(network: nn.Module, batch: Batch, stages: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
    if not stages:
        return network(batch["mels"], batch["face"]).float(), []
    drawn, maps = network(batch["mels"], batch["face"], stages=stages)
    return drawn.float(), maps


def _check_pair(config: DistillationConfig, teacher: Wav2Lip, student: Wav2Lip) -> None:
    if teacher.size_px != student.size_px:
        raise ConfigError(
            f"teacher {config.teacher}: draws faces of {teacher.size_px} px, this run's student of {student.size_px} "
            "px; take a teacher of the same side."
        )
    count = len(teacher.decoder_widths)
    if len(set(config.stages)) != len(config.stages) or any(not 0 <= stage < count for stage in config.stages):
        raise ConfigError(
            f"distillation.stages={list(config.stages)}; allowed are different numbers from 0 to {count - 1}."
        )


def _check_sound(teacher: str, its_mel: MelSpec, its_offset: int | None, mel: MelSpec, offset_frames: int) -> None:
    if its_mel != mel:
        theirs, ours = its_mel.to_dict(), mel.to_dict()
        keys = ", ".join(f"{key} {theirs[key]} instead of {ours[key]}" for key in ours if theirs[key] != ours[key])
        raise ConfigError(f"teacher {teacher}: hears another mel than this run's data has: {keys}.")
    if its_offset != offset_frames:
        raise ConfigError(
            f"teacher {teacher}: hears windows with an offset of {its_offset} frames, this run asks for "
            f"{offset_frames}; set data.mel_offset_frames={its_offset}."
        )
