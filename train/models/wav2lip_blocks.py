"""Building blocks of the Wav2Lip family, with the names that its published checkpoints use.

A block keeps its layers in ``conv_block`` (0: convolution, 1: BatchNorm), so keys read ``...conv_block.0.weight``.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from lipforge.kernels.errors import ConfigError

Size = int | tuple[int, int]

FRAMES = 5  # consecutive frames that the expert judges at once, 0.2 s at 25 frames a second
LEAK = 0.01  # slope of the critic's LeakyReLU below zero
NORM_FLOOR = 1e-6  # shortest length that an embedding is divided by: a silent branch gives zeros, not NaN
AUDIO_STRIDES: tuple[Size, ...] = ((3, 1), 3, (3, 2))  # a window of 80 x 16 becomes 27 x 16, 9 x 6, 3 x 3


class Conv(nn.Module):
    """Convolution, BatchNorm, ReLU; with ``residual`` the input is added before the ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Size = 3,
        stride: Size = 1,
        padding: Size = 1,
        *,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, padding), nn.BatchNorm2d(outputs))
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """Map float32 (B, inputs, H, W) to (B, outputs, H', W'), not negative."""
        y: Tensor = self.conv_block(x)
        return functional.relu(y + x if self.residual else y)


class TransposedConv(nn.Module):
    """Transposed convolution, BatchNorm, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 2, padding: int = 1, output_padding: int = 1
    ) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ConvTranspose2d(inputs, outputs, kernel, stride, padding, output_padding), nn.BatchNorm2d(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map float32 (B, inputs, H, W) to (B, outputs, H', W'), not negative."""
        return functional.relu(self.conv_block(x))


class PlainConv(nn.Module):
    """Convolution and LeakyReLU without a norm: what the critic is made of."""

    def __init__(self, inputs: int, outputs: int, kernel: Size, stride: Size, padding: Size) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, padding))

    def forward(self, x: Tensor) -> Tensor:
        """Map float32 (B, inputs, H, W) to (B, outputs, H', W')."""
        return functional.leaky_relu(self.conv_block(x), LEAK)


def residuals(channels: int, count: int) -> list[Conv]:
    """Return ``count`` residual 3x3 blocks."""
    return [Conv(channels, channels, residual=True) for _ in range(count)]


def audio_encoder(channels: Sequence[int], repeats: Sequence[int], embedding: int) -> nn.Sequential:
    """Build the encoder of a mel window: float32 (B, 1, 80, 16) to (B, embedding, 1, 1).

    Args:
        channels: widths of the four stages.
        repeats: residual blocks at the end of each stage; the generator and the expert differ in the last.
        embedding: width of the result.
    """
    blocks: list[nn.Module] = [Conv(1, channels[0]), *residuals(channels[0], repeats[0])]
    for stride, before, width, count in zip(AUDIO_STRIDES, channels[:-1], channels[1:], repeats[1:], strict=True):
        blocks += [Conv(before, width, 3, stride, 1), *residuals(width, count)]
    blocks += [Conv(channels[-1], embedding, 3, 1, 0), Conv(embedding, embedding, 1, 1, 0)]
    return nn.Sequential(*blocks)


def check_sizes(kind: str, name: str, values: Sequence[int], count: int, least: int) -> None:
    """Refuse a constructor argument that is not ``count`` whole numbers of at least ``least``.

    Raises:
        ConfigError: it is not.
    """
    numbers = all(isinstance(value, int) and not isinstance(value, bool) and value >= least for value in values)
    if len(values) != count or not numbers:
        raise ConfigError(f"{kind}: {name}={list(values)}; it needs {count} whole numbers of {least} or more.")


def unit_length(vectors: Tensor) -> Tensor:
    """Scale vectors (B, E) to length 1, in float32.

    Written as a division because exporters know it at every opset, and the floor sits under the root, where a zero
    vector has a finite gradient.
    """
    vectors = vectors.float()
    squares = vectors.square().sum(1, keepdim=True).clamp_min(NORM_FLOOR**2)
    return vectors / squares.sqrt()


def lower_half(images: Tensor) -> Tensor:
    """Return the lower half of (..., H, W): mouth and chin of a face crop."""
    return images[..., images.shape[-2] // 2 :, :]


def fold_time(clips: Tensor) -> Tensor:
    """Turn (B, C, T, H, W) into (T * B, C, H, W), all first frames first, as published."""
    return clips.permute(2, 0, 1, 3, 4).flatten(0, 1)


def unfold_time(images: Tensor, frames: int) -> Tensor:
    """Undo ``fold_time``: (T * B, C, H, W) to (B, C, T, H, W)."""
    return images.reshape(frames, -1, *images.shape[1:]).permute(1, 2, 0, 3, 4)


def stack_frames(clips: Tensor) -> Tensor:
    """Turn (B, C, T, H, W) into (B, T * C, H, W), frame after frame: what the expert looks at."""
    return clips.transpose(1, 2).flatten(1, 2)
