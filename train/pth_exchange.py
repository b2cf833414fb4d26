"""Between published ``.pth`` files and checkpoint folders, both ways."""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.kernels.spec import MelChunkSpec, MelSpec
from lipforge.train.atomic_folder import file_sha256
from lipforge.train.checkpoint import (
    TRAINING,
    Checkpoint,
    build_model,
    load_checkpoint,
    load_training_state,
    save_checkpoint,
)
from lipforge.train.published import FPS, OFFSET_FRAMES, TITLES, Published, read_published, to_envelope
from lipforge.train.run_folder import newest_checkpoint

IMPORTED = (
    "imported"  # key in checkpoint.json: where it came from; in training.pt: what only the published code can use
)


def import_pth(file: Path, run: Path, offset_frames: int | None = None) -> tuple[Path, Published]:
    """Turn a published ``.pth`` file into a checkpoint folder.

    Args:
        file: generator, expert or discriminator.
        run: new run folder, or one without checkpoints.
        offset_frames: what the weights were trained with, if not what the published trainer does.

    Returns:
        The checkpoint's folder and what was read.

    Raises:
        InputError: the file is none of the family, or not readable.
        ConfigError: the run folder is in use, or the network has no mel window to offset.
    """
    if run.exists() and not run.is_dir():
        raise ConfigError(f"{run}: is a file; -o wants the name of a new folder.")
    if newest_checkpoint(run) is not None:
        raise ConfigError(f"{run}: already holds checkpoints; choose another -o.")
    published = read_published(file)
    if offset_frames is not None:
        if published.kind not in OFFSET_FRAMES:
            raise ConfigError(f"{file}: {TITLES[published.kind]} hears nothing; leave out --mel-offset-frames.")
        published = replace(published, offset_frames=offset_frames)
    header = {
        "kind": published.kind,
        "step": published.step,
        "model": published.model_args,
        "specs": _specs(published),
        "config": {},
        "dataset": {"fps": FPS},
        IMPORTED: {"file": file.name, "sha256": file_sha256(file)},
    }
    training = {IMPORTED: {"optimizer": published.optimizer, "global_epoch": published.epoch}}
    return save_checkpoint(run, header, published.state_dict, training), published


def export_pth(checkpoint_path: Path, file: Path, *, overwrite: bool = False) -> Published:
    """Write a checkpoint as the published code would have saved it.

    The state of an optimiser is written only if it came from the published code: ours is another one.

    Raises:
        InputError: no checkpoint, one of a kind that the published code has not, or the file is there already.
    """
    checkpoint = load_checkpoint(checkpoint_path)
    if checkpoint.kind not in TITLES:
        raise InputError(
            f"{checkpoint.path}: a checkpoint of kind {checkpoint.kind}, which has no published form; "
            f"kinds that do are {', '.join(TITLES)}."
        )
    if not file.parent.is_dir():
        raise InputError(f"-o {file}: the folder {file.parent} is missing. Make it first.")
    if file.is_dir() or (file.exists() and not overwrite):
        raise InputError(f"-o {file}: is there already. Choose another name, or replace a file with --overwrite.")
    published = _as_published(checkpoint)
    part = file.with_name(f".{file.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("wb") as stream:
            torch.save(to_envelope(published), stream)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return published


def read_weights(path: Path, kind: str) -> Published:
    """Read weights of one kind from a checkpoint folder, a run folder or a published ``.pth`` file.

    Raises:
        InputError: neither of them, or another kind of network.
    """
    if path.is_file() and path.suffix == ".pth":
        found = read_published(path)
    else:
        checkpoint = load_checkpoint(path)
        if checkpoint.kind != kind:
            raise InputError(f"{path}: a checkpoint of kind {checkpoint.kind}; {TITLES[kind]} is wanted here.")
        found = _as_published(checkpoint)
    if found.kind != kind:
        raise InputError(f"{path}: is {TITLES[found.kind]}; {TITLES[kind]} is wanted here.")
    return found


def start_from(path: Path, kind: str, network: nn.Module) -> None:
    """Give a fresh network the weights of a file (``read_weights``), or of a run that trained it beside its product.

    Raises:
        InputError: it holds another kind of network.
        ConfigError: it holds one of other sizes.
    """
    weights = _trained_beside(path, kind)
    try:
        network.load_state_dict(read_weights(path, kind).state_dict if weights is None else weights)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise ConfigError(f"{path}: has other sizes than model.* of this run: {first}") from error


def _trained_beside(path: Path, kind: str) -> dict[str, Tensor] | None:
    """Return a checkpoint's weights of a network that is not its product: a critic stands in ``training.pt``."""
    if path.is_file() and path.suffix == ".pth":
        return None
    checkpoint = load_checkpoint(path)
    if checkpoint.kind == kind or not (checkpoint.path / TRAINING).is_file():
        return None
    learners = load_training_state(checkpoint.path).get("learners", {})
    return learners[kind]["network"] if kind in learners else None


def _as_published(checkpoint: Checkpoint) -> Published:
    network = build_model(checkpoint)  # refuses weights that do not fit
    imported: dict[str, Any] = {}
    if (checkpoint.path / TRAINING).is_file():
        imported = load_training_state(checkpoint.path).get(IMPORTED, {})
    hears = checkpoint.kind in OFFSET_FRAMES
    return Published(
        kind=checkpoint.kind,
        model_args=checkpoint.model_args,
        # In the network's order and not the file's: the published optimiser states go by it.
        state_dict={key: checkpoint.state_dict[key] for key in network.state_dict()},
        step=checkpoint.step,
        epoch=int(imported.get("global_epoch", 0)),
        optimizer=imported.get("optimizer"),
        offset_frames=checkpoint.spec("mel_chunk", MelChunkSpec).offset_frames if hears else None,
        mel=checkpoint.spec("mel", MelSpec) if hears else MelSpec(),
    )


def _specs(published: Published) -> dict[str, dict[str, Any]]:
    if published.offset_frames is None:
        return {}
    chunk = MelChunkSpec(offset_frames=published.offset_frames)
    return {"mel": published.mel.to_dict(), "mel_chunk": chunk.to_dict()}
