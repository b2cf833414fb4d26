"""Checkpoint folders: written whole or not at all, read without executing anything (docs/formats.md section 2)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar, cast

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor, nn

from lipforge.kernels.errors import InputError, LipforgeError
from lipforge.kernels.spec import Spec
from lipforge.train.atomic_folder import file_sha256, new_folder, write_file
from lipforge.train.models import build_network
from lipforge.train.provenance import versions
from lipforge.train.run_folder import (
    BEST,
    LAST,
    best_checkpoint,
    checkpoint_name,
    newest_checkpoint,
    point_at_last,
    whole_checkpoints,
)

SCHEMA = 2
WEIGHTS, OLD_WEIGHTS = "model.safetensors", "model.pt"
"""Files of the weights: since schema 2, and of schema 1."""

HEADER, TRAINING = "checkpoint.json", "training.pt"
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
        versions: versions of lipforge, python and torch that wrote it, and its git revision if it had one.
        state_dict: weights, on the CPU.
        metrics: of the last validation up to this step: ``value``, ``low`` and ``high`` by name.
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
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)

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
    """Read a checkpoint folder, the newest one of a run folder, or the one that ``last.json`` or ``best.json`` names.

    Raises:
        InputError: the path is no checkpoint, is damaged or was written by another version.
    """
    folder = resolve_checkpoint(Path(path))
    header = _read_header(folder)
    return Checkpoint(
        path=folder,
        kind=str(header["kind"]),
        step=int(header["step"]),
        model_args=dict(header["model"]),
        specs=dict(header["specs"]),
        config=dict(header["config"]),
        dataset=dict(header.get("dataset", {})),
        versions=dict(header["versions"]),
        state_dict=_load_weights(folder, header),
        metrics=dict(header.get("metrics", {})),
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
    """Return the checkpoint folder that a path means: itself, the one holding the file, or a run's newest or best.

    Raises:
        InputError: there is no checkpoint.
    """
    what = "a checkpoint is a folder step-XXXXXXXX, or the run folder above it, as written by `lipforge train`"
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; {what}.")
    if path.is_file():
        if path.name == BEST and (best := best_checkpoint(path.parent)) is not None:
            return best
        if path.name not in (HEADER, WEIGHTS, OLD_WEIGHTS, TRAINING, LAST):
            raise InputError(f"{path}: is a file and no checkpoint; {what}.")
        path = path.parent
    newest = newest_checkpoint(path)
    if newest is not None:
        return newest
    if not (path / HEADER).is_file():
        raise InputError(f"{path}: no {HEADER} and no {LAST} in it; {what}.")
    return path


def load_training_state(folder: Path) -> dict[str, Any]:
    """Read ``training.pt`` of a checkpoint folder: optimisers, raw weights and random states.

    Raises:
        InputError: it is missing or damaged.
    """
    _check_file(folder, TRAINING, _read_header(folder))
    return _load_pickled(folder / TRAINING)


def save_checkpoint(run: Path, header: dict[str, Any], weights: dict[str, Tensor], training: dict[str, Any]) -> Path:
    """Write a checkpoint under a temporary name, sync it, rename it and point ``last.json`` at it.

    Args:
        run: run folder.
        header: ``kind``, ``step``, ``model``, ``specs``, ``config``, ``dataset``, and ``metrics`` if there are any.
        weights: weights to deploy; copied to the CPU, because an NPU's tensors load nowhere else.
        training: what ``load_training_state`` is to return.

    Raises:
        LipforgeError: the disk is full or the folder not writable; earlier checkpoints are as they were.
    """
    final = run / checkpoint_name(int(header["step"]))
    with _explained(run, final.name):
        with new_folder(final) as folder:
            files = {
                WEIGHTS: write_file(folder / WEIGHTS, lambda f: f.write(safetensors.save(_apart(weights)))),
                TRAINING: write_file(
                    folder / TRAINING, lambda file: torch.save(on_cpu(training), cast(IO[bytes], file))
                ),
            }
            sums = {name: {"bytes": file.size, "sha256": file.sha256} for name, file in files.items()}
            whole = {"schema": SCHEMA, **header, "files": sums, "versions": header.get("versions") or versions()}
            write_file(folder / HEADER, lambda file: file.write(json.dumps(whole, indent=1).encode("utf-8")))
        point_at_last(run, final.name)
    return final


def on_cpu(value: Any) -> Any:
    """Return nested dicts and lists with every tensor detached and on the CPU."""
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: on_cpu(inner) for key, inner in value.items()}
    return [on_cpu(inner) for inner in value] if isinstance(value, list) else value


def _apart(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights as safetensors wants them: on the CPU, in plain order, none sharing memory with another."""
    seen, apart = set[int](), dict[str, Tensor]()
    for name, value in weights.items():
        plain = value.detach().cpu().contiguous()
        place = plain.untyped_storage().data_ptr()
        apart[name] = plain.clone() if place in seen or plain.untyped_storage().nbytes() != plain.nbytes else plain
        seen.add(place)
    return apart


