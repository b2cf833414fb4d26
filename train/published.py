"""Checkpoints of the published Wav2Lip code: what is in them, and what a published envelope looks like."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.kernels.spec import MelSpec
from lipforge.train.models import NETWORKS, build_network, quality_discriminator, syncnet, wav2lip
from lipforge.train.pth_file import read_pth

FPS = 25.0  # every published weight was trained at this rate
PARALLEL_PREFIX = "module."  # put before every key by torch's DataParallel
SIGNATURES = {  # keys that only one of the networks has
    wav2lip.KIND: ("face_decoder_blocks.0.0.conv_block.0.weight", "output_block.1.weight"),
    syncnet.KIND: ("face_encoder.0.conv_block.0.weight", "audio_encoder.0.conv_block.0.weight"),
    quality_discriminator.KIND: ("binary_pred.0.weight", "face_encoder_blocks.0.0.conv_block.0.weight"),
}
TITLES = {
    wav2lip.KIND: "a Wav2Lip generator",
    syncnet.KIND: "a colour SyncNet",
    quality_discriminator.KIND: "a Wav2Lip quality discriminator",
}
OFFSET_FRAMES = {wav2lip.KIND: -1, syncnet.KIND: 0}
"""Frames between a picture and the start of its mel window as the published trainers feed them (``MelChunkSpec``)."""

EXTRA_KEY = "lipforge"  # holds what the published envelope cannot say; absent if there is nothing to say
EXTRA_SCHEMA = 1


@dataclass(frozen=True)
class Published:
    """A checkpoint of the published code, or of its shape.

    Attributes:
        kind: of the network, found from the keys.
        model_args: constructor arguments of the network.
        state_dict: weights by published key, float32, without ``module.``.
        step: optimiser steps behind it.
        epoch: passes over the data behind it.
        optimizer: state of the published Adam, or None.
        offset_frames: ``MelChunkSpec.offset_frames`` that it was trained with; None for the discriminator.
        mel: recipe of the sound that it was trained with; of a published file the published one.
    """

    kind: str
    model_args: dict[str, Any]
    state_dict: dict[str, Tensor]
    step: int
    epoch: int
    optimizer: dict[str, Any] | None
    offset_frames: int | None
    mel: MelSpec = field(default_factory=MelSpec)


def read_published(path: Path) -> Published:
    """Read a published ``.pth`` file, or the bare weights of one.

    Raises:
        InputError: the file is not readable (``read_pth``), holds another network, or one of other sizes.
    """
    envelope = read_pth(path)
    if envelope and all(isinstance(value, Tensor) for value in envelope.values()):
        envelope = {"state_dict": envelope}
    state_dict = _weights(path, envelope)
    kind = infer_kind(path, state_dict)
    model_args, offset_frames = _extra(path, kind, envelope.get(EXTRA_KEY))
    _check_keys(path, kind, model_args, state_dict)
    optimizer = envelope.get("optimizer")
    if optimizer is not None and not isinstance(optimizer, dict):
        raise InputError(f"{path}: its optimizer is a {type(optimizer).__name__}, expected a dict or nothing.")
    return Published(
        kind=kind,
        model_args=model_args,
        state_dict=state_dict,
        step=_count(path, envelope, "global_step"),
        epoch=_count(path, envelope, "global_epoch"),
        optimizer=optimizer,
        offset_frames=offset_frames,
    )


def to_envelope(published: Published) -> dict[str, Any]:
    """Return what the published code saves: ``state_dict``, ``optimizer``, ``global_step``, ``global_epoch``.

    Sizes or an offset that the published code does not know are added under the key ``lipforge``, which it ignores.
    """
    envelope: dict[str, Any] = {
        "state_dict": dict(published.state_dict),
        "optimizer": published.optimizer,
        "global_step": published.step,
        "global_epoch": published.epoch,
    }
    usual = published.offset_frames == OFFSET_FRAMES.get(published.kind)
    if resolved_sizes(published.kind, published.model_args) != resolved_sizes(published.kind, {}) or not usual:
        envelope[EXTRA_KEY] = {
            "schema": EXTRA_SCHEMA,
            "kind": published.kind,
            "model": resolved_sizes(published.kind, published.model_args),
            "offset_frames": published.offset_frames,
        }
    return envelope


def resolved_sizes(kind: str, model_args: dict[str, Any]) -> dict[str, Any]:
    """Return all constructor arguments of a network, JSON-ready; those not given are the published ones."""
    defaults = {name: p.default for name, p in inspect.signature(NETWORKS[kind]).parameters.items()}
    return {
        name: list(value) if isinstance(value, tuple | list) else value
        for name, value in {**defaults, **model_args}.items()
    }


def infer_kind(path: Path, state_dict: dict[str, Tensor]) -> str:
    """Return the kind of network that weights belong to.

    Raises:
        InputError: to none of the Wav2Lip family.
    """
    for kind, keys in SIGNATURES.items():
        if all(key in state_dict for key in keys):
            return kind
    raise InputError(
        f"{path}: holds {len(state_dict)} tensors such as {next(iter(state_dict))!r}, which are not those of "
        f"{', '.join(TITLES.values())}."
    )


def _weights(path: Path, envelope: dict[str, Any]) -> dict[str, Tensor]:
    found = envelope.get("state_dict")
    if not isinstance(found, dict) or not found:
        raise InputError(
            f"{path}: no state_dict in it (keys: {', '.join(map(repr, list(envelope)[:6])) or 'none'}); a published "
            "file has state_dict, optimizer, global_step and global_epoch."
        )
    for key, value in found.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise InputError(f"{path}: state_dict[{key!r}] is a {type(value).__name__}, expected a named tensor.")
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise InputError(f"{path}: {key} holds values that are not finite; these weights are ruined.")
    parallel = all(key.startswith(PARALLEL_PREFIX) for key in found)
    return {
        key.removeprefix(PARALLEL_PREFIX) if parallel else key: value.float().contiguous()
        if value.is_floating_point()
        else value
        for key, value in found.items()
    }


def _extra(path: Path, kind: str, extra: Any) -> tuple[dict[str, Any], int | None]:
    """Return the constructor arguments and the offset: the published ones unless our own key says otherwise."""
    if extra is None:
        return resolved_sizes(kind, {}), OFFSET_FRAMES.get(kind)
    model = extra.get("model") if isinstance(extra, dict) else None
    if not isinstance(extra, dict) or extra.get("schema") != EXTRA_SCHEMA or not isinstance(model, dict):
        raise InputError(f"{path}: its key {EXTRA_KEY!r} is not one that this version writes; export it again.")
    offset_frames = extra.get("offset_frames")
    if extra.get("kind") != kind or (type(offset_frames) is not int if kind in OFFSET_FRAMES else offset_frames):
        raise InputError(f"{path}: its key {EXTRA_KEY!r} does not fit {TITLES[kind]}; export it again.")
    return model, offset_frames


def _check_keys(path: Path, kind: str, model_args: dict[str, Any], state_dict: dict[str, Tensor]) -> None:
    try:
        with torch.device("meta"):  # no memory, no random numbers: keys and shapes are all that is needed
            expected = build_network(kind, model_args).state_dict()
    except ConfigError as error:
        raise InputError(f"{path}: {error}") from error
    what = f"{path}: is {TITLES[kind]}"
    missing = [key for key in expected if key not in state_dict]
    foreign = [key for key in state_dict if key not in expected]
    if missing or foreign:
        names = ", ".join([f"{key} is missing" for key in missing[:2]] + [f"{key} is foreign" for key in foreign[:2]])
        raise InputError(f"{what} with other layers than published ({len(missing)} + {len(foreign)} differ: {names}).")
    for key, value in expected.items():
        if state_dict[key].shape != value.shape:
            shapes = f"{tuple(state_dict[key].shape)} instead of {tuple(value.shape)}"
            raise InputError(f"{what} of other sizes than published: {key} is {shapes}.")


def _count(path: Path, envelope: dict[str, Any], key: str) -> int:
    value = envelope.get(key, 0)  # bare weights have none
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"{path}: {key} is {value!r}, expected a whole number of 0 or more.")
    return value
