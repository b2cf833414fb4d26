"""The trainer of the sync expert."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from lipforge.kernels.errors import ConfigError
from lipforge.kernels.spec import MelChunkSpec
from lipforge.train.config import as_plain
from lipforge.train.device import Device
from lipforge.train.face_clips import FaceSet
from lipforge.train.metrics import estimate_mean
from lipforge.train.models.syncnet import KIND, SyncNet
from lipforge.train.sync_curve import EmbeddedClip, draw_curve, sync_curve
from lipforge.train.sync_data import SyncData, mismatches
from lipforge.train.task import Batch, Loss, Networks, Task
from lipforge.train.wav2lip_config import SyncNetConfig
from lipforge.train.wav2lip_losses import binary_cross_entropy, sync_chances

VALIDATION_BATCH = 64
VALIDATION_STREAM = 5
CURVE_CLIPS = 16
CURVE_WINDOWS = 128  # of a clip
LONGEST_SHIFT_FRAMES = 15


class SyncNetTask(Task):
    """Trains ``SyncNet`` to tell matching sound and mouths from shifted ones.

    Raises:
        InputError: the folder has no usable windows.
    """

    kind = KIND
    better = MappingProxyType({"loss": "min", "accuracy": "max"})

    def __init__(self, dataset: FaceSet, config: SyncNetConfig) -> None:
        self.dataset, self.loop, self.config = dataset, config.loop, as_plain(config)
        chunk = MelChunkSpec(offset_frames=0)
        self.specs = {"mel": dataset.mel, "mel_chunk": chunk, "face_box": dataset.face_box}
        self.model_args = self.config["model"]
        torch.manual_seed(config.loop.seed)
        self.networks = {self.kind: SyncNet(**self.model_args)}
        self._contrast = config.loss
        if config.loss.contrast > 0.0 and config.data.windows_a_clip == 1:
            raise ConfigError("loss.contrast needs data.windows_a_clip above 1: it chooses among a clip's windows.")
        batches: dict[str, Any] = {
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
            ``loss``, the mean of both (chance is 0.69, the published target 0.25); ``matching_loss`` and
            ``mismatch_loss``; ``accuracy`` at 0.5. All with intervals over clips.
        """
        sides = {name: self._judge(network, device, name == "matching") for name in ("matching", "mismatch")}
        losses = {name: _cross_entropies(chances, name == "matching") for name, chances in sides.items()}
        right = ((sides["matching"] > 0.5).float() + (sides["mismatch"] <= 0.5).float()) / 2.0
        clips = self._held_out.windows[self._rows, 0]
        return {
            "loss": estimate_mean((losses["matching"] + losses["mismatch"]) / 2.0, clips),
            "matching_loss": estimate_mean(losses["matching"], clips),
            "mismatch_loss": estimate_mean(losses["mismatch"], clips),
            "accuracy": estimate_mean(right, clips),
        }

    @torch.no_grad()
    def images(self, network: nn.Module, device: Device) -> dict[str, Tensor]:
        """Draw how alike sound and mouths look to the expert when one is shifted against the other."""
        curve = sync_curve(self._embed_clips(network, device), LONGEST_SHIFT_FRAMES)
        return {"cosine against shift of the sound": draw_curve(curve)}

    def _embed_clips(self, network: nn.Module, device: Device) -> list[EmbeddedClip]:
        """Embed every window of some held-out clips."""
        windows = self._held_out.windows
        clips = np.unique(windows[:, 0])
        chosen = clips[np.unique(np.linspace(0, len(clips) - 1, CURVE_CLIPS).astype(np.int64))]
        embedded = []
        for clip in chosen:
            rows = np.flatnonzero(windows[:, 0] == clip)[:CURVE_WINDOWS]
            parts = [
                self._embed(network, device, rows[first : first + VALIDATION_BATCH])
                for first in range(0, len(rows), VALIDATION_BATCH)
            ]
            sound, mouths = (torch.cat(side) for side in zip(*parts, strict=True))
            embedded.append(EmbeddedClip(windows[rows, 1], sound, mouths))
        return embedded

    def _embed(self, network: nn.Module, device: Device, rows: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        batch = self._held_out.assemble(rows, np.full(len(rows), True), np.random.default_rng(0))
        sound, mouths = network(*(batch[name].to(device.torch_device) for name in ("mel", "frames")))
        return sound.float().cpu(), mouths.float().cpu()

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
