"""Mel window -> displacement of the lips, as a low-rank combination of lip shapes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lipforge.kernels.errors import ConfigError

HALF_RANGE = 4.0  # MelSpec.max_abs: log-mel lies in [-4, 4]


class ResidualBlock(nn.Module):
    """Two convolutions over time with a shortcut; ``stride`` 2 halves the columns and pools the shortcut."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(channels, channels, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm1d(channels)
        self.second = nn.Conv1d(channels, channels, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm1d(channels)
        self.shortcut = nn.AvgPool1d(2, ceil_mode=False) if stride == 2 else nn.Identity()
        nn.init.zeros_(self.second_norm.weight)  # a block starts as the identity

    def forward(self, x: Tensor) -> Tensor:
        """Map float32 (B, channels, C) to (B, channels, C / stride)."""
        y = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.shortcut(x) + self.second_norm(self.second(y)))


class Audio2Lips(nn.Module):
    """Convolutions over the columns of a mel window, then a small perceptron onto lip shapes.

    Args:
        n_mels: mel bands M.
        columns: width C of the window in mel columns, a multiple of 4.
        points: lip points N.
        width: channels of the convolutions.
        hidden: width of the perceptron.
        components: number of lip shapes that are combined.
        dropout: share of the perceptron's inputs dropped in training.

    Raises:
        ConfigError: ``columns`` is no multiple of 4, or there are more components than coordinates.
    """

    def __init__(
        self,
        *,
        n_mels: int = 80,
        columns: int = 32,
        points: int = 40,
        width: int = 128,
        hidden: int = 256,
        components: int = 16,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if columns % 4 or not 0 < components <= 3 * points:
            raise ConfigError(
                f"audio2lips: columns={columns} must be a multiple of 4, components={components} at most {3 * points}."
            )
        self.points, self.components = points, components
        self.stem = nn.Conv1d(n_mels, width, 3, 1, 1, bias=False)
        self.stem_norm = nn.BatchNorm1d(width)
        self.blocks = nn.Sequential(
            ResidualBlock(width, 2), ResidualBlock(width, 1), ResidualBlock(width, 2), ResidualBlock(width, 1)
        )
        self.perceptron = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(width * (columns // 4), hidden),
            nn.ReLU(),
            nn.Linear(hidden, components),
        )
        self.shapes = nn.Linear(components, points * 3)

    def forward(self, mel: Tensor) -> Tensor:
        """Predict the lips at the window's time.

        Args:
            mel: float32 (B, M, C), log-mel in [-4, 4].

        Returns:
            float32 (B, N, 3), displacement from the closed, relaxed mouth in the head frame (``LipSpec``).
        """
        x = torch.relu(self.stem_norm(self.stem(mel / HALF_RANGE)))
        lips: Tensor = self.shapes(self.perceptron(self.blocks(x)))
        return lips.reshape(-1, self.points, 3)

    @torch.no_grad()
    def start_from_shapes(self, displacements: Tensor) -> None:
        """Set the last layer to the mean and the scaled principal components of training targets.

        Args:
            displacements: float32 (K, N, 3) with K > ``components``; deterministic for given values.
        """
        flat = displacements.reshape(len(displacements), -1).double()
        mean = flat.mean(0)
        values, vectors = torch.linalg.eigh((flat - mean).T @ (flat - mean) / len(flat))
        largest = vectors[:, -self.components :].flip(1)
        # The sign of an eigenvector is arbitrary and differs between libraries: make its largest entry positive.
        signs = largest.gather(0, largest.abs().argmax(0, keepdim=True)).sign()
        deviations = values[-self.components :].flip(0).clamp_min(1e-8).sqrt()
        self.shapes.weight.copy_(largest * signs * deviations)
        self.shapes.bias.copy_(mean)
