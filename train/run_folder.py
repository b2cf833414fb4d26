"""A run folder: which of its checkpoints is the newest, which the best, and which may be deleted."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.train.atomic_folder import clear_leftovers, remove_folder, replace_text

LAST, BEST, LOCK = "last.json", "best.json", ".lock"
POINTER_SCHEMA = 1
PATTERN = "step-*"
DIRECTIONS = ("min", "max")


@dataclass(frozen=True)
class Best:
    """The checkpoint with the best value of a validation metric.

    Attributes:
        checkpoint: name of its folder.
        metric: name of the metric.
        direction: ``min`` or ``max``, which is better.
        value: of the metric there.
    """

    checkpoint: str
    metric: str
    direction: str
    value: float

    def is_beaten_by(self, value: float) -> bool:
        """Say whether a value is better; an equal one is not, and one that is not finite never."""
        if not math.isfinite(value):
            return False
        return value < self.value if self.direction == "min" else value > self.value


def checkpoint_name(step: int) -> str:
    """Return the name of a step's folder."""
    return f"step-{step:08d}"


def whole_checkpoints(run: Path) -> list[Path]:
    """Return the checkpoint folders of a run, oldest first; each is whole, because only whole ones get their name."""
    return sorted(folder for folder in run.glob(PATTERN) if (folder / "checkpoint.json").is_file())


def newest_checkpoint(run: Path) -> Path | None:
    """Return the newest checkpoint of a run folder, or None if there is none yet.

    Raises:
        InputError: ``last.json`` is unreadable or names a folder that is gone.
    """
    pointer = run / LAST
    if not pointer.is_file():
        # A process that died right after its first checkpoint had no time to point at it.
        return next(reversed(whole_checkpoints(run)), None)
    return _named(pointer, _read_pointer(pointer).get("checkpoint"))


def best_checkpoint(run: Path) -> Path | None:
    """Return the best checkpoint of a run folder, or None if none was judged yet.

    Raises:
        InputError: ``best.json`` is unreadable or names a folder that is gone.
    """
    best = read_best(run)
    return None if best is None else _named(run / BEST, best.checkpoint)


def read_best(run: Path) -> Best | None:
    """Read ``best.json``; None if there is none.

    Raises:
        InputError: it is damaged.
    """
    pointer = run / BEST
    if not pointer.is_file():
        return None
    values = _read_pointer(pointer)
    try:
        best = Best(**{name: values[name] for name in Best.__dataclass_fields__})
        if best.direction not in DIRECTIONS or not math.isfinite(best.value):
            raise ValueError(f"{best.direction} {best.value}")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{pointer}: not readable ({error!r}); delete it, and the next validation writes it."
        ) from error
    return best


def point_at_last(run: Path, name: str) -> None:
    """Make ``last.json`` name a checkpoint."""
    replace_text(run / LAST, json.dumps({"schema": POINTER_SCHEMA, "checkpoint": name}))


def point_at_best(run: Path, best: Best) -> None:
    """Make ``best.json`` name a checkpoint."""
    replace_text(run / BEST, json.dumps({"schema": POINTER_SCHEMA, **asdict(best)}))


def delete_old_checkpoints(run: Path, keep: int) -> None:
    """Delete all but the newest ``keep`` checkpoints of a run, the best, and what ``last.json`` names; 0 keeps all."""
    if not keep:
        return
    best = read_best(run)
    spared = {best.checkpoint if best else None, _read_pointer(run / LAST).get("checkpoint")}
    for folder in whole_checkpoints(run)[:-keep]:
        if folder.name not in spared:
            remove_folder(folder)


@contextmanager
def run_folder_held(run: Path) -> Iterator[None]:
    """Make a run folder one's own, and clear away what a killed process left in it.

    Raises:
        ConfigError: another process trains in it.
    """
    run.mkdir(parents=True, exist_ok=True)
    with (run / LOCK).open("a+") as lock:
        _lock(run, lock.fileno())
        for pattern in (PATTERN, LAST, BEST):
            clear_leftovers(run, pattern)
        yield


def _lock(run: Path, descriptor: int) -> None:
    try:
        import fcntl
    except ImportError:  # not there on Windows
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigError(f"{run}: another process is training there; stop it or choose another --out.") from error
    except OSError:  # some network file systems have no locks
        return


def _read_pointer(pointer: Path) -> dict[str, Any]:
    try:
        values = json.loads(pointer.read_text(encoding="utf-8"))
        if not isinstance(values, dict) or not isinstance(values["checkpoint"], str):
            raise ValueError("names no checkpoint")
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{pointer}: not readable ({error!r}); name the step-XXXXXXXX folder itself.") from error
    return values


def _named(pointer: Path, name: Any) -> Path:
    folder = pointer.parent / str(name)
    if not (folder / "checkpoint.json").is_file():
        raise InputError(f"{pointer}: names {folder.name}, which is not there; name a step-XXXXXXXX folder itself.")
    return folder
