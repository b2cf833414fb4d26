"""Machine code on disk: one folder for each environment that it fits, one file for each kernel.

A file is a line with the SHA-256 of the rest, then the object code. Files appear whole or not at all, and one that was
damaged later is as good as missing, so any number of processes may read and write at the same time.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from lipforge.kernels.cache_folder import cache_dir
from lipforge.kernels.errors import BackendError
from lipforge.kernels.simd.cpu import cpu_name, feature_flags

FORMAT = "1"
"""Counts up when files or entries change in a way that the sources below do not tell."""

KERNELS = Path(__file__).parents[1]
UNUSED_DAYS = 60
"""After this time without a use the folder of another environment is deleted."""

IRRELEVANT_VARIABLES = frozenset({"NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER"})
"""Of numba's, those that do not change machine code."""


class NotStorableError(BackendError):
    """A kernel's machine code works in the process that compiled it only; the message says why."""


def short_digest(text: str) -> str:
    """Return a short name for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def folder() -> Path:
    """Return the folder for this process's environment; it need not exist."""
    return cache_dir() / "kernels" / _environment()


def load(name: str) -> bytes | None:
    """Return a kernel's machine code, or None if there is none or the file is damaged."""
    path = _path(name)
    try:
        digest, _, code = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    if hashlib.sha256(code).hexdigest().encode() != digest:
        return None
    _note_use(path.parent)
    return code


def save(name: str, code: bytes) -> bool:
    """Keep a kernel's machine code; return whether that was possible."""
    target = _path(name)
    content = hashlib.sha256(code).hexdigest().encode() + b"\n" + code
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _delete_unused(target.parent)
        temporary = target.with_name(f".{os.getpid()}-{os.urandom(4).hex()}")
        try:
            temporary.write_bytes(content)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _path(name: str) -> Path:
    return folder() / f"{name}.bin"


@functools.lru_cache(maxsize=1)
def _environment() -> str:
    """Return a name for all that machine code depends on."""
    return short_digest("\n".join(_ingredients()))


def _ingredients() -> Iterator[str]:
    import llvmlite

    yield FORMAT
    yield f"{sys.implementation.cache_tag} {platform.machine()} {sys.platform} {object.__basicsize__}"
    yield f"numpy {np.__version__.partition('.')[0]} llvmlite {llvmlite.__version__} numba {_numba_version()}"
    yield f"{cpu_name()} {feature_flags()}"
    numba_variables = {name for name in os.environ if name.startswith("NUMBA_")} - IRRELEVANT_VARIABLES
    yield from (f"{name}={os.environ[name]}" for name in sorted(numba_variables))
    yield source_digest(KERNELS)


def _numba_version() -> str:
    """Return what changes with numba's version; importing it, or what knows versions, would cost 50 ms and more."""
    spec = find_spec("numba")
    if spec is None or spec.origin is None:
        return "not installed"
    return hashlib.sha256(Path(spec.origin).with_name("_version.py").read_bytes()).hexdigest()


def source_digest(kernels: Path) -> str:
    """Return a digest of the text of all kernels, as any may be built into any other; triton's never are."""
    digest = hashlib.sha256()
    for path in sorted(kernels.rglob("*.py")):
        if not path.name.startswith("triton_"):
            text = path.read_bytes()
            digest.update(f"{path.relative_to(kernels).as_posix()} {len(text)}\n".encode() + text)
    return digest.hexdigest()


@functools.lru_cache(maxsize=4)
def _note_use(environment: Path) -> None:
    with suppress(OSError):  # read-only: then nobody deletes it either
        os.utime(environment)


@functools.lru_cache(maxsize=4)
def _delete_unused(kept: Path) -> None:
    """Delete what earlier versions of the kernels left; what is deleted too early is compiled again."""
    import shutil

    oldest = time.time() - UNUSED_DAYS * 24 * 3600
    for other in kept.parent.iterdir():
        if other != kept and other.is_dir() and other.stat().st_mtime < oldest:
            shutil.rmtree(other, ignore_errors=True)
