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
from lipforge.kernels.spec import MelChunkSpec
from lipforge.train.config import as_plain
from lipforge.train.device import Device
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
        if not config.loss.expert:
            raise ConfigError("no sync expert: name a trained one with --syncnet-checkpoint-path.")
        expert = read_weights(Path(config.loss.expert), syncnet.KIND)
        chunk = MelChunkSpec(offset_frames=config.data.mel_offset_frames)
        expert_chunk = MelChunkSpec(offset_frames=expert.offset_frames or 0)
        self.specs = {"mel": dataset.mel, "mel_chunk": chunk}
        self.model_args = self.config["model"]
        self.networks = self._build(config)
        judge = build_network(syncnet.KIND, expert.model_args)
        judge.load_state_dict(expert.state_dict)
        self._sync_loss = SyncLoss(judge)
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

    def _build(self, config: Wav2LipConfig) -> Networks:
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
        return networks

    def batch(self, step: int) -> Batch:
        """Make the training batch of a step (``Wav2LipData.batch``)."""
        return self._training.batch(step)

    def rows_of_batch(self, step: int, rows: slice) -> Batch:
        """Make some rows of a step's batch, and no others: what one of several ranks trains on."""
        return self._training.batch(step, rows)

    def losses(self, networks: Networks, batch: Batch) -> Iterator[Loss]:
        """Yield the generator's loss, then the critic's if there is one: one step each."""
        drawn = networks[self.kind](batch["mels"], batch["face"]).float()
        critic = networks.get(quality_discriminator.KIND)
        share = self._sync_weight.value
        picture = (drawn - batch["target"]).abs().mean()
        # Without a share its value is still worth a look, but not a pass back through the expert.
        with torch.set_grad_enabled(share > 0.0):
            sync = self._sync_loss.to(drawn.device)(batch["expert_mel"], drawn)
        adversary = perceptual_loss(critic, drawn) if critic is not None else None
        parts = GeneratorWeights(share, self._adversary).mix(picture, sync, adversary)
        facts = {"picture": picture, "sync": sync} | ({} if adversary is None else {"adversary": adversary})
        yield Loss(self.kind, parts["total"], {"total": parts["total"], **facts})
        if critic is not None:
            halves = critic_losses(critic, batch["target"], drawn)
            yield Loss(quality_discriminator.KIND, halves["critic_real"] + halves["critic_drawn"], halves)

    @torch.no_grad()
    def validate(self, network: nn.Module, device: Device) -> dict[str, float]:
        """Measure held-out windows with seeded references, and tell the sync schedule.

        Returns:
            ``picture``, L1 distance to the true frames; ``sync``, the expert's loss of the drawn frames, and
            ``real_sync``, that of the true ones under the same expert; ``mismatch_sync``, that of drawn frames with the
            sound of another window, which stays high as long as the mouth follows its own sound. All with intervals
            over clips. ``sync_share``, which counts from now on.
        """
        random = np.random.default_rng([self.loop.seed, VALIDATION_STREAM])
        judge = self._sync_loss.to(device.torch_device)
        collected: dict[str, list[Tensor]] = defaultdict(list)
        for start in range(0, len(self._rows), VALIDATION_BATCH):
            rows = self._rows[start : start + VALIDATION_BATCH]
            batch = {k: v.to(device.torch_device) for k, v in self._held_out.assemble(rows, random).items()}
            drawn = network(batch["mels"], batch["face"]).float()
            collected["picture"].append((drawn - batch["target"]).abs().mean((1, 2, 3, 4)).cpu())
            sound = batch["expert_mel"]
            pairs = {
                "sync": (sound, drawn),
                "real_sync": (sound, batch["target"]),
                "mismatch_sync": (sound.roll(1, 0), drawn),
            }
            for name, (mel, clips) in pairs.items():
                chances = judge.chances(mel, clips).cpu()
                collected[name].append(torch.stack([binary_cross_entropy(chance, 1.0) for chance in chances]))
        of_clip = self._held_out.windows[self._rows, 0]
        metrics = {name: estimate_mean(torch.cat(values), of_clip) for name, values in collected.items()}
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
