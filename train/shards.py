"""Reading datasets: ``dataset.json`` and webdataset tars, sequentially, one sample at a time (docs/formats.md)."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lipforge.kernels.errors import InputError
from lipforge.kernels.spec import CropSpec, LipSpec, MelSpec

SCHEMA = 1
HEADER = "dataset.json"
HOW_TO_WRITE = "`lipforge preprocess synth DIR` writes one"

END_BYTES = 2 * tarfile.BLOCKSIZE
"""Zeros that end an archive (POSIX.1-2001, ustar)."""


@dataclass(frozen=True)
class Sample:
    """One clip: its name and its files' contents by extension, such as ``".pairs.npz"``."""

    key: str
    files: dict[str, bytes]


@dataclass(frozen=True)
class Dataset:
    """An opened dataset folder.

    Attributes:
        shards: file name and number of samples of each shard, in order.
        fingerprint: sha256 of ``dataset.json``.
    """

    root: Path
    fps: float
    crop: CropSpec
    lips: LipSpec
    mel: MelSpec
    shards: tuple[tuple[str, int], ...]
    fingerprint: str

    @property
    def samples(self) -> int:
        """Number of samples in all shards."""
        return sum(count for _, count in self.shards)

    def first_validation_sample(self, share: float) -> int:
        """Index of the first sample of the held-out tail: ``share`` of all, at least one, never all."""
        if self.samples < 2:
            raise InputError(f"{self.root}: holds {self.samples} sample; training needs two, one of them held out.")
        return self.samples - min(self.samples - 1, max(1, round(share * self.samples)))

    def read(self, extensions: Collection[str]) -> Iterator[Sample]:
        """Read all samples in order, with those of the wanted files that they have.

        Raises:
            InputError: a shard is missing, damaged or holds another number of samples than ``dataset.json`` says.
        """
        for name, expected in self.shards:
            path, found = self.root / name, 0
            if not path.is_file():
                raise InputError(
                    f"{path}: missing, although dataset.json lists it; finish or repeat the preprocessing."
                )
            for sample in _read_shard(path, extensions):
                found += 1
                yield sample
            if found != expected:
                raise InputError(f"{path}: holds {found} samples, dataset.json says {expected}; write it again.")


def open_dataset(root: Path) -> Dataset:
    """Read a dataset folder's ``dataset.json``.

    Raises:
        InputError: no such folder, no dataset in it, no shards yet, or another schema.
    """
    values, fingerprint = read_header(root)
    try:
        return Dataset(
            root=root,
            fps=float(values["fps"]),
            crop=CropSpec.from_dict(values["crop"]),
            lips=LipSpec.from_dict(values["lips"]),
            mel=MelSpec.from_dict(values["mel"]),
            shards=tuple((str(shard["name"]), int(shard["samples"])) for shard in values["shards"]),
            fingerprint=fingerprint,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise wrong_header(root, error) from error


def read_header(root: Path) -> tuple[dict[str, Any], str]:
    """Return what ``dataset.json`` says, and its sha256.

    Raises:
        InputError: no such folder, no dataset in it, no shards yet, or another schema.
    """
    path = root / HEADER
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; --data wants the folder of a dataset ({HOW_TO_WRITE}).")
    if not path.is_file():
        raise InputError(f"{root}: no {HEADER} in it, so it is no dataset folder; {HOW_TO_WRITE}.")
    try:
        raw = path.read_bytes()
        values = json.loads(raw)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as JSON ({error}); {HOW_TO_WRITE}.") from error
    _check_header(path, values)
    return values, hashlib.sha256(raw).hexdigest()


def wrong_header(root: Path, error: Exception) -> InputError:
    """Return the error for a key that is missing or of the wrong type."""
    return InputError(f"{root / HEADER}: key missing or of the wrong type ({error!r}); {HOW_TO_WRITE}.")


def _check_header(path: Path, values: Any) -> None:
    if not isinstance(values, dict) or values.get("kind") != "lipforge-dataset":
        raise InputError(f"{path}: not a dataset's header (kind is not 'lipforge-dataset'); {HOW_TO_WRITE}.")
    if values.get("schema") != SCHEMA:
        raise InputError(
            f"{path}: has schema {values.get('schema')}, this version reads schema {SCHEMA}; "
            "write the dataset again with this version of lipforge."
        )
    if not values.get("shards"):
        raise InputError(f"{path}: lists no shards, so there is nothing to train on; {HOW_TO_WRITE}.")


def _read_shard(path: Path, extensions: Collection[str]) -> Iterator[Sample]:
    key, files = "", dict[str, bytes]()
    try:
        _check_end(path)
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if not member.isfile():
                    continue
                stem, _, rest = Path(member.name).name.partition(".")
                if stem != key:
                    if key:
                        yield Sample(key, files)
                    key, files = stem, dict[str, bytes]()
                if f".{rest}" in extensions:
                    content = archive.extractfile(member)
                    files[f".{rest}"] = content.read() if content is not None else b""
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(
            f"{path}: damaged or cut short ({error}); delete it and run the preprocessing again."
        ) from error
    if key:
        yield Sample(key, files)


def _check_end(path: Path) -> None:
    """Make sure that an archive ends as archives do: cut between two files, tarfile would take it for a whole one."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - END_BYTES))
        if file.read().strip(b"\0"):
            raise tarfile.ReadError("its end is missing")
