"""What the Wav2Lip family is trained to do: to be in sync, to look real, and to be the right picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.train.models.wav2lip_blocks import lower_half, stack_frames

CHANCE_MARGIN = 1e-7  # keeps logarithms finite; float32 still tells 1 - 1e-7 from 1


def binary_cross_entropy(chances: Tensor, truth: Tensor | float) -> Tensor:
    """Return the mean cross-entropy of chances against labels, in float32.

    Spelt out because torch's own refuses autocast; equal to it for chances in [1e-7, 1 - 1e-7], and finite beyond,
    where rounding takes the cosine of equal vectors.

    Args:
        chances: any shape; clamped to [0, 1].
        truth: labels of the same shape, or one for all, in [0, 1].
    """
    safe = chances.float().clamp(CHANCE_MARGIN, 1.0 - CHANCE_MARGIN)
    return -(truth * safe.log() + (1.0 - truth) * torch.log1p(-safe)).mean()


def sync_chances(sound: Tensor, mouths: Tensor) -> Tensor:
    """Return the cosine of embeddings of length 1, float32 (B, E) each, clamped to [0, 1]: float32 (B,)."""
    return (sound.float() * mouths.float()).sum(1).clamp(0.0, 1.0)


class SyncLoss(nn.Module):
    """How far a frozen expert thinks that drawn mouths are from the sound.

    The expert stays in eval mode whatever mode this module is put into: with batch statistics its opinion of a clip
    would depend on the other clips of the batch, and its running ones would drift towards drawn faces. Its weights
    take no gradient; the frames do.

    Args:
        expert: a trained ``SyncNet``; changed in place.
    """

    def __init__(self, expert: nn.Module) -> None:
        super().__init__()
        self.expert = expert.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> SyncLoss:
        """Set the mode of this module, but not of the expert."""
        super().train(mode)
        self.expert.eval()
        return self

    def forward(self, mel: Tensor, clips: Tensor) -> Tensor:
        """Return the mean cross-entropy of "in sync".

        Args:
            mel: float32 (B, 1, 80, 16), the window that starts with the first frame.
            clips: float32 (B, 3, 5, S, S), whole face crops, BGR in [0, 1].
        """
        return binary_cross_entropy(self.chances(mel, clips), 1.0)

    def chances(self, mel: Tensor, clips: Tensor) -> Tensor:
        """Return the chance of each clip to be in sync, float32 (B,); arguments as in ``forward``."""
        return sync_chances(*self.expert(mel, stack_frames(lower_half(clips))))


def _cross_entropy_of_logits(logits: Tensor, truth: float) -> Tensor:
    """Return the same for what the chances are the logistic function of: its gradient is never lost to rounding."""
    logits = logits.float()
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, truth))


def perceptual_loss(critic: nn.Module, drawn: Tensor) -> Tensor:
    """Return how little a critic takes drawn frames for real ones; on whatever device the frames are.

    Args:
        critic: ``QualityDiscriminator``. Gradients reach its weights too; step only the generator's.
        drawn: float32 (B, 3, T, 96, 96), BGR in [0, 1].
    """
    return _cross_entropy_of_logits(critic(drawn, as_logits=True), 1.0)


def critic_losses(critic: nn.Module, real: Tensor, drawn: Tensor) -> dict[str, Tensor]:
    """Return the two halves of a critic's loss; it makes one step from their sum.

    Args:
        critic: ``QualityDiscriminator``.
        real: float32 (B, 3, T, 96, 96), BGR in [0, 1].
        drawn: the same by the generator; cut off from it.
    """
    return {
        "critic_real": _cross_entropy_of_logits(critic(real, as_logits=True), 1.0),
        "critic_drawn": _cross_entropy_of_logits(critic(drawn.detach(), as_logits=True), 0.0),
    }


@dataclass(frozen=True)
class GeneratorWeights:
    """Shares of the generator's loss; the picture gets what the others leave.

    Attributes:
        sync: share of the expert's opinion, in [0, 1].
        adversary: share of the critic's opinion, in [0, 1]; 0.07 as published, 0 without a critic.
    """

    sync: float
    adversary: float = 0.0

    def __post_init__(self) -> None:
        if min(self.sync, self.adversary) < 0.0 or self.sync + self.adversary > 1.0:
            raise ConfigError(
                f"sync={self.sync}, adversary={self.adversary}; both must be 0 or more and their sum at most 1."
            )

    def mix(self, picture: Tensor, sync: Tensor | None = None, adversary: Tensor | None = None) -> dict[str, Tensor]:
        """Return the weighted terms and their ``total``.

        Args:
            picture: L1 distance to the true frames.
            sync: ``SyncLoss``, or None without an expert.
            adversary: ``perceptual_loss``, or None without a critic.
        """
        terms = {"picture": (1.0 - self.sync - self.adversary) * picture}
        if sync is not None:
            terms["sync"] = self.sync * sync
        if adversary is not None:
            terms["adversary"] = self.adversary * adversary
        return {"total": torch.stack(list(terms.values())).sum(), **terms}


class SyncWeight:
    """The share of the sync loss: 0 until the generator draws mouths that the expert can judge, then ``share``.

    As published it switches when an evaluation's sync loss falls below ``threshold``, and never back. Its state belongs
    in the checkpoint: a resumed run would otherwise train without the expert until its next evaluation.

    Args:
        share: 0.01 without, 0.03 with a critic in the published trainers.
        threshold: 0.75 there.
    """

    def __init__(self, share: float, threshold: float = 0.75) -> None:
        if not 0.0 <= share <= 1.0:
            raise ConfigError(f"share of the sync loss {share}; it must be in [0, 1].")
        self._share, self._threshold = share, threshold
        self._active = False

    @property
    def value(self) -> float:
        """The share that counts now."""
        return self._share if self._active else 0.0

    def evaluated(self, sync_loss: float) -> bool:
        """Take note of an evaluation's mean sync loss and say whether the share is switched on."""
        self._active = self._active or sync_loss < self._threshold
        return self._active

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        return {"active": self._active}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` returned.

        Raises:
            InputError: it is something else.
        """
        if not isinstance(state.get("active"), bool):
            raise InputError(f"state of the sync weight is {state!r:.80}; the checkpoint is damaged.")
        self._active = state["active"]