@contextmanager
def _explained(run: Path, name: str) -> Iterator[None]:
    """Turn a failure to write into one line."""
    try:
        yield
        return
    except (OSError, RuntimeError) as error:  # torch's writer wraps the system's error
        system = error if isinstance(error, OSError) else error.__cause__ or error.__context__
        if not isinstance(system, OSError):
            raise
        reason = system.strerror or str(system)
    try:
        newest = newest_checkpoint(run)
    except InputError:
        newest = None
    kept = f"{newest.name} is whole" if newest is not None else "there is no earlier one"
    raise LipforgeError(
        f"{run}: checkpoint {name} could not be written ({reason}); {kept}. Make room or make the folder writable, "
        "then go on with --resume."
    )


def _read_header(folder: Path) -> dict[str, Any]:
    path = folder / HEADER
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as JSON ({error}); {_instead(folder)}.") from error
    schema = header.get("schema") if isinstance(header, dict) else None
    if schema not in (1, SCHEMA):
        raise InputError(f"{path}: schema {schema}, this version reads 1 and {SCHEMA}; use the lipforge that wrote it.")
    expected = {"kind": str, "step": int, "model": dict, "specs": dict, "config": dict, "versions": dict}
    if schema == SCHEMA:
        expected["files"] = dict
    wrong = [key for key, kind in expected.items() if not isinstance(header.get(key), kind)]
    if wrong:
        raise InputError(f"{path}: keys missing or of the wrong type: {wrong}; {_instead(folder)}.")
    return dict(header)


def _load_weights(folder: Path, header: dict[str, Any]) -> dict[str, Tensor]:
    if header["schema"] == 1:
        state_dict = _load_pickled(folder / OLD_WEIGHTS)
        if not all(isinstance(value, Tensor) for value in state_dict.values()):
            raise InputError(f"{folder / OLD_WEIGHTS}: holds something else than named tensors; it has no weights.")
        return state_dict
    _check_file(folder, WEIGHTS, header)
    try:
        return safetensors.load_file(folder / WEIGHTS)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{folder / WEIGHTS}: not a safetensors file ({error}); {_instead(folder)}.") from error


def _check_file(folder: Path, name: str, header: dict[str, Any]) -> None:
    """Compare a file with what ``checkpoint.json`` says of it, which schema 1 did not."""
    path, known = folder / name, header.get("files", {}).get(name)
    if not path.is_file():
        raise InputError(f"{path}: missing, the checkpoint is incomplete; {_instead(folder)}.")
    if header["schema"] == 1:
        return
    if not isinstance(known, dict) or not {"bytes", "sha256"} <= set(known):
        raise InputError(f"{folder / HEADER}: says nothing of {name}; {_instead(folder)}.")
    size = path.stat().st_size
    if size != known["bytes"]:
        what = "cut short" if size < int(known["bytes"]) else "changed"
        raise InputError(f"{path}: {what}: {size} bytes instead of {known['bytes']}; {_instead(folder)}.")
    if file_sha256(path) != known["sha256"]:
        raise InputError(f"{path}: damaged, its checksum is another one; {_instead(folder)}.")


def _load_pickled(path: Path) -> dict[str, Any]:
    """Read what torch saved; ``weights_only`` takes tensors and plain values, and executes nothing."""
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: missing, the checkpoint is incomplete; {_instead(path.parent)}.") from error
    except Exception as error:  # the unpickler raises anything on a file that is none
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise InputError(f"{path}: not a file that torch saved, or damaged ({reason}).") from error
    if not isinstance(loaded, dict):
        raise InputError(f"{path}: holds a {type(loaded).__name__} instead of named tensors.")
    return loaded


def _instead(folder: Path) -> str:
    """Say which checkpoints could be used in place of a damaged one."""
    others = [other.name for other in whole_checkpoints(folder.parent) if other.name != folder.name]
    return f"use another one: {', '.join(others[-3:])}" if others else "the checkpoint is damaged"
