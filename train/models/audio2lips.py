"""Mel window -> displacement of the lips, as a low-rank combination of lip shapes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lipforge.kernels.errors import ConfigError

HALF_RANGE = 4.0  # MelSpec.max_abs: log-mel lies in [-4, 4]
PATCH_COLUMNS = 4  # 50 ms: what the first layer joins; a run of windows moves on by as much
_CONTEXT = 3  # patches that each of the two layers of context joins


class Audio2Lips(nn.Module):
    """Convolutions over patches of mel columns, then a small perceptron onto lip shapes.

    Nothing is padded: a window's output depends on the window alone, so that a run of windows, each ``PATCH_COLUMNS``
    after the one before, is one pass over the mel between them. In training that is eight times cheaper than windows
    one by one.

    Args:
        n_mels: mel bands M.
        columns: width C of the window in mel columns, a multiple of 4, at least 20.
        points: lip points N.
        width: channels of the convolutions.
        hidden: width of the perceptron.
        components: number of lip shapes that are combined.
        dropout: share of the perceptron's inputs dropped in training.

    Raises:
        ConfigError: ``columns`` cannot be cut into patches, or there are more components than coordinates.
    """

    def __init__(
        self,
        *,
        n_mels: int = 80,
        columns: int = 32,
        points: int = 40,
        width: int = 256,
        hidden: int = 384,
        components: int = 20,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        patches = columns // PATCH_COLUMNS - 2 * (_CONTEXT - 1)
        if columns % PATCH_COLUMNS or patches < 1 or not 0 < components <= 3 * points:
            raise ConfigError(
                f"audio2lips: columns={columns} must be a multiple of {PATCH_COLUMNS} from 20 on, "
                f"components={components} at most {3 * points}."
            )
        self.points, self.components = points, components
        self.trunk = nn.Sequential(
            *_layer(n_mels, width, PATCH_COLUMNS, PATCH_COLUMNS),
            *_layer(width, width, _CONTEXT),
            *_layer(width, width, _CONTEXT),
        )
        self.perceptron = nn.Sequential(
            nn.Dropout(dropout),
            *_layer(width, hidden, patches),
            nn.Dropout(dropout),
            nn.Conv1d(hidden, components, 1),
        )
        self.shapes = nn.Linear(components, points * 3)

    def forward(self, mel: Tensor) -> Tensor:
        """Predict the lips at the time of a window, or of each window of a run.

        Args:
            mel: float32 (B, M, C), log-mel in [-4, 4]; C + 4 (K - 1) columns are a run of K windows.

        Returns:
            float32 (B * K, N, 3), displacement from the closed, relaxed mouth in the head frame (``LipSpec``).
        """
        mixture = self.perceptron(self.trunk(mel / HALF_RANGE))
        lips: Tensor = self.shapes(mixture.transpose(1, 2).reshape(-1, self.components))
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


def _layer(inputs: int, outputs: int, columns: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return nn.Conv1d(inputs, outputs, columns, stride, bias=False), nn.BatchNorm1d(outputs), nn.ReLU()
