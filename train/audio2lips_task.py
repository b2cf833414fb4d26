"""The audio trainer: mel window -> displacement of the lips."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn

from lipforge.kernels.spec import AudioWindowSpec
from lipforge.train.audio2lips_data import Audio2LipsData, MelWindows, whole_clip
from lipforge.train.clips import Clip, load_clips
from lipforge.train.config import Audio2LipsConfig, as_plain
from lipforge.train.device import Device
from lipforge.train.losses import Audio2LipsLoss
from lipforge.train.metrics import estimate_correlation, estimate_mean, estimate_ratio
from lipforge.train.models.audio2lips import Audio2Lips
from lipforge.train.shards import Dataset
from lipforge.train.task import Batch, Loss, Networks, Task

SHAPE_FRAMES = 50_000  # frames that the lip shapes are computed from, spread over all clips


class Audio2LipsTask(Task):
    """Trains ``Audio2Lips`` on a dataset's sound and true lips.

    Raises:
        InputError: the dataset has no usable clips.
    """

    kind = "audio2lips"
    better = MappingProxyType({"error": "min", "gap_error": "min", "gap_correlation": "max"})

    def __init__(self, dataset: Dataset, config: Audio2LipsConfig) -> None:
        self.dataset, self.loop, self.config = dataset, config.loop, as_plain(config)
        window = AudioWindowSpec()
        self.specs = {"mel": dataset.mel, "window": window, "lips": dataset.lips}
        sizes = {"n_mels": dataset.mel.n_mels, "columns": window.columns, "points": dataset.lips.points}
        self.model_args = {**sizes, **self.config["model"]}
        training, self._held_out = load_clips(dataset, config.data.validation_share)
        self._windows = MelWindows(dataset.mel, window, dataset.fps)
        self._data = Audio2LipsData(
            training,
            self._windows,
            dataset.mel,
            config.data,
            batch_size=config.loop.batch_size,
            seed=config.loop.seed,
        )
        torch.manual_seed(config.loop.seed)
        network = Audio2Lips(**self.model_args)
        network.start_from_shapes(_spread_frames(training))
        self.networks = {self.kind: network}
        self._loss = Audio2LipsLoss(config.loss, dataset.lips)
        self._closed_gap = config.loss.closed_gap

    def batch(self, step: int) -> Batch:
        """Make the training batch of a step (``Audio2LipsData.batch``)."""
        return self._data.batch(step)

    def losses(self, networks: Networks, batch: Batch) -> Iterator[Loss]:
        """Yield the one loss of the network."""
        predicted = networks[self.kind](batch["mel"]).float().reshape(batch["lips"].shape)
        parts = self._loss.to(predicted.device)(predicted, batch["lips"])
        yield Loss(self.kind, parts["total"], parts)

    @torch.no_grad()
    def validate(self, network: nn.Module, device: Device) -> dict[str, float]:
        """Measure held-out clips, untouched, frame by frame.

        Returns:
            ``error`` and ``gap_error``, mean absolute error of displacements and of the widest opening in head-frame
            units (crop px); ``rest_error``, that of lips that never move; ``gap_correlation`` of the opening over all
            frames; ``closed_share``, how many of the shut frames come out shut; ``velocity_ratio``, predicted over true
            mean change of the opening between frames (1 is neither jittery nor sluggish). All with intervals.
        """
        predictions, truths = [], []
        for clip in self._held_out:
            batch = whole_clip(clip, self._windows)
            predictions.append(network(batch["mel"].to(device.torch_device)).float().cpu())
            truths.append(batch["lips"])
        loss = self._loss.cpu()
        gaps = [loss.gaps(clip).amax(-1) for clip in predictions]
        true_gaps = [loss.gaps(clip).amax(-1) for clip in truths]
        predicted, truth, gap, true_gap = (torch.cat(part) for part in (predictions, truths, gaps, true_gaps))
        of_frame = torch.repeat_interleave(torch.tensor([len(clip) for clip in truths]))
        shut = true_gap < self._closed_gap
        metrics: dict[str, float] = {
            "error": estimate_mean((predicted - truth).abs().mean((1, 2)), of_frame),
            "rest_error": estimate_mean(truth.abs().mean((1, 2)), of_frame),
            "gap_error": estimate_mean((gap - true_gap).abs(), of_frame),
            "gap_correlation": estimate_correlation(gap, true_gap, of_frame),
            "velocity_ratio": estimate_ratio(_changes(gaps), _changes(true_gaps).clamp_min(1e-12)),
        }
        if shut.any():
            closed = (gap[shut] < 2.0 * self._closed_gap).float()
            metrics["closed_share"] = estimate_mean(closed, of_frame[shut])
        return metrics


def _spread_frames(clips: list[Clip]) -> Tensor:
    lips = np.concatenate([clip.lips for clip in clips])
    return torch.from_numpy(lips[:: max(1, len(lips) // SHAPE_FRAMES)].copy())


def _changes(clips: list[Tensor]) -> Tensor:
    """Return the sum of absolute changes between frames of each clip, float32 (clips,)."""
    return torch.stack([clip.diff().abs().sum() for clip in clips])
