"""Reading ``.pth`` files from elsewhere: nothing in them is executed, and what is none is told for what it is."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from lipforge.kernels.errors import InputError

HEAD_BYTES = 1024
ZIP = b"PK\x03\x04"  # torch 1.6 and later
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # before: a pickle of torch's magic number comes first
PICKLE = b"\x80"
ARCHIVES = {b"\x1f\x8b": "gzip", b"7z\xbc\xaf": "7-Zip", b"Rar!": "RAR", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
AGAIN = "download it again and compare its size with the source's"


def read_pth(path: Path) -> dict[str, Any]:
    """Read a file that ``torch.save`` wrote, tensors and plain values only, onto the CPU.

    Raises:
        InputError: the file is missing, cut short, damaged, no torch file (a web page, a text, an archive, a
            TorchScript program), or holds Python objects, which would have to be executed.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the .pth file that was downloaded or trained.")
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    _refuse_foreign(path, head)
    if head.startswith(ZIP):
        _check_archive(path)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises anything on a file that is none
        raise InputError(f"{path}: {_why_not(error)}") from error
    if not isinstance(loaded, dict):
        raise InputError(
            f"{path}: holds a {type(loaded).__name__}; a published file is a dict with state_dict, optimizer, "
            "global_step and global_epoch."
        )
    return loaded


def _refuse_foreign(path: Path, head: bytes) -> None:
    """Refuse what the first bytes already tell."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not head:
        raise InputError(f"{path}: is empty; {AGAIN}.")
    if text[:14].lower().startswith((b"<!doctype html", b"<html", b"<?xml", b"<head")):
        raise InputError(
            f"{path}: is a web page, not weights: the link led to a sign-in, quota or licence page. Open the link in a "
            "browser and download the file itself."
        )
    if text.startswith(b"version https://git-lfs"):
        raise InputError(f"{path}: is a Git LFS pointer, not weights; fetch the file itself with `git lfs pull`.")
    for magic, name in ARCHIVES.items():
        if head.startswith(magic):
            raise InputError(f"{path}: is a {name} archive; unpack it and give the .pth file inside.")
    if _is_text(head):
        first = text.split(b"\n")[0][:40].decode("utf-8", "replace").strip()
        raise InputError(f"{path}: is a text file that begins {first!r}, not weights; give the .pth file.")
    if LEGACY.startswith(head[: len(LEGACY)]) or ZIP.startswith(head[: len(ZIP)]):
        return
    if head.startswith(PICKLE):
        raise InputError(f"{path}: is a Python pickle that torch did not save; pickles are not executed here.")
    raise InputError(f"{path}: no file that torch saved (it begins with bytes {head[:4].hex(' ')}); give a .pth file.")


def _is_text(head: bytes) -> bool:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # a letter may be cut in two at the end
            return False
    return not any(byte < 9 or 13 < byte < 27 for byte in head)


def _check_archive(path: Path) -> None:
    """Tell other archives apart, and compare checksums: torch itself takes damaged weights for good ones."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            inner = {name.partition("/")[2] for name in names}
            if "constants.pkl" in inner:
                raise InputError(
                    f"{path}: is a TorchScript archive, a compiled program instead of named weights, and is not "
                    "executed here; get the original .pth checkpoint."
                )
            if "data.pkl" not in inner:
                raise InputError(f"{path}: is a zip archive of {names[:3]}; unpack it and give the .pth file inside.")
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError) as error:
        raise InputError(f"{path}: cut short after {path.stat().st_size} bytes ({error}); {AGAIN}.") from error
    if damaged is not None:
        raise InputError(f"{path}: damaged: {damaged} does not match its checksum; {AGAIN}.")


def _why_not(error: Exception) -> str:
    foreign = re.search(r"(?:GLOBAL|class) ([\w.]+)", str(error))
    if foreign:
        return (
            f"holds Python objects ({foreign[1]}) beside its weights, and loading them would execute code; nothing in "
            "a pickle is executed here. Save its state_dict alone in the environment that wrote it."
        )
    reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
    if isinstance(error, EOFError) or "EOF" in reason or "Weights only load failed" in reason:
        return f"cut short or damaged; {AGAIN}."
    return f"cannot be read ({reason}); {AGAIN}."
