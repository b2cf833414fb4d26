"""The trainer of the Wav2Lip generator, with or without a picture critic."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lipforge.kernels.errors import ConfigError
from lipforge.kernels.spec import MelChunkSpec, MelSpec
from lipforge.train.config import as_plain
from lipforge.train.device import Device
from lipforge.train.distillation import ADAPTERS, Distillation
from lipforge.train.face_clips import FaceSet
from lipforge.train.metrics import estimate_mean
from lipforge.train.models import build_network, quality_discriminator, syncnet
from lipforge.train.models.quality_discriminator import QualityDiscriminator
from lipforge.train.models.wav2lip import KIND, Wav2Lip
from lipforge.train.pth_exchange import read_weights
from lipforge.train.sync_data import SIZE_PX
from lipforge.train.task import Batch, Loss, Networks, Task
from lipforge.train.wav2lip_config import Wav2LipConfig
from lipforge.train.wav2lip_data import Wav2LipData
from lipforge.train.wav2lip_losses import (
    GeneratorWeights,
    SyncLoss,
    SyncWeight,
    binary_cross_entropy,
    critic_losses,
    perceptual_loss,
)

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
    better = MappingProxyType({"sync": "min", "picture": "min"})

    def __init__(self, dataset: FaceSet, config: Wav2LipConfig) -> None:
        self.dataset, self.loop, self.config = dataset, config.loop, as_plain(config)
        chunk = MelChunkSpec(offset_frames=config.data.mel_offset_frames)
        self.specs = {"mel": dataset.mel, "mel_chunk": chunk, "face_box": dataset.face_box}
        self.model_args = self.config["model"]
        self._sync_loss, expert_chunk = _read_expert(config, dataset.mel)
        if self._sync_loss is None:
            self.better = MappingProxyType({"picture": "min", "teacher": "min"})
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
        self.notes = dataset.notes + tuple(
            f"{count} clips skipped: {reason}" for reason, count in skipped.items() if count
        )
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

    def rows_of_batch(self, step: int, rows: slice) -> Batch:
        """Make some rows of a step's batch, and no others: what one of several ranks trains on."""
        return self._training.batch(step, rows)

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
            ``real_sync``, that of the true ones under the same expert; ``mismatch_sync``, that of drawn frames with the
            sound of another window, which stays high as long as the mouth follows its own sound: all three only with an
            expert. ``teacher``, L1 distance to a teacher's pictures. All with intervals over clips. ``sync_share``,
            which counts from now on.
        """
        random = np.random.default_rng([self.loop.seed, VALIDATION_STREAM])
        judge = None if self._sync_loss is None else self._sync_loss.to(device.torch_device)
        collected: dict[str, list[Tensor]] = defaultdict(list)
        for start in range(0, len(self._rows), VALIDATION_BATCH):
            rows = self._rows[start : start + VALIDATION_BATCH]
            batch = {k: v.to(device.torch_device) for k, v in self._held_out.assemble(rows, random).items()}
            drawn = network(batch["mels"], batch["face"]).float()
            collected["picture"].append(_distances(drawn, batch["target"]))
            if self._distillation is not None:
                collected["teacher"].append(_distances(drawn, self._distillation.teach(batch)[0]))
            if judge is not None:
                for name, losses in _sync_losses(judge, batch, drawn).items():
                    collected[name].append(losses)
        of_clip = self._held_out.windows[self._rows, 0]
        metrics = {name: estimate_mean(torch.cat(values), of_clip) for name, values in collected.items()}
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


def _distances(drawn: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean L1 distance of each window's pictures, float32 (B,), on the CPU."""
    return (drawn - wanted).abs().mean((1, 2, 3, 4)).cpu()


def _sync_losses(judge: SyncLoss, batch: Batch, drawn: Tensor) -> dict[str, Tensor]:
    """Return the expert's loss of each window, float32 (B,): as drawn, as filmed, and as drawn with another sound."""
    sound = batch["expert_mel"]
    pairs = {
        "sync": (sound, drawn),
        "real_sync": (sound, batch["target"]),
        "mismatch_sync": (sound.roll(1, 0), drawn),
    }
    return {
        name: torch.stack([binary_cross_entropy(chance, 1.0) for chance in judge.chances(mel, clips).cpu()])
        for name, (mel, clips) in pairs.items()
    }
