"""The checkpoints of a bundle: one of each kind that its generator needs, trained with the same recipes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.kernels.spec import AudioWindowSpec, CropSpec, LipSpec, MelSpec, Spec, WarpSpec

if TYPE_CHECKING:
    from torch import nn

    from lipforge.train.checkpoint import Checkpoint

KINDS = ("audio2lips", "warp")
SpecT = TypeVar("SpecT", bound=Spec)


@dataclass(frozen=True)
class Recipe:
    """Every constant that a runtime of the networks has to obey."""

    fps: float
    mel: MelSpec
    window: AudioWindowSpec
    crop: CropSpec
    lips: LipSpec
    warp: WarpSpec


@dataclass(frozen=True)
class Sources:
    """The checkpoints that become a bundle.

    Attributes:
        checkpoints: by kind.
        recipe: what they agree on.
    """

    checkpoints: dict[str, Checkpoint]
    recipe: Recipe

    def networks(self) -> dict[str, nn.Module]:
        """Build the networks by kind, in eval mode, on the CPU.

        Raises:
            InputError: weights do not fit the network that their checkpoint describes.
        """
        from lipforge.train.checkpoint import build_model

        return {kind: build_model(checkpoint) for kind, checkpoint in self.checkpoints.items()}

    def describe(self) -> dict[str, Any]:
        """Return where the weights come from, JSON-ready and without paths."""
        return {
            kind: {"step": checkpoint.step, "dataset": checkpoint.dataset, "versions": checkpoint.versions}
            for kind, checkpoint in self.checkpoints.items()
        }


def read_sources(paths: Sequence[Path]) -> Sources:
    """Read one checkpoint of each kind, in any order.

    Raises:
        InputError: a path is no checkpoint, or a kind is missing or given twice.
        ConfigError: the checkpoints were trained with different recipes.
    """
    from lipforge.train.checkpoint import load_checkpoint

    checkpoints: dict[str, Checkpoint] = {}
    for path in paths:
        checkpoint = load_checkpoint(path)
        if checkpoint.kind not in KINDS:
            raise InputError(f"{path}: a checkpoint of kind {checkpoint.kind!r}; a bundle takes {' and '.join(KINDS)}.")
        if checkpoint.kind in checkpoints:
            raise InputError(
                f"two checkpoints of kind {checkpoint.kind}: {checkpoints[checkpoint.kind].path} and "
                f"{checkpoint.path}. Give one of {' and one of '.join(KINDS)}."
            )
        checkpoints[checkpoint.kind] = checkpoint
    for kind in KINDS:
        if kind not in checkpoints:
            raise InputError(
                f"no checkpoint of kind {kind}; got {', '.join(checkpoints) or 'nothing'}. "
                f"Train one with `lipforge train {kind}` and give its folder too."
            )
    # In one order, whichever they were given in: equal checkpoints give equal bundles.
    ordered = {kind: checkpoints[kind] for kind in KINDS}
    return Sources(ordered, _shared_recipe(ordered))


def _shared_recipe(checkpoints: dict[str, Checkpoint]) -> Recipe:
    audio, warp = checkpoints["audio2lips"], checkpoints["warp"]
    fps = audio.dataset.get("fps")
    if isinstance(fps, bool) or not isinstance(fps, int | float) or fps <= 0:
        raise InputError(
            f"{audio.path}: dataset.fps is {fps!r}; it must say at how many frames a second it was trained."
        )
    recipe = Recipe(
        fps=float(fps),
        mel=audio.spec("mel", MelSpec),
        window=audio.spec("window", AudioWindowSpec),
        crop=warp.spec("crop", CropSpec),
        lips=_agreed("lips", LipSpec, audio, warp),
        warp=warp.spec("warp", WarpSpec),
    )
    for name in sorted(set(audio.specs) & set(warp.specs) - {"lips"}):
        _agreed(name, type(getattr(recipe, name)), audio, warp)
    return recipe


def _agreed(name: str, kind: type[SpecT], first: Checkpoint, second: Checkpoint) -> SpecT:
    spec, other = first.spec(name, kind), second.spec(name, kind)
    if spec != other:
        ours, theirs = spec.to_dict(), other.to_dict()
        keys = [f"{key} ({ours[key]} and {theirs[key]})" for key in ours if ours[key] != theirs[key]]
        raise ConfigError(
            f"{first.path} and {second.path} disagree on {name}: {', '.join(keys)}. "
            "Train both on datasets with the same recipe."
        )
    return spec
