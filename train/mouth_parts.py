"""What of the mouth's inside a picture shows: shares of its parts, and the seam where the lips meet."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional

from lipforge.kernels.spec import MouthPart
from lipforge.train.models.warp import PARTS, WarpNet, WarpOutputs, resize_box

#: Area in crop px^2 about a shut mouth's seam, 20 px long and 1 high: smaller differences weigh no more than they are.
SEAM_AREA_PX = 20.0


def part_shares(parts: Tensor, size_px: int) -> Tensor:
    """Return how much of every crop pixel each part fills, float32 (B, P, S, S), from labels uint8 (B, kS, kS)."""
    one_hot = functional.one_hot(parts.long(), PARTS).permute(0, 3, 1, 2).float()
    return functional.avg_pool2d(one_hot, parts.shape[-1] // size_px)


def part_error(network: WarpNet, outputs: WarpOutputs, parts: Tensor) -> Tensor:
    """Return the mean cross entropy of the parts in the mouth's box, on the grid of the labels, uint8 (B, kS, kS).

    Args:
        network: whose outputs they are.
        outputs: what it said.
        parts: true ``MouthPart``.
    """
    factor = parts.shape[-1] // network.size_px
    logits = resize_box(outputs.parts, network.box(1), factor)
    left, top, right, bottom = network.box(factor)
    still = factor * network.still_px
    return functional.cross_entropy(logits, parts[:, still + top : still + bottom, left:right].long())


def between_lips(parts: Tensor, size_px: int) -> Tensor:
    """Return how much of every crop pixel lies between the lips, float32 (B, 1, S, S), from uint8 (B, kS, kS)."""
    return functional.avg_pool2d((parts != MouthPart.OUTSIDE)[:, None].float(), parts.shape[-1] // size_px)


def seam_error(shown: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    """Return by how much of its area the mouth's opening is wrong, (B,): 0 is right, 1 is all of it.

    A mouth that is told to shut and stays open by a slit has hardly an error in its pixels or its flow, but all of its
    opening is wrong. Every pair counts alike, however large its mouth: the area is divided by what reference and target
    show between their lips.

    Args:
        shown: float32 (B, 1, S, S) in [0, 1], how much of every pixel of the output shows what lies between the lips:
            ``between_lips`` of the reference, composited as its picture is, ``WarpNet.inside_share`` being the paint.
        batch: ``parts`` and ``reference_parts``, uint8 (B, kS, kS).
    """
    size_px = shown.shape[-1]
    wanted, before = between_lips(batch["parts"], size_px), between_lips(batch["reference_parts"], size_px)
    whole = (wanted + before).sum((1, 2, 3)) + SEAM_AREA_PX
    return (shown - wanted).abs().sum((1, 2, 3)) / whole
