"""Checkpoint folders: written whole or not at all, read without executing anything (docs/formats.md section 2)."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lipforge.kernels.errors import InputError
from lipforge.kernels.spec import Spec
from lipforge.train.models import build_network

SCHEMA = 1
SpecT = TypeVar("SpecT", bound=Spec)


@dataclass(frozen=True)
class Checkpoint:
    """A trained network with everything that is needed to use it.

    Attributes:
        path: the folder it came from.
        kind: a key of ``lipforge.train.models.NETWORKS``.
        step: optimiser steps behind it.
        model_args: constructor arguments of the network.
        specs: the recipes as dicts (docs/formats.md lists them).
        config: the resolved training configuration.
        dataset: ``fps``, ``samples`` and ``fingerprint`` of the data it was trained on.
        versions: versions of lipforge, python and torch that wrote it.
        state_dict: weights, on the CPU.
    """

    path: Path
    kind: str
    step: int
    model_args: dict[str, Any]
    specs: dict[str, dict[str, Any]]
    config: dict[str, Any]
    dataset: dict[str, Any]
    versions: dict[str, str]
    state_dict: dict[str, Tensor]

    def spec(self, name: str, kind: type[SpecT]) -> SpecT:
        """Return one recipe as its dataclass.

        Raises:
            InputError: the checkpoint has no recipe of that name.
            ConfigError: the recipe has unknown or missing keys.
        """
        if name not in self.specs:
            raise InputError(f"{self.path}: a checkpoint of kind {self.kind} has no spec {name!r}: {list(self.specs)}.")
        return kind.from_dict(self.specs[name])


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint folder, or the newest one of a run folder.

    Raises:
        InputError: the path is no checkpoint, is incomplete or was written by another version.
    """
    folder = resolve_checkpoint(Path(path))
    header = _read_header(folder)
    state_dict = _load_tensors(folder / "model.pt")
    if not all(isinstance(value, Tensor) for value in state_dict.values()):
        raise InputError(
            f"{folder / 'model.pt'}: holds something else than named tensors; it is no checkpoint's weights."
        )
    return Checkpoint(
        path=folder,
        kind=str(header["kind"]),
        step=int(header["step"]),
        model_args=dict(header["model"]),
        specs=dict(header["specs"]),
        config=dict(header["config"]),
        dataset=dict(header.get("dataset", {})),
        versions=dict(header["versions"]),
        state_dict=state_dict,
    )


def build_model(checkpoint: Checkpoint) -> nn.Module:
    """Build the checkpoint's network with its weights, in eval mode, on the CPU.

    Raises:
        InputError: the weights do not fit the network that the checkpoint describes.
        ConfigError: the kind of network is unknown.
    """
    network = build_network(checkpoint.kind, checkpoint.model_args)
    try:
        network.load_state_dict(checkpoint.state_dict)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise InputError(f"{checkpoint.path}: weights do not fit {checkpoint.kind}: {first}") from error
    return network.eval()


def resolve_checkpoint(path: Path) -> Path:
    """Return the checkpoint folder that a path means: itself, the one holding the file, or a run's newest.

    Raises:
        InputError: there is no checkpoint.
    """
    what = "a checkpoint is a folder step-XXXXXXXX, or the run folder above it, as written by `lipforge train`"
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; {what}.")
    if path.is_file():
        if path.name not in ("checkpoint.json", "model.pt", "last.json"):
            raise InputError(f"{path}: is a file and no checkpoint; {what}.")
        path = path.parent
    newest = newest_checkpoint(path)
    if newest is not None:
        return newest
    if not (path / "checkpoint.json").is_file():
        raise InputError(f"{path}: no checkpoint.json and no last.json in it; {what}.")
    return path


