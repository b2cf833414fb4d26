"""The warp generator: reference crop + lip planes -> flow, mask and colour (variant D: pure geometry drive).

A U-Net at 48, 24, 12 and 6 px with a light head at full size. It looks at the crop from the nose down only: nothing
above moves, and a third of the work is saved. BatchNorm folds into the convolutions at export; no GridSample is in the
graph, because moving pixels is the compositor's job at the video's own resolution.

What the reference does not show is painted by parts: the network says how likely a place is skin, teeth, the dark or
the tongue, and what colour each of these has there. A colour by itself would be the mean of what could be there, and
between teeth and the dark that is a soft grey. The shares are upsampled before they are sharpened, so that the edge
between two parts is crisper than the network's own grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipforge.kernels.errors import ConfigError
from lipforge.kernels.spec import MouthPart

FLOW_UNIT_PX = 8.0  # the heads predict flow in units of 8 crop px, so that their outputs are of order one
FINE_SHARE = 0.3  # the full-size head only corrects the coarse flow; a small share keeps early training smooth
MASK_START = -2.0  # logit: a fresh network paints almost nothing
TOP_FADE_PX = 6  # flow and mask fade in over these rows below the still part, so that no edge can show
PLANES = 3 + 2 + 2 + 2  # RGB, lips of the reference, lips wanted, coordinates
PARTS = len(MouthPart)
SHARPNESS = 6.0  # of the shares at use; 1 would be what the cross entropy trains
LARGEST_LOGIT = 9.0  # of a part: the sum of four exponentials stays within float16
# Where a mouth's inside can lie, as shares of the crop: left, top, right, bottom. On 96 px: (20, 40, 76, 84).
MOUTH_BOX = (20 / 96, 40 / 96, 76 / 96, 84 / 96)


class WarpOutputs(NamedTuple):
    """What the network says, at its own sizes; ``WarpNet.fields`` turns it into what the compositor takes.

    Attributes:
        flow: float32 (B, 2, h, S), crop px; h = S - still_px, rows from ``still_px`` on.
        mask: (B, 1, h, S), logits of the painted share.
        parts: (B, P, h, S), logits of ``MouthPart``.
        palette: (B, 3 P, h / 2, S / 2), the RGB of every part, logits.
    """

    flow: Tensor
    mask: Tensor
    parts: Tensor
    palette: Tensor


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

    Attributes:
        frozen: names of modules that do not learn; see ``freeze``.

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
        self.frozen: tuple[str, ...] = ()
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
        self.low = _zero_conv(decoder[-1], 2 + 3 * PARTS)  # coarse flow, palette
        self.expand = nn.ConvTranspose2d(decoder[-1], head, 2, 2)
        # With one plane more, how the opening changes: channels in eights are what fast convolutions want.
        self.fine = ConvBlock(head + PLANES - 1, head)
        self.out = _zero_conv(head, 3 + PARTS)
        self.out.bias = nn.Parameter(torch.tensor([0.0, 0.0, MASK_START, 1.0, *[0.0] * (PARTS - 1)]))
        self.register_buffer("coordinates", _coordinate_planes(size_px)[:, :, still_px:], persistent=False)
        rows = torch.arange(size_px - still_px, dtype=torch.float32)
        self.register_buffer("fade", (rows / TOP_FADE_PX).clamp(max=1.0).view(1, 1, -1, 1), persistent=False)

    def freeze(self, names: Sequence[str]) -> None:
        """Keep modules as they are: their weights, and the statistics of their norms.

        Raises:
            ConfigError: there is no such module.
        """
        known = dict(self.named_modules())
        for name in names:
            if name not in known:
                raise ConfigError(
                    f"warp: no module {name!r} to freeze; the largest are {[n for n in known if n.count('.') < 2][1:]}."
                )
            known[name].requires_grad_(False)
        self.frozen = tuple(names)

    def train(self, mode: bool = True) -> WarpNet:
        """Set the mode of all modules but the frozen ones, which always evaluate."""
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).eval()
        return self

    def forward(self, reference: Tensor, reference_lips: Tensor, target_lips: Tensor) -> WarpOutputs:
        """Predict how the reference's pixels move so that its lips become the wanted ones.

        Args:
            reference: float32 (B, 3, S, S), RGB in [0, 1].
            reference_lips: float32 (B, 2, S, S) in [0, 1], filled outer and inner contour seen in the reference.
            target_lips: float32 (B, 2, S, S) in [0, 1], the same of the wanted mouth.
        """
        planes = torch.cat([reference - 0.5, reference_lips, target_lips], 1)[:, :, self.still_px :]
        y = self._unet(planes)
        change = planes[:, 6:7] - planes[:, 4:5]
        z = self.out(self.fine(torch.cat([self.expand(y), planes, change], 1)))
        low = self.low(y)
        coarse = resize(low[:, :2], (self.size_px - self.still_px, self.size_px))
        flow = (coarse + FINE_SHARE * z[:, :2]) * (FLOW_UNIT_PX * self.fade)
        return WarpOutputs(flow, z[:, 2:3], z[:, 3:], low[:, 2:])

    def fields(self, outputs: WarpOutputs, factor: int = 1) -> tuple[Tensor, Tensor, Tensor]:
        """Make what the compositor takes, on a grid of ``factor`` px to a crop px.

        Args:
            outputs: of ``forward``.
            factor: k, a whole number of at least 1.

        Returns:
            flow float32 (B, 2, kS, kS) in px of the grid, mask (B, 1, kS, kS) in [0, 1], colour (B, 3, kS, kS) RGB in
            [0, 1].
        """
        size = (factor * (self.size_px - self.still_px), factor * self.size_px)
        mask = torch.sigmoid(resize(outputs.mask, size)) * resize(self.fade, (size[0], 1))
        colours = torch.sigmoid(outputs.palette)
        inside = self._inside(resize_box(outputs.parts, self.box(1), factor), colours, factor)
        left, top, right, bottom = self.box(factor)
        colour = resize(colours[:, :3], size) + functional.pad(inside, (left, size[1] - right, top, size[0] - bottom))
        return (
            self._whole(resize(outputs.flow, size) * factor, factor),
            self._whole(mask, factor),
            self._whole(colour, factor),
        )

    def box(self, factor: int) -> tuple[int, int, int, int]:
        """Return ``MOUTH_BOX`` (left, top, right, bottom) in px of a grid of ``factor``, below the still rows."""
        left, top, right, bottom = (2 * round(share * self.size_px / 2) for share in MOUTH_BOX)
        top, bottom = max(top - self.still_px, 0), bottom - self.still_px
        return left * factor, top * factor, right * factor, bottom * factor

    def _inside(self, parts: Tensor, colours: Tensor, factor: int) -> Tensor:
        """How the colour of the box (B, 3, kh', kw') differs from that of the skin."""
        strengths = _strengths(parts)
        left, top, right, bottom = (edge // 2 for edge in self.box(1))
        painted, whole = strengths[:, :1] * 0.0, strengths[:, :1]
        for part in range(1, PARTS):
            difference = resize_box(
                colours[:, 3 * part : 3 * part + 3] - colours[:, :3], (left, top, right, bottom), 2 * factor
            )
            strength = strengths[:, part : part + 1]
            painted, whole = painted + strength * difference, whole + strength
        return painted / whole

    def inside_share(self, outputs: WarpOutputs) -> Tensor:
        """Return how much of the paint is no skin, float32 (B, 1, S, S) in [0, 1], by the shares that are used."""
        left, top, right, bottom = self.box(1)
        strengths = _strengths(outputs.parts[:, :, top:bottom, left:right])
        inside = 1.0 - strengths[:, :1] / strengths.sum(1, keepdim=True)
        margins = (left, self.size_px - right, top, self.size_px - self.still_px - bottom)
        return self._whole(functional.pad(inside, margins), 1)

    def _whole(self, lower: Tensor, factor: int) -> Tensor:
        """Put zeros above (B, C, k (S - still_px), kS) to fill the crop."""
        return functional.pad(lower, (0, 0, factor * self.still_px, 0))

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


def resize(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """Upsample (B, C, H, W) bilinearly to ``size``, as the compositor does."""
    if (planes.shape[-2], planes.shape[-1]) == size:
        return planes
    return functional.interpolate(planes, size=size, mode="bilinear", align_corners=False)


def resize_box(planes: Tensor, box: tuple[int, int, int, int], factor: int) -> Tensor:
    """Cut the box (left, top, right, bottom) out of (B, C, H, W) and upsample it by ``factor``."""
    left, top, right, bottom = box
    return resize(planes[:, :, top:bottom, left:right], ((bottom - top) * factor, (right - left) * factor))


def _strengths(parts: Tensor) -> Tensor:
    """Turn logits (B, P, h, w) into shares up to their sum: a softmax, spelt out.

    Over so few channels that is several times faster, and its clamp suits half precision.
    """
    return torch.exp((parts * SHARPNESS).clamp(-LARGEST_LOGIT, LARGEST_LOGIT))


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
