"""The warp generator: reference crop + lip planes -> flow, mask and colour (variant D: pure geometry drive).

A U-Net at 48, 24, 12 and 6 px with a light head at full size. It looks at the crop from the nose down only: nothing
above moves, and a third of the work is saved. BatchNorm folds into the convolutions at export; no GridSample is in the
graph, because moving pixels is the compositor's job at the video's own resolution.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipforge.kernels.errors import ConfigError

FLOW_UNIT_PX = 8.0  # the heads predict flow in units of 8 crop px, so that their outputs are of order one
FINE_SHARE = 0.3  # the full-size head only corrects the coarse flow; a small share keeps early training smooth
MASK_START = -2.0  # logit: a fresh network paints almost nothing
TOP_FADE_PX = 6  # flow and mask fade in over these rows below the still part, so that no edge can show
PLANES = 3 + 2 + 2 + 2  # RGB, lips of the reference, lips wanted, coordinates


class ConvBlock(nn.Module):
    """3x3 convolution, BatchNorm, ReLU; with a shortcut where shapes allow it."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels_out)
        self.residual = channels_in == channels_out and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """Map float32 (B, channels_in, H, W) to (B, channels_out, H / stride, W / stride)."""
        y = functional.relu(self.norm(self.conv(x)))
        return x + y if self.residual else y


class WarpNet(nn.Module):
    """U-Net from a reference crop and two pairs of lip planes to flow, mask and colour.

    Args:
        size_px: side S of the crop, a multiple of 16.
        still_px: rows at the top of the crop that never change, a multiple of 16.
        encoder: channels at S/2, S/4, S/8 and S/16.
        decoder: channels at S/8, S/4 and S/2.
        head: channels of the full-size head.

    Raises:
        ConfigError: a size is no multiple of 16, or the numbers of widths are not 4 and 3.
    """

    coordinates: Tensor
    fade: Tensor

    def __init__(
        self,
        *,
        size_px: int = 96,
        still_px: int = 32,
        encoder: Sequence[int] = (24, 48, 96, 128),
        decoder: Sequence[int] = (96, 48, 32),
        head: int = 16,
    ) -> None:
        super().__init__()
        if size_px % 16 or still_px % 16 or not 0 <= still_px < size_px:
            raise ConfigError(f"warp: size_px={size_px} and still_px={still_px} must be multiples of 16, still < size.")
        if len(encoder) != 4 or len(decoder) != 3:
            raise ConfigError(f"warp: encoder={list(encoder)} needs 4 widths, decoder={list(decoder)} needs 3.")
        self.size_px, self.still_px = size_px, still_px
        widths = [PLANES, *encoder]
        self.down = nn.ModuleList(
            nn.Sequential(ConvBlock(before, width, 2), ConvBlock(width, width))
            for before, width in zip(widths, encoder, strict=False)
        )
        self.middle = ConvBlock(encoder[-1], encoder[-1])
        below = [encoder[-1], *decoder]
        self.up = nn.ModuleList(
            nn.Sequential(ConvBlock(under + skip, width), ConvBlock(width, width))
            for under, skip, width in zip(below, list(encoder[:-1])[::-1], decoder, strict=False)
        )
        self.coarse_flow = _zero_conv(decoder[-1], 2)
        self.expand = nn.Conv2d(decoder[-1], head * 4, 1)
        self.fine = ConvBlock(head + PLANES - 2, head)
        self.out = _zero_conv(head, 6)
        self.out.bias = nn.Parameter(torch.tensor([0.0, 0.0, MASK_START, 0.0, 0.0, 0.0]))
        self.register_buffer("coordinates", _coordinate_planes(size_px)[:, :, still_px:], persistent=False)
        rows = torch.arange(size_px - still_px, dtype=torch.float32)
        self.register_buffer("fade", (rows / TOP_FADE_PX).clamp(max=1.0).view(1, 1, -1, 1), persistent=False)

    def forward(self, reference: Tensor, reference_lips: Tensor, target_lips: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Predict how the reference's pixels move so that its lips become the wanted ones.

        Args:
            reference: float32 (B, 3, S, S), RGB in [0, 1].
            reference_lips: float32 (B, 2, S, S) in [0, 1], filled outer and inner contour seen in the reference.
            target_lips: float32 (B, 2, S, S) in [0, 1], the same of the wanted mouth.

        Returns:
            flow float32 (B, 2, S, S) in crop px, mask (B, 1, S, S) in [0, 1], colour (B, 3, S, S) RGB in [0, 1].
        """
        planes = torch.cat([reference - 0.5, reference_lips, target_lips], 1)[:, :, self.still_px :]
        y = self._unet(planes)
        z = self.out(self.fine(torch.cat([functional.pixel_shuffle(self.expand(y), 2), planes], 1)))
        size = (self.size_px - self.still_px, self.size_px)
        coarse = functional.interpolate(self.coarse_flow(y), size=size, mode="bilinear", align_corners=False)
        flow = (coarse + FINE_SHARE * z[:, :2]) * (FLOW_UNIT_PX * self.fade)
        mask = torch.sigmoid(z[:, 2:3]) * self.fade
        return self._whole(flow), self._whole(mask), self._whole(torch.sigmoid(z[:, 3:6]))

    def _whole(self, lower: Tensor) -> Tensor:
        """Put zeros above (B, C, S - still_px, S) to fill the crop."""
        return functional.pad(lower, (0, 0, self.still_px, 0))

    def _unet(self, planes: Tensor) -> Tensor:
        x: Tensor = torch.cat([planes, self.coordinates.expand(len(planes), -1, -1, -1)], 1)
        skips = []
        for stage in self.down:
            x = stage(x)
            skips.append(x)
        x = self.middle(x)
        for stage, skip in zip(self.up, skips[-2::-1], strict=True):
            # size= because torch_npu has no scale_factor
            x = functional.interpolate(x, size=(skip.shape[2], skip.shape[3]), mode="nearest")
            x = stage(torch.cat([x, skip], 1))
        return x


def _zero_conv(channels_in: int, channels_out: int) -> nn.Conv2d:
    conv = nn.Conv2d(channels_in, channels_out, 3, 1, 1)
    nn.init.zeros_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def _coordinate_planes(size_px: int) -> Tensor:
    line = torch.linspace(-1.0, 1.0, size_px)
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y])[None]
