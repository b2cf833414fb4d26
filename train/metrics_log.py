"""``metrics.jsonl``: every number of a run, one line an event, without a gap or a repeat where it was resumed."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

from lipforge.kernels.errors import InputError
from lipforge.train.atomic_folder import replace_text
from lipforge.train.metrics import Estimate

NAME = "metrics.jsonl"


class MetricsLog:
    """Appends to the log of a run folder; lines of steps that are to be done again are dropped first.

    Args:
        run: run folder.
        step: optimiser steps that are done.
    """

    def __init__(self, run: Path, step: int) -> None:
        self._path = run / NAME
        if self._path.exists():
            kept = [line for line in self._path.read_text(encoding="utf-8").splitlines(True) if _is_kept(line, step)]
            replace_text(self._path, "".join(kept))
        self._file = self._path.open("a", encoding="utf-8")

    def write(self, step: int, group: str, values: dict[str, float]) -> None:
        """Append one line: the step, and the values under the name of their group; what is not finite is null."""
        self._file.write(json.dumps({"step": step, group: {name: _finite(v) for name, v in values.items()}}) + "\n")
        self._file.flush()

    def sync(self) -> None:
        """Wait until everything is on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def with_ends(values: dict[str, float]) -> dict[str, float]:
    """Return values, and those with a confidence interval followed by ``<name>_low`` and ``<name>_high``."""
    spread: dict[str, float] = {}
    for name, value in values.items():
        spread[name] = float(value)
        if isinstance(value, Estimate):
            spread |= {f"{name}_low": value.low, f"{name}_high": value.high}
    return spread


def read_metrics(run: Path, group: str) -> list[tuple[int, dict[str, float | None]]]:
    """Return the lines of one group of a run's log as (step, values).

    Raises:
        InputError: the log is missing or damaged.
    """
    path = run / NAME
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [(int(line["step"]), dict(line[group])) for line in lines if group in line]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not readable as a log of metrics ({error!r}).") from error


def _is_kept(line: str, step: int) -> bool:
    try:
        return line.endswith("\n") and int(json.loads(line)["step"]) <= step
    except (ValueError, KeyError, TypeError):
        return False  # cut short when the process was killed


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
