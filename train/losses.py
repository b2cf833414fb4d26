"""What the networks are trained to do."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipforge.kernels.spec import CropSpec, LipSpec
from lipforge.train.config import Audio2LipsLossConfig, WarpLossConfig
from lipforge.train.models.compositor import composite
from lipforge.train.models.warp import FLOW_UNIT_PX, PARTS, WarpNet, WarpOutputs, resize
from lipforge.train.mouth_parts import between_lips, part_error, part_shares, seam_error

SEEN_INSIDE = 0.2  # weight of a part of the mouth that the reference shows: nothing is painted there, but it teaches
MASK_MARGIN = 1e-4  # keeps the logarithm of the mask finite


class WarpLoss(nn.Module):
    """Photometric error of the composited crop plus supervision of flow, mask and paint by the renderer's truth.

    Flow supervision is decisive: without it the network paints instead of moving pixels. So is that of the paint's
    parts: without it the inside of an opening mouth is the mean of teeth and the dark, a soft grey.

    Args:
        weights: weight of each term.
        crop: the crop; the mouth's place follows from its template.
        border_px: width of the compositor's border ramp.
    """

    importance: Tensor

    def __init__(self, weights: WarpLossConfig, crop: CropSpec, border_px: float) -> None:
        super().__init__()
        self._weights, self._border_px = weights, border_px
        self.register_buffer("importance", mouth_importance(crop), persistent=False)

    def forward(self, network: WarpNet, outputs: WarpOutputs, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute the weighted terms and their sum.

        Args:
            network: whose outputs they are; it turns them into flow, mask and colour.
            outputs: what it said.
            batch: ``reference``, ``target``, ``flow``, ``visible``, ``seam``, ``parts`` and ``reference_parts`` as
                ``WarpData.batch`` makes them.

        Returns:
            Scalars by name; ``total`` is what to descend.
        """
        outputs = WarpOutputs(*(output.float() for output in outputs))
        flow, mask, colour = network.fields(outputs)
        target, visible, weights = batch["target"], batch["visible"], self._weights
        out = composite(batch["reference"], flow, mask, colour, self._border_px)
        # Where a shut target's lips meet, an error is a visible slit: it counts more there.
        importance = self.importance * (1.0 + weights.seam * batch["seam"])
        hidden = 1.0 - visible
        across, down = differences(flow)
        inside = between_lips(batch["reference_parts"], network.size_px)
        shown = composite(inside, flow, mask, network.inside_share(outputs), self._border_px)
        terms = {
            "pixel": weights.pixel * ((out - target).abs() * importance).mean(),
            "gradient": weights.gradient * gradient_error(out, target, importance),
            "flow": weights.flow * ((flow - batch["flow"]).abs() * (visible * self.importance)).mean() / FLOW_UNIT_PX,
            "mask": weights.mask * self._mask_error(mask, hidden),
            "colour": weights.colour * self._colour_error(network, outputs, batch),
            "parts": weights.parts * part_error(network, outputs, batch["parts"]),
            "opening": weights.opening * seam_error(shown, batch).mean(),
            "smoothness": (weights.smoothness / FLOW_UNIT_PX) * (across.abs().mean() + down.abs().mean()),
        }
        return {"total": torch.stack(list(terms.values())).sum(), **terms}

    def _colour_error(self, network: WarpNet, outputs: WarpOutputs, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean error of every part's colour over where that part is, most of all where the reference hides it.

        Hidden is about 1 % of the crop: a mean over the crop would hardly be learnt from.
        """
        still, size = network.still_px, network.size_px
        colours = resize(torch.sigmoid(outputs.palette), (size - still, size))
        target, hidden = batch["target"][:, :, still:], 1.0 - batch["visible"][:, :, still:]
        shares = part_shares(batch["parts"], size)[:, :, still:]
        total = torch.zeros((), device=target.device)
        for part in range(PARTS):
            seen = SEEN_INSIDE if part else 0.0
            share = shares[:, part : part + 1].square() * (seen + (1.0 - seen) * hidden) * self.importance[:, :, still:]
            error = (colours[:, 3 * part : 3 * part + 3] - target).abs()
            total = total + (error * share).sum() / (3.0 * share.sum() + 1.0)
        return total

    def _mask_error(self, mask: Tensor, hidden: Tensor) -> Tensor:
        # Spelt out: binary_cross_entropy refuses autocast, and the clamp keeps saturated outputs finite.
        safe = mask.clamp(MASK_MARGIN, 1.0 - MASK_MARGIN)
        return -((hidden * safe.log() + (1.0 - hidden) * (1.0 - safe).log()) * self.importance).mean()


class Audio2LipsLoss(nn.Module):
    """Smooth L1 on displacements, on the opening between the lips and on their change between moments.

    Args:
        weights: weight of each term.
        lips: order of the lip points.
    """

    upper: Tensor
    lower: Tensor

    def __init__(self, weights: Audio2LipsLossConfig, lips: LipSpec) -> None:
        super().__init__()
        self._weights = weights
        upper, lower = facing_points(lips)
        self.register_buffer("upper", upper, persistent=False)
        self.register_buffer("lower", lower, persistent=False)

    def forward(self, predicted: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Compute the weighted terms and their sum.

        Args:
            predicted: float32 (B, K, N, 3), displacements in runs of K > 1 moments.
            truth: the same of the data.

        Returns:
            Scalars by name; ``total`` is what to descend.
        """
        weights, beta = self._weights, self._weights.beta
        gaps, true_gaps = self.gaps(predicted), self.gaps(truth)
        # A closure that is missed reads as a wrong sound, an opening that is 10 % off does not.
        closed = true_gaps.amax(-1) < weights.closed_gap
        frame = torch.where(closed, weights.closed_weight, 1.0)
        point = functional.smooth_l1_loss(predicted, truth, beta=beta, reduction="none").mean((2, 3))
        gap = functional.smooth_l1_loss(gaps, true_gaps, beta=beta, reduction="none").mean(2)
        change, true_change = predicted.diff(dim=1), truth.diff(dim=1)
        terms = {
            "point": (point * frame).mean(),
            "gap": weights.gap * (gap * frame).mean(),
            "velocity": weights.velocity * functional.smooth_l1_loss(change, true_change, beta=beta),
        }
        return {"total": torch.stack(list(terms.values())).sum(), **terms}

    def gaps(self, displacements: Tensor) -> Tensor:
        """Return how far facing points of the inner contour part: (..., N, 3) -> (..., pairs), positive is open."""
        height = displacements[..., 1]
        return height[..., self.lower] - height[..., self.upper]


def facing_points(lips: LipSpec) -> tuple[Tensor, Tensor]:
    """Return the indices of upper and lower inner points that stand above each other, corners left out."""
    steps = torch.arange(1, lips.inner_points // 2)
    return lips.outer_points + steps, lips.outer_points + lips.inner_points - steps


def mouth_importance(crop: CropSpec) -> Tensor:
    """Return the weight map (1, 1, S, S): 3 around the mouth, 0.4 elsewhere (values of the judged prototype)."""
    axis = torch.arange(crop.size_px, dtype=torch.float32)
    y, x = axis[:, None], axis[None, :]
    scale = crop.size_px / 96.0  # centre and radii were chosen on a crop of 96 px
    return (0.4 + 2.6 * torch.exp(-(((y / scale - 58) / 20) ** 4) - ((x / scale - 48) / 24) ** 4))[None, None]


def differences(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return horizontal and vertical differences of neighbours of (B, C, H, W)."""
    return image[..., :, 1:] - image[..., :, :-1], image[..., 1:, :] - image[..., :-1, :]


def gradient_error(image: Tensor, target: Tensor, importance: Tensor) -> Tensor:
    """Return the weighted L1 distance of image gradients; it keeps edges and texture."""
    across, down = differences(image - target)
    return (across.abs() * importance[..., :, 1:]).mean() + (down.abs() * importance[..., 1:, :]).mean()
