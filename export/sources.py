"""The checkpoints of a bundle: those that its generator needs, trained with the same recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.kernels.spec import CropSpec, FaceBoxSpec, LipSpec, Spec
from lipforge.runtime.bundle import Bundle, shipped_bundles
from lipforge.runtime.manifest import CONTENTS, FILE_NAME, NO_GENERATOR, SPECS

if TYPE_CHECKING:
    from torch import nn

    from lipforge.train.checkpoint import Checkpoint

GENERATOR_OF: Mapping[tuple[str, ...], str] = {
    ("audio2lips", "warp"): "warp",
    ("wav2lip",): "inpaint",
    ("syncnet",): NO_GENERATOR,
    ("wav2lip-disc",): NO_GENERATOR,
}
"""The kinds of checkpoint that make a bundle together, and the generator that it then has."""

SpecT = TypeVar("SpecT", bound=Spec)


@dataclass(frozen=True)
class Sources:
    """The checkpoints that become a bundle.

    Attributes:
        checkpoints: by kind.
        generator: of the bundle, a key of ``CONTENTS``.
        fps: frames a second of the video that the audio network was trained on.
        specs: the recipes that they agree on, by key of ``SPECS``.
        kept: bundle whose graphs stand in for the kinds that have no checkpoint.
    """

    checkpoints: dict[str, Checkpoint]
    generator: str
    fps: float
    specs: dict[str, Spec]
    kept: Bundle | None = None

    @property
    def kept_kinds(self) -> tuple[str, ...]:
        """Kinds whose graph is taken from ``kept`` as it is."""
        return () if self.kept is None else tuple(k for k in self.kept.manifest.graphs if k not in self.checkpoints)

    def spec(self, key: str, kind: type[SpecT]) -> SpecT:
        """Return a recipe as its dataclass; ``read_sources`` has seen to it that it is there."""
        found = self.specs[key]
        assert isinstance(found, kind)
        return found

    def networks(self) -> dict[str, nn.Module]:
        """Build the networks by kind, in eval mode, on the CPU.

        Raises:
            InputError: weights do not fit the network that their checkpoint describes.
        """
        from lipforge.train.checkpoint import build_model

        return {kind: build_model(checkpoint) for kind, checkpoint in self.checkpoints.items()}

    def describe(self) -> dict[str, Any]:
        """Return where the weights come from, JSON-ready and without paths."""
        known = {} if self.kept is None else self.kept.manifest.source.get("checkpoints", {})
        kept = {kind: known[kind] for kind in self.kept_kinds if kind in known}
        return kept | {
            kind: {"step": checkpoint.step, "dataset": checkpoint.dataset, "versions": checkpoint.versions}
            for kind, checkpoint in self.checkpoints.items()
        }


def read_sources(paths: Sequence[Path]) -> Sources:
    """Read the checkpoints of a bundle, in any order; one path may be a bundle that gives the kinds that are missing.

    Raises:
        InputError: a path is neither, or a kind is missing, given twice or not part of the same bundle.
        ConfigError: the checkpoints were trained with different recipes.
    """
    from lipforge.train.checkpoint import load_checkpoint

    bundles = [path for path in paths if holds_bundle(path)]
    if len(bundles) > 1:
        raise InputError(f"two bundles, {bundles[0]} and {bundles[1]}: graphs can be kept from one only.")
    checkpoints: dict[str, Checkpoint] = {}
    for path in paths:
        if path in bundles:
            continue
        if path.suffix == ".pth" and path.is_file():
            raise InputError(f"{path}: a .pth file; turn it into a checkpoint with `lipforge train import` first.")
        checkpoint = load_checkpoint(path)
        if checkpoint.kind in checkpoints:
            raise InputError(
                f"two checkpoints of kind {checkpoint.kind}: {checkpoints[checkpoint.kind].path} and "
                f"{checkpoint.path}. Give one of each kind."
            )
        checkpoints[checkpoint.kind] = checkpoint
    if bundles:
        return _beside_bundle(checkpoints, Bundle.load(bundles[0]))
    kinds = _kinds_of_bundle(list(checkpoints))
    # In one order, whichever they were given in: equal checkpoints give equal bundles.
    ordered = {kind: checkpoints[kind] for kind in kinds}
    specs = _shared_specs(ordered, GENERATOR_OF[kinds])
    return Sources(ordered, GENERATOR_OF[kinds], _fps(ordered[kinds[0]]), specs)


def holds_bundle(path: Path) -> bool:
    """Tell whether a path is a bundle: a folder with a manifest, or a name that ships."""
    return (path / FILE_NAME).is_file() or str(path) in shipped_bundles()


def _beside_bundle(checkpoints: dict[str, Checkpoint], bundle: Bundle) -> Sources:
    """Let checkpoints take the place of some of a bundle's graphs.

    Raises:
        InputError: no checkpoint, or one of a kind that the bundle does not have.
        ConfigError: they were trained with another recipe than a graph that stays.
    """
    manifest = bundle.manifest
    strange = [kind for kind in checkpoints if kind not in manifest.graphs]
    if strange or not checkpoints:
        raise InputError(
            f"{bundle.folder}: a bundle of {', '.join(manifest.graphs)}; give it checkpoints of these kinds to replace "
            f"their graphs, not {', '.join(strange) or 'none'}."
        )
    specs = dict(manifest.specs)
    kept = [kind for kind in manifest.graphs if kind not in checkpoints]
    for checkpoint in checkpoints.values():
        for key in (key for key in checkpoint.specs if key in SPECS):
            ours = checkpoint.spec(key, SPECS[key])
            if kept and key != "warp" and key in specs and specs[key] != ours:
                raise ConfigError(
                    f"{checkpoint.path} and {bundle.folder} disagree on {key}: {ours.to_dict()} and "
                    f"{specs[key].to_dict()}. Train with the bundle's recipe."
                )
            specs[key] = ours
    ordered = {kind: checkpoints[kind] for kind in manifest.graphs if kind in checkpoints}
    return Sources(ordered, manifest.generator, manifest.fps, specs, bundle)


def _kinds_of_bundle(given: list[str]) -> tuple[str, ...]:
    """Return the one set of kinds that the given ones are."""
    for kinds in GENERATOR_OF:
        if set(kinds) == set(given):
            return kinds
    for kinds in GENERATOR_OF:
        if given and set(given) < set(kinds):
            missing = [kind for kind in kinds if kind not in given]
            raise InputError(
                f"no checkpoint of kind {missing[0]}; got {', '.join(given)}. "
                f"Train one with `lipforge train {missing[0]}` and give its folder too."
            )
    sets = "; ".join(" and ".join(kinds) for kinds in GENERATOR_OF)
    raise InputError(f"checkpoints of kinds {', '.join(given) or 'nothing'} make no bundle; one is made of: {sets}.")


def _fps(checkpoint: Checkpoint) -> float:
    fps = checkpoint.dataset.get("fps")
    if isinstance(fps, bool) or not isinstance(fps, int | float) or fps <= 0:
        raise InputError(
            f"{checkpoint.path}: dataset.fps is {fps!r}; it must say at how many frames a second it was trained."
        )
    return float(fps)


def _shared_specs(checkpoints: dict[str, Checkpoint], generator: str) -> dict[str, Spec]:
    """Return the recipes of a bundle; every checkpoint that has one must have the same."""
    specs: dict[str, Spec] = _face_specs(checkpoints["wav2lip"]) if generator == "inpaint" else {}
    contents = CONTENTS[generator]
    for key in (*contents.specs, *contents.optional):
        holders = [checkpoint for checkpoint in checkpoints.values() if key in checkpoint.specs]
        if holders:
            specs[key] = _agreed(key, SPECS[key], holders)
        elif key in contents.specs and key not in specs:
            next(iter(checkpoints.values())).spec(key, SPECS[key])  # says what is missing
    return {key: specs[key] for key in SPECS if key in specs}


def _face_specs(checkpoint: Checkpoint) -> dict[str, Spec]:
    """Return how an inpaint generator finds its face if the checkpoint does not say: by the published box.

    Alignment and lip points are the tracker's; the network does not see them, but whoever runs it needs them.
    """
    import torch

    from lipforge.train.models import build_network

    with torch.device("meta"):
        size_px = cast(Any, build_network(checkpoint.kind, checkpoint.model_args)).size_px
    tracking: dict[str, Spec] = {"crop": CropSpec(), "lips": LipSpec()}
    return tracking if "crop" in checkpoint.specs else {**tracking, "face_box": FaceBoxSpec(size_px=size_px)}


def _agreed(name: str, kind: type[SpecT], checkpoints: Sequence[Checkpoint]) -> SpecT:
    first, *others = checkpoints
    spec = first.spec(name, kind)
    for checkpoint in others:
        other = checkpoint.spec(name, kind)
        if spec != other:
            ours, theirs = spec.to_dict(), other.to_dict()
            keys = [f"{key} ({ours[key]} and {theirs[key]})" for key in ours if ours[key] != theirs[key]]
            raise ConfigError(
                f"{first.path} and {checkpoint.path} disagree on {name}: {', '.join(keys)}. "
                "Train both on datasets with the same recipe."
            )
    return spec
