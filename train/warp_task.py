"""The warp trainer: pairs of crops -> flow, mask and colour."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn

from lipforge.kernels.spec import WarpSpec
from lipforge.train.config import WarpConfig, as_plain
from lipforge.train.device import Device
from lipforge.train.losses import WarpLoss, mouth_importance
from lipforge.train.metrics import estimate_mean
from lipforge.train.models.compositor import composite
from lipforge.train.models.warp import WarpNet, WarpOutputs
from lipforge.train.mouth_parts import between_lips, seam_error
from lipforge.train.pairs import load_pairs
from lipforge.train.shards import Dataset
from lipforge.train.task import Batch, Loss, Networks, Task
from lipforge.train.warp_data import WarpData, plane_area

SHEET_PAIRS = 8
VALIDATION_BATCH = 32


class WarpTask(Task):
    """Trains ``WarpNet`` on a dataset's pairs.

    Raises:
        InputError: the dataset has no usable pairs.
    """

    kind = "warp"
    better = MappingProxyType(
        {"psnr_db": "max", "closing_psnr_db": "max", "flow_error_px": "min", "left_open_px2": "min"}
    )
    dataset: Dataset

    def __init__(self, dataset: Dataset, config: WarpConfig) -> None:
        self.dataset, self.loop, self.config = dataset, config.loop, as_plain(config)
        self._warp = WarpSpec(factor=config.model.factor)
        self.specs = {"crop": dataset.crop, "lips": dataset.lips, "warp": self._warp}
        sizes = {name: value for name, value in self.config["model"].items() if name not in ("factor", "frozen")}
        self.model_args = {"size_px": dataset.crop.size_px, **sizes}
        torch.manual_seed(config.loop.seed)
        network = WarpNet(**self.model_args)
        network.freeze(config.model.frozen)
        self.networks = {self.kind: network}
        self._loss = WarpLoss(config.loss, dataset.crop, self._warp.border_px)
        training, held_out = load_pairs(dataset, config.data.validation_share)
        settings = {"batch_size": config.loop.batch_size, "seed": config.loop.seed}
        size_px = dataset.crop.size_px
        self._training = WarpData(training, dataset.lips, size_px, config.data, **settings)
        self._held_out = WarpData(held_out, dataset.lips, size_px, config.data, **settings)
        # Spread over all held-out heads, the same in every run on this data.
        self._rows = np.unique(np.linspace(0, len(held_out) - 1, config.data.validation_pairs).astype(np.int64))
        self._closed_area_px = config.data.closed_area_px

    def batch(self, step: int) -> Batch:
        """Make the training batch of a step (``WarpData.batch``)."""
        return self._training.batch(step)

    def losses(self, networks: Networks, batch: Batch) -> Iterator[Loss]:
        """Yield the one loss of the generator."""
        outputs = networks[self.kind](batch["seen"], batch["reference_lips"], batch["target_lips"])
        parts = self._loss.to(batch["target"].device)(self.networks[self.kind], outputs, batch)
        yield Loss(self.kind, parts["total"], parts)

    def typical_inputs(self, batches: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Make what the network sees in the first training batches."""
        for step in range(batches):
            batch = self.batch(step)
            yield batch["seen"], batch["reference_lips"], batch["target_lips"]

    @torch.no_grad()
    def validate(self, network: nn.Module, device: Device) -> dict[str, float]:
        """Measure held-out pairs.

        Returns:
            ``psnr_db`` of the composited crop around the mouth and ``copy_psnr_db`` of the untouched reference;
            ``closing_psnr_db`` of open references with a shut target; ``flow_error_px`` in visible pixels around the
            mouth; ``mask_error``, mean absolute difference to the hidden share; ``seam_error``, the wrong share of the
            mouth's opening; ``left_open_px2``, what stays open where open references should shut, crop px^2. All with
            intervals over heads.
        """
        collected: dict[str, list[Tensor]] = {}
        for start in range(0, len(self._rows), VALIDATION_BATCH):
            batch = self._held_out.plain_batch(self._rows[start : start + VALIDATION_BATCH])
            for name, values in self._measure(network, device, batch).items():
                collected.setdefault(name, []).append(values)
        joined = {name: torch.cat(values) for name, values in collected.items()}
        closing, heads = joined.pop("closing") > 0, self._held_out.heads[self._rows]
        left_open = joined.pop("open_area")
        of_pair = {name: values for name, values in joined.items() if not name.endswith("square")}
        of_pair["psnr_db"], of_pair["copy_psnr_db"] = _psnr_db(joined["square"]), _psnr_db(joined["copy_square"])
        metrics: dict[str, float] = {name: estimate_mean(values, heads) for name, values in of_pair.items()}
        if closing.any():
            for name, values in (("closing_psnr_db", of_pair["psnr_db"]), ("left_open_px2", left_open)):
                metrics[name] = estimate_mean(values[closing], heads[closing.numpy()])
        return metrics

    @torch.no_grad()
    def images(self, network: nn.Module, device: Device) -> dict[str, Tensor]:
        """Draw held-out pairs: rows of reference, output, target, mask."""
        rows = self._rows[np.linspace(0, len(self._rows) - 1, min(SHEET_PAIRS, len(self._rows))).astype(np.int64)]
        batch = self._held_out.plain_batch(rows)
        out, _, mask, _ = self._render(network, device, batch)
        columns = [batch["reference"], out, batch["target"], mask.expand(-1, 3, -1, -1)]
        sheet = torch.cat([torch.cat(list(column), 2) for column in columns], 1)
        return {"reference, output, target, mask": sheet.clamp(0.0, 1.0)}

    def _render(self, network: nn.Module, device: Device, batch: Batch) -> tuple[Tensor, ...]:
        """Return picture, flow, mask and what is shown between the lips."""
        inputs = [batch[name].to(device.torch_device) for name in ("reference", "reference_lips", "target_lips")]
        assert isinstance(network, WarpNet)
        outputs = WarpOutputs(*(output.float() for output in network(*inputs)))
        flow, mask, colour = network.fields(outputs)
        out = composite(inputs[0], flow, mask, colour, self._warp.border_px)
        inside = between_lips(batch["reference_parts"], network.size_px).to(device.torch_device)
        shown = composite(inside, flow, mask, network.inside_share(outputs), self._warp.border_px)
        return out.cpu(), flow.cpu(), mask.cpu(), shown.cpu()

    def _measure(self, network: nn.Module, device: Device, batch: Batch) -> dict[str, Tensor]:
        out, flow, mask, shown = self._render(network, device, batch)
        importance = mouth_importance(self.dataset.crop)
        mouth = importance / importance.sum()
        seen = mouth * batch["visible"]
        error_px = (flow - batch["flow"]).norm(dim=1, keepdim=True)
        shut = plane_area(batch["target_lips"][:, 1:]) < self._closed_area_px
        is_open = plane_area(batch["reference_lips"][:, 1:]) > 2.0 * self._closed_area_px
        return {
            "square": ((out - batch["target"]).square().mean(1, keepdim=True) * mouth).sum((1, 2, 3)),
            "copy_square": ((batch["reference"] - batch["target"]).square().mean(1, keepdim=True) * mouth).sum(
                (1, 2, 3)
            ),
            "flow_error_px": (error_px * seen).sum((1, 2, 3)) / seen.sum((1, 2, 3)).clamp_min(1e-6),
            "mask_error": ((mask - (1.0 - batch["visible"])).abs() * mouth).sum((1, 2, 3)),
            "seam_error": seam_error(shown, batch),
            "open_area": shown.sum((1, 2, 3)),
            "closing": (shut & is_open).float(),
        }


def _psnr_db(mean_squares: Tensor) -> Tensor:
    return -10.0 * mean_squares.clamp_min(1e-10).log10()
