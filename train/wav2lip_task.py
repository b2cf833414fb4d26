"""The trainer of the Wav2Lip generator, with or without a picture critic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lipforge.kernels.errors import ConfigError
from lipforge.kernels.spec import FaceBoxSpec, MelChunkSpec, MelSpec
from lipforge.train.config import as_plain
from lipforge.train.device import Device
from lipforge.train.distillation import ADAPTERS, Distillation
from lipforge.train.frame_folders import FrameFolders
from lipforge.train.models import build_network, quality_discriminator, syncnet
from lipforge.train.models.quality_discriminator import QualityDiscriminator
from lipforge.train.models.wav2lip import KIND, Wav2Lip
from lipforge.train.pth_exchange import read_weights
from lipforge.train.sync_data import SIZE_PX
from lipforge.train.task import Batch, Loss, Networks, Task
from lipforge.train.wav2lip_config import Wav2LipConfig
from lipforge.train.wav2lip_data import Wav2LipData
from lipforge.train.wav2lip_losses import GeneratorWeights, SyncLoss, SyncWeight, critic_losses, perceptual_loss

VALIDATION_BATCH = 16
VALIDATION_STREAM = 7
SHEET_WINDOWS = 6


class Wav2LipTask(Task):
    """Trains ``Wav2Lip`` under a frozen sync expert.

    ``validate`` also decides whether the expert's opinion counts from then on (``SyncWeight``).

    Raises:
        InputError: the folder has no usable windows, or the expert is none.
        ConfigError: no expert is named, or a size or share does not fit.
    """

    kind = KIND

    def __init__(self, dataset: FrameFolders, config: Wav2LipConfig) -> None:
        self.dataset, self.loop, self.config = dataset, config.loop, as_plain(config)
        chunk = MelChunkSpec(offset_frames=config.data.mel_offset_frames)
        self.specs = {"mel": dataset.mel, "mel_chunk": chunk, "face_box": FaceBoxSpec(SIZE_PX, pads_px=(0, 0, 0, 0))}
        self.model_args = self.config["model"]
        self._sync_loss, expert_chunk = _read_expert(config, dataset.mel)
        self.networks = self._build(config, dataset.mel)
        self._sync_weight = SyncWeight(config.loss.sync, config.loss.sync_threshold)
        self._adversary = config.loss.adversary
        GeneratorWeights(config.loss.sync, self._adversary)  # refuses shares that do not fit, before the run
        settings: dict[str, Any] = {"size_px": SIZE_PX, "batch_size": config.loop.batch_size, "seed": config.loop.seed}
        recipe = (dataset.mel, dataset.fps, chunk, expert_chunk)
        self._training = Wav2LipData(dataset.training, *recipe, **settings)
        self._held_out = Wav2LipData(dataset.held_out, *recipe, **settings)
        skipped = Counter(dataset.skipped)
        skipped["too short"] = self._training.unused_clips + self._held_out.unused_clips
        self.notes = tuple(f"{count} clips skipped: {reason}" for reason, count in skipped.items() if count)
        windows = min(config.data.validation_windows, len(self._held_out))
        self._rows = np.unique(np.linspace(0, len(self._held_out) - 1, windows).astype(np.int64))

    def _build(self, config: Wav2LipConfig, mel: MelSpec) -> Networks:
        torch.manual_seed(config.loop.seed)
        generator = Wav2Lip(**self.model_args)
        if generator.size_px != SIZE_PX:
            raise ConfigError(
                f"model.face has {len(config.model.face)} widths, a generator of {generator.size_px} px; the expert "
                f"judges {SIZE_PX} px, so give 7."
            )
        networks: Networks = {self.kind: generator}
        if config.loss.adversary > 0.0:
            networks[quality_discriminator.KIND] = QualityDiscriminator(**self.config["critic"])
        self._distillation = Distillation.of(config, generator, mel)
        if self._distillation is not None and self._distillation.stages:
            networks[ADAPTERS] = self._distillation.adapters_for(generator)
        return networks

    def batch(self, step: int) -> Batch:
        """Make the training batch of a step (``Wav2LipData.batch``)."""
        return self._training.batch(step)

    def losses(self, networks: Networks, batch: Batch) -> Iterator[Loss]:
        """Yield the generator's loss, then the critic's and the adapters' if there are any: one step each."""
        taught = None
        if self._distillation is None:
            drawn = networks[self.kind](batch["mels"], batch["face"]).float()
        else:
            taught = self._distillation.compare(networks[self.kind], networks.get(ADAPTERS), batch)
            drawn = taught.drawn
        critic = networks.get(quality_discriminator.KIND)
        share = self._sync_weight.value
        facts = {"picture": (drawn - batch["target"]).abs().mean()}
        if self._sync_loss is not None:
            # Without a share its value is still worth a look, but not a pass back through the expert.
            with torch.set_grad_enabled(share > 0.0):
                facts["sync"] = self._sync_loss.to(drawn.device)(batch["expert_mel"], drawn)
        if critic is not None:
            facts["adversary"] = perceptual_loss(critic, drawn)
        total = GeneratorWeights(share, self._adversary).mix(**facts)["total"]
        if taught is not None:
            total, facts = total + taught.total, facts | taught.parts
        yield Loss(self.kind, total, {"total": total, **facts})
        if critic is not None:
            halves = critic_losses(critic, batch["target"], drawn)
            yield Loss(quality_discriminator.KIND, halves["critic_real"] + halves["critic_drawn"], halves)
        if taught is not None and ADAPTERS in networks:
            yield Loss(ADAPTERS, taught.adapters_loss(networks[ADAPTERS]), {})

    @torch.no_grad()
    def validate(self, network: nn.Module, device: Device) -> dict[str, float]:
        """Measure held-out windows with seeded references, and tell the sync schedule.

        Returns:
            ``picture``, L1 distance to the true frames; ``sync``, the expert's loss of the drawn frames, and
            ``real_sync``, that of the true ones under the same expert, if there is one; ``teacher``, L1 distance to a
            teacher's pictures; ``sync_share``, which counts from now on.
        """
        random = np.random.default_rng([self.loop.seed, VALIDATION_STREAM])
        judge = None if self._sync_loss is None else self._sync_loss.to(device.torch_device)
        sums: dict[str, float] = {}
        count = 0
        for start in range(0, len(self._rows), VALIDATION_BATCH):
            rows = self._rows[start : start + VALIDATION_BATCH]
            batch = {k: v.to(device.torch_device) for k, v in self._held_out.assemble(rows, random).items()}
            drawn = network(batch["mels"], batch["face"]).float()
            measured = {"picture": (drawn - batch["target"]).abs().mean()}
            if judge is not None:
                measured["sync"] = judge(batch["expert_mel"], drawn)
                measured["real_sync"] = judge(batch["expert_mel"], batch["target"])
            if self._distillation is not None:
                measured["teacher"] = (drawn - self._distillation.teach(batch)[0]).abs().mean()
            count += len(rows)
            for name, value in measured.items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(rows)
        metrics = {name: total / count for name, total in sums.items()}
        if judge is not None:
            self._sync_weight.evaluated(metrics["sync"])
        return {**metrics, "sync_share": self._sync_weight.value}

    @torch.no_grad()
    def images(self, network: nn.Module, device: Device) -> dict[str, Tensor]:
        """Draw held-out windows' first frames: rows of reference, masked, drawn, true."""
        rows = self._rows[:: max(1, len(self._rows) // SHEET_WINDOWS)][:SHEET_WINDOWS]
        batch = self._held_out.assemble(rows, np.random.default_rng([self.loop.seed, VALIDATION_STREAM]))
        drawn = network(batch["mels"].to(device.torch_device), batch["face"].to(device.torch_device)).float().cpu()
        masked, reference = batch["face"][:, :3, 0], batch["face"][:, 3:, 0]
        columns = [reference, masked, drawn[:, :, 0], batch["target"][:, :, 0]]
        sheet = torch.cat([torch.cat(list(column), 2) for column in columns], 1)
        return {"reference, masked, drawn, true": sheet.flip(0).clamp(0.0, 1.0)}  # BGR to RGB

    def state(self) -> dict[str, Any]:
        """Return whether the expert's opinion counts."""
        return {"sync_weight": self._sync_weight.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` returned."""
        self._sync_weight.load_state(state.get("sync_weight", {}))


def _read_expert(config: Wav2LipConfig, mel: MelSpec) -> tuple[SyncLoss | None, MelChunkSpec]:
    """Return the loss under the named expert and the window that it hears; no loss beside a teacher without one."""
    if not config.loss.expert:
        if not config.distillation.teacher:
            raise ConfigError("no sync expert: name a trained one with --syncnet-checkpoint-path.")
        return None, MelChunkSpec()
    expert = read_weights(Path(config.loss.expert), syncnet.KIND)
    if expert.mel != mel:
        raise ConfigError(
            f"expert {config.loss.expert}: was trained on another mel than this run's data: {expert.mel}."
        )
    judge = build_network(syncnet.KIND, expert.model_args)
    judge.load_state_dict(expert.state_dict)
    return SyncLoss(judge), MelChunkSpec(offset_frames=expert.offset_frames or 0)
