"""Writing datasets: shards (tar files in webdataset layout) and the dataset's own description."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lipforge.kernels.errors import InputError

SCHEMA = 1
KIND = "lipforge-dataset"


def shard_name(index: int) -> str:
    """File name of shard ``index``."""
    return f"shard-{index:06d}.tar"


def write_shard(path: Path, samples: Iterable[tuple[str, dict[str, bytes]]]) -> int:
    """Write ``(key, files by suffix)`` samples into a tar; it appears under its name only when whole.

    Returns the number of samples. Times and owners are fixed, so equal samples give an equal file.
    """
    partial = path.with_suffix(".partial")
    count = 0
    try:
        with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
            for key, files in samples:
                for suffix, data in files.items():
                    entry = tarfile.TarInfo(f"{key}.{suffix}")
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))
                count += 1
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return count


def is_whole(path: Path, samples: int) -> bool:
    """Say whether a shard is there, is readable to its end and holds so many samples."""
    try:
        with tarfile.open(path, "r:") as tar:
            keys = {Path(member.name).name.partition(".")[0] for member in tar}
            return len(keys) == samples and path.stat().st_size >= tar.offset
    except (OSError, tarfile.TarError, EOFError):
        return False


def write_description(folder: Path, description: dict[str, Any]) -> None:
    """Write ``dataset.json`` atomically; ``schema`` and ``kind`` are added."""
    text = json.dumps({"schema": SCHEMA, "kind": KIND, **description}, indent=1)
    partial = folder / "dataset.json.partial"
    partial.write_text(text + "\n", encoding="utf-8")
    os.replace(partial, folder / "dataset.json")


def read_description(folder: Path) -> dict[str, Any]:
    """Read ``dataset.json``.

    Raises:
        InputError: it is missing, is not ours, or has another schema number.
    """
    path = folder / "dataset.json"
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{folder} is no dataset: it has no dataset.json. `lipforge preprocess synth` makes one."
        ) from None
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not JSON: {error}") from None
    if not isinstance(description, dict) or description.get("kind") != KIND:
        raise InputError(f"{path} does not describe a lipforge dataset (kind must be {KIND!r}).")
    if description.get("schema") != SCHEMA:
        raise InputError(f"{path} has schema {description.get('schema')}, this version reads {SCHEMA}. Make it again.")
    return description
