"""The trainer of the sync expert."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lipforge.kernels.errors import ConfigError
from lipforge.kernels.spec import MelChunkSpec
from lipforge.train.config import as_plain
from lipforge.train.device import Device
from lipforge.train.face_clips import FaceSet
from lipforge.train.models.syncnet import KIND, SyncNet
from lipforge.train.sync_data import SyncData, mismatches
from lipforge.train.task import Batch, Loss, Networks, Task
from lipforge.train.wav2lip_config import SyncNetConfig
from lipforge.train.wav2lip_losses import binary_cross_entropy, sync_chances

VALIDATION_BATCH = 64
VALIDATION_STREAM = 5
CONFIDENCE = 1.96  # standard errors on both sides of a mean that hold the true one 95 times in 100


class SyncNetTask(Task):
    """Trains ``SyncNet`` to tell matching sound and mouths from shifted ones.

    Raises:
        InputError: the folder has no usable windows.
    """

    kind = KIND

    def __init__(self, dataset: FaceSet, config: SyncNetConfig) -> None:
        self.dataset, self.loop, self.config = dataset, config.loop, as_plain(config)
        chunk = MelChunkSpec(offset_frames=0)
        self.specs = {"mel": dataset.mel, "mel_chunk": chunk}
        self.model_args = self.config["model"]
        torch.manual_seed(config.loop.seed)
        self.networks = {self.kind: SyncNet(**self.model_args)}
        self._contrast = config.loss
        if config.loss.contrast > 0.0 and config.data.windows_a_clip == 1:
            raise ConfigError("loss.contrast needs data.windows_a_clip above 1: it chooses among a clip's windows.")
        batches = {
            "windows_a_clip": config.data.windows_a_clip,
            "batch_size": config.loop.batch_size,
            "seed": config.loop.seed,
            "augment": config.data.augment,
        }
        self._training = SyncData(dataset.training, dataset.mel, chunk, dataset.fps, **batches)
        self._held_out = SyncData(dataset.held_out, dataset.mel, chunk, dataset.fps, **batches)
        skipped = Counter(dataset.skipped)
        skipped["too short"] = self._training.unused_clips + self._held_out.unused_clips
        self.notes = dataset.notes + tuple(
            f"{count} clips skipped: {reason}" for reason, count in skipped.items() if count
        )
        windows = min(config.data.validation_windows, len(self._held_out))
        # Spread over all held-out clips, the same in every run on this data.
        self._rows = np.unique(np.linspace(0, len(self._held_out) - 1, windows).astype(np.int64))

    def batch(self, step: int) -> Batch:
        """Make the training batch of a step (``SyncData.batch``)."""
        return self._training.batch(step)

    def rows_of_batch(self, step: int, rows: slice) -> Batch:
        """Make some rows of a step's batch, and no others: what one of several ranks trains on."""
        return self._training.batch(step, rows)

    def losses(self, networks: Networks, batch: Batch) -> Iterator[Loss]:
        """Yield the one loss of the expert."""
        sounds, mouths = networks[self.kind](batch["mel"], batch["frames"])
        if "window" in batch:
            parts = compare_all(sounds, mouths, batch["window"], self._contrast.contrast_scale)
        else:
            chances, matching = sync_chances(sounds, mouths), batch["matching"]
            right = ((chances > 0.5) == (matching > 0.5)).float().mean()
            parts = {"loss": binary_cross_entropy(chances, matching), "accuracy": right}
        total = parts["loss"]
        if self._contrast.contrast > 0.0:
            total = total + self._contrast.contrast * parts["contrast"]
        yield Loss(self.kind, total, parts)

    @torch.no_grad()
    def validate(self, network: nn.Module, device: Device) -> dict[str, float]:
        """Judge held-out windows with their own frames and with others.

        Returns:
            ``loss``, the mean of both (chance is 0.69, the published target 0.25), and ``loss_interval``, half the
            width of its 95 % confidence interval; ``matching_loss`` and ``mismatch_loss``; ``accuracy`` at 0.5.
        """
        sides = {name: self._judge(network, device, name == "matching") for name in ("matching", "mismatch")}
        losses = {name: _cross_entropies(chances, name == "matching") for name, chances in sides.items()}
        both = (losses["matching"] + losses["mismatch"]) / 2.0  # the two of a window are not independent
        right = torch.cat([sides["matching"] > 0.5, sides["mismatch"] <= 0.5])
        deviation = float(both.std(correction=1)) if len(both) > 1 else 0.0
        return {
            "loss": float(both.mean()),
            "loss_interval": CONFIDENCE * deviation / math.sqrt(len(both)),
            "matching_loss": float(losses["matching"].mean()),
            "mismatch_loss": float(losses["mismatch"].mean()),
            "accuracy": float(right.float().mean()),
        }

    def _judge(self, network: nn.Module, device: Device, matching: bool) -> Tensor:
        """Return the chances of being in sync, float32 (windows,)."""
        random = np.random.default_rng([self.loop.seed, VALIDATION_STREAM])
        chances = []
        for start in range(0, len(self._rows), VALIDATION_BATCH):
            rows = self._rows[start : start + VALIDATION_BATCH]
            batch = self._held_out.assemble(rows, np.full(len(rows), matching), random)
            inputs = [batch[name].to(device.torch_device) for name in ("mel", "frames")]
            chances.append(sync_chances(*network(*inputs)).cpu())
        return torch.cat(chances)


def _cross_entropies(chances: Tensor, matching: bool) -> Tensor:
    return torch.stack([binary_cross_entropy(chance, float(matching)) for chance in chances])


def compare_all(sounds: Tensor, mouths: Tensor, windows: Tensor, scale: float) -> dict[str, Tensor]:
    """Compare all sounds with all mouths of their clips.

    Args:
        sounds: float32 (B, E), embeddings of length 1.
        mouths: the same; those of a row belong together.
        windows: int64 (B, 2), clip and first frame of each.
        scale: of a cosine in the contrast.

    Returns:
        ``loss``, cross-entropy in which pairs that match and pairs that do not count alike, as published;
        ``contrast``, that of choosing the right mouth for a sound and the right sound for a mouth among those of the
        clip; ``accuracy``.
    """
    cosines, wrong = sounds.float() @ mouths.float().T, mismatches(windows)
    true, false = cosines.diagonal().clamp(0.0, 1.0), cosines[wrong].clamp(0.0, 1.0)
    loss = (binary_cross_entropy(true, 1.0) + binary_cross_entropy(false, 0.0)) / 2.0
    eligible = wrong | torch.eye(len(wrong), dtype=torch.bool, device=wrong.device)
    scores = (scale * cosines).masked_fill(~eligible, -torch.inf)
    right = torch.arange(len(scores), device=scores.device)
    contrast = (functional.cross_entropy(scores, right) + functional.cross_entropy(scores.T, right)) / 2.0
    accuracy = ((true > 0.5).float().mean() + (false <= 0.5).float().mean()) / 2.0
    return {"loss": loss, "contrast": contrast, "accuracy": accuracy}