def newest_checkpoint(run: Path) -> Path | None:
    """Return the newest whole checkpoint of a run folder, or None if there is none yet.

    Raises:
        InputError: ``last.json`` is unreadable or names a folder that is gone.
    """
    pointer = run / "last.json"
    if not pointer.is_file():
        return None
    try:
        folder = run / str(json.loads(pointer.read_text(encoding="utf-8"))["checkpoint"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{pointer}: not readable ({error!r}); name the step-XXXXXXXX folder itself.") from error
    if not (folder / "checkpoint.json").is_file():
        raise InputError(f"{pointer}: names {folder.name}, which is not there; name a step-XXXXXXXX folder itself.")
    return folder


def load_training_state(folder: Path) -> dict[str, Any]:
    """Read ``training.pt`` of a checkpoint folder: optimisers, raw weights and random states.

    Raises:
        InputError: it is missing or damaged.
    """
    return _load_tensors(folder / "training.pt")


def save_checkpoint(run: Path, header: dict[str, Any], weights: dict[str, Tensor], training: dict[str, Any]) -> Path:
    """Write a checkpoint under a temporary name, sync it, rename it and point ``last.json`` at it.

    Args:
        run: run folder.
        header: ``kind``, ``step``, ``model``, ``specs``, ``config``, ``dataset``.
        weights: weights to deploy; copied to the CPU, because an NPU's tensors load nowhere else.
        training: what ``load_training_state`` is to return.
    """
    name = f"step-{int(header['step']):08d}"
    temporary, final = run / f".{name}.{os.getpid()}.part", run / name
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        torch.save(on_cpu(weights), temporary / "model.pt")
        torch.save(on_cpu(training), temporary / "training.pt")
        header = {"schema": SCHEMA, **header, "versions": _versions()}
        (temporary / "checkpoint.json").write_text(json.dumps(header, indent=1), encoding="utf-8")
        for file in temporary.iterdir():
            _sync(file)
        if final.exists():  # the same step of this run, written by an earlier attempt
            shutil.rmtree(final)
        temporary.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _replace_text(run / "last.json", json.dumps({"schema": SCHEMA, "checkpoint": name}))
    return final


def delete_old_checkpoints(run: Path, keep: int) -> None:
    """Delete all but the newest ``keep`` checkpoints of a run; 0 keeps all."""
    folders = sorted(folder for folder in run.glob("step-*") if (folder / "checkpoint.json").is_file())
    for folder in folders[:-keep] if keep else []:
        shutil.rmtree(folder)


def on_cpu(value: Any) -> Any:
    """Return nested dicts and lists with every tensor detached and on the CPU."""
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: on_cpu(inner) for key, inner in value.items()}
    return [on_cpu(inner) for inner in value] if isinstance(value, list) else value


def _read_header(folder: Path) -> dict[str, Any]:
    path = folder / "checkpoint.json"
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as JSON ({error}); the checkpoint is damaged.") from error
    if not isinstance(header, dict) or header.get("schema") != SCHEMA:
        found = header.get("schema") if isinstance(header, dict) else None
        raise InputError(f"{path}: schema {found}, this version reads {SCHEMA}; use the lipforge that wrote it.")
    expected = {"kind": str, "step": int, "model": dict, "specs": dict, "config": dict, "versions": dict}
    wrong = [key for key, kind in expected.items() if not isinstance(header.get(key), kind)]
    if wrong:
        raise InputError(f"{path}: keys missing or of the wrong type: {wrong}; the checkpoint is damaged.")
    return header


def _load_tensors(path: Path) -> dict[str, Any]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: missing; the checkpoint is incomplete.") from error
    except Exception as error:  # the unpickler raises anything on a file that is none
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise InputError(f"{path}: not a file that torch saved, or damaged ({reason}).") from error
    if not isinstance(loaded, dict):
        raise InputError(f"{path}: holds a {type(loaded).__name__} instead of named tensors.")
    return loaded


def _versions() -> dict[str, str]:
    return {"lipforge": metadata.version("lipforge"), "python": sys.version.split()[0], "torch": str(torch.__version__)}


def _sync(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def _replace_text(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    temporary.write_text(text, encoding="utf-8")
    _sync(temporary)
    temporary.replace(path)
