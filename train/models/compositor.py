"""The compositor in torch: the differentiable twin of ``lipforge.kernels.warp``, pixel for pixel the same rule."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def composite(
    reference: Tensor,
    flow: Tensor,
    mask: Tensor,
    colour: Tensor,
    border_px: float,
    factor: int = 1,
) -> Tensor:
    """Warp the reference by the flow and blend the colour in, at ``factor`` times the crop's resolution.

    Args:
        reference: float32 (B, 3, S, S), or already (B, 3, kS, kS) for pixels of the source's own resolution; any range.
        flow: float32 (B, 2, S, S), x then y, in crop px: ``out(p) = reference(p + flow(p))``.
        mask: float32 (B, 1, S, S), in [0, 1].
        colour: float32 (B, 3, S, S), in the range of ``reference``.
        border_px: ``WarpSpec.border_px``, in crop px.
        factor: k, a whole number of at least 1.

    Returns:
        float32 (B, 3, kS, kS).
    """
    size = flow.shape[-1] * factor
    # Under autocast the network's outputs are half precision, too coarse for coordinates.
    flow, mask, colour = (planes.to(reference.dtype) for planes in (flow, mask, colour))
    ramp = border_ramp(size, border_px * factor, flow)
    flow = _resize(flow, size) * ramp * factor
    mask = _resize(mask, size) * ramp
    warped = functional.grid_sample(
        _resize(reference, size), _sampling_grid(flow), mode="bilinear", padding_mode="border", align_corners=False
    )
    return warped + mask * (_resize(colour, size) - warped)


def border_ramp(size: int, border_px: float, like: Tensor) -> Tensor:
    """Return the ramp of ``WarpSpec``: 0 at the square's edge, 1 from ``border_px`` on; (size, size), as ``like``."""
    position = torch.arange(size, device=like.device, dtype=like.dtype) + 0.5
    edge = torch.minimum(position, size - position)
    edge = torch.minimum(edge[:, None], edge[None, :])
    return (edge / border_px).clamp(max=1.0) if border_px > 0 else torch.ones_like(edge)


def _resize(planes: Tensor, size: int) -> Tensor:
    if planes.shape[-1] == size:
        return planes
    return functional.interpolate(planes, size=(size, size), mode="bilinear", align_corners=False)


def _sampling_grid(flow: Tensor) -> Tensor:
    """Turn a flow in px into grid_sample's coordinates, where -1 and 1 are the outer edges of the border pixels."""
    size = flow.shape[-1]
    centre = torch.arange(size, device=flow.device, dtype=flow.dtype)
    x = flow[:, 0] + centre[None, None, :]
    y = flow[:, 1] + centre[None, :, None]
    return (torch.stack([x, y], dim=-1) * 2.0 + 1.0) / size - 1.0
