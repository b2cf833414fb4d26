"""A bundle's folder appears whole or not at all, and never in the place of somebody's files."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lipforge.export.ascend.bundle_files import ascend_files
from lipforge.kernels.errors import ConfigError, ExportError, InputError
from lipforge.runtime.manifest import FILE_NAME, REFERENCE_NAME, Manifest

if TYPE_CHECKING:  # what is below needs torch; a bundle can be read and tested without
    from lipforge.export.plan import Arrays

EPOCH = (1980, 1, 1, 0, 0, 0)  # the zip format's first day: equal content gives equal bytes


def check_target(folder: Path, *, overwrite: bool) -> None:
    """Check that a bundle may be written to ``folder``: it is free, empty, or a bundle that may be replaced.

    Raises:
        InputError: something else is there, or a bundle without ``overwrite``.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if folder.is_symlink() or not folder.is_dir():
        raise InputError(f"{folder}: exists and is not a folder; give -o the name of a new folder.")
    found = {file.name for file in folder.iterdir()}
    if not found:
        return
    known = _bundle_files(folder)
    if not known:
        raise InputError(f"{folder}: exists and is not a bundle; nothing in it was touched. Give -o a new folder.")
    if foreign := sorted(found - known):
        raise InputError(
            f"{folder}: holds files that are not the bundle's: {foreign}. Move them away or write elsewhere."
        )
    if not overwrite:
        raise InputError(f"{folder}: a bundle is already there; pass --overwrite to replace it, or give a new folder.")


@contextmanager
def new_folder(folder: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary folder beside ``folder`` that takes its name when the block succeeds and vanishes when not.

    Raises:
        InputError: ``folder`` is taken (``check_target``).
        ExportError: the disk refuses.
    """
    check_target(folder, overwrite=overwrite)
    temporary = folder.parent / f".{folder.name}.{os.getpid()}.part"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        check_target(folder, overwrite=overwrite)  # exporting took a while
        _swap(temporary, folder)
    except OSError as error:
        raise ExportError(f"{folder}: cannot be written ({error.strerror or error}); nothing was changed.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_reference(path: Path, arrays: Arrays) -> None:
    """Write arrays as a compressed ``.npz`` whose bytes depend on nothing but the arrays."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", EPOCH)
            member.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(member, "w") as file:
                np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


def read_reference(path: Path) -> Arrays:
    """Read a bundle's reference arrays.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: cannot be read ({error}); copy or export the bundle again.") from error


def _bundle_files(folder: Path) -> set[str]:
    """Return the names of a bundle's files; none if the folder is no bundle."""
    try:
        manifest = Manifest.read(folder)
    except (ConfigError, InputError):
        return set()
    known = {FILE_NAME, REFERENCE_NAME, *(graph.file for graph in manifest.graphs.values())}
    return known | ascend_files(manifest.ascend, folder)


def _swap(new: Path, folder: Path) -> None:
    old = folder.parent / f".{folder.name}.{os.getpid()}.old"
    if folder.exists():
        folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
