"""Files and folders that appear whole or not at all, also when the process is killed or the power fails."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

BLOCK_BYTES = 1 << 20
PART, OLD = ".part", ".old"
"""Endings of hidden names: what is being written, and what is being replaced or deleted."""


class HashingFile:
    """A binary file for writing that adds up the length and the sha256 of what it is given."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._digest, self.size = file, hashlib.sha256(), 0

    def write(self, data: bytes | memoryview) -> int:
        """Write and return the number of bytes."""
        self._digest.update(data)
        self.size += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        """Pass on to the file."""
        self._file.flush()

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of everything so far."""
        return self._digest.hexdigest()


def write_file(path: Path, write: Callable[[HashingFile], object]) -> HashingFile:
    """Let a function write a new file, and wait until it is on the disk."""
    with path.open("wb") as file:
        hashing = HashingFile(file)
        write(hashing)
        file.flush()
        os.fsync(file.fileno())
    return hashing


def replace_text(path: Path, text: str) -> None:
    """Write a text file under a hidden name, then rename it."""
    part = _hidden(path, PART)
    try:
        write_file(part, lambda file: file.write(text.encode("utf-8")))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)


@contextlib.contextmanager
def new_folder(final: Path) -> Iterator[Path]:
    """Lend a hidden folder; a clean exit renames it to ``final``, any other removes it.

    A folder that has the name already is moved aside first: ``clear_leftovers`` brings it back if the process dies
    between the two renames.
    """
    part, old = _hidden(final, PART), _hidden(final, OLD)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        sync_folder(part)
        if final.exists():
            final.rename(old)
        part.rename(final)
        sync_folder(final.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Delete a folder under a hidden name, so that a half deleted one is never taken for whole."""
    old = _hidden(folder, OLD)
    folder.rename(old)
    shutil.rmtree(old)


def clear_leftovers(parent: Path, pattern: str) -> None:
    """Undo what a killed process left half done below ``parent``; only for who holds it alone.

    Args:
        parent: folder that ``new_folder``, ``remove_folder`` and ``replace_text`` were used in.
        pattern: of the names that they were given, such as ``step-*``.
    """
    for old in sorted(parent.glob(f".{pattern}.*{OLD}")):
        name = old.name[1:].rsplit(".", 2)[0]
        # Deleting begins with the same rename; the name is free then too, and the folder may be short of files.
        if not (parent / name).exists() and list(parent.glob(f".{name}.*{PART}")):
            old.rename(parent / name)
        else:
            shutil.rmtree(old)
    for part in parent.glob(f".{pattern}.*{PART}"):
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink()


def file_sha256(path: Path) -> str:
    """Return the hexadecimal sha256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _hidden(path: Path, ending: str) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}{ending}")
