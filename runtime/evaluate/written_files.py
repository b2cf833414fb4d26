"""Writing of a report's files: whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from lipforge.kernels.errors import InputError
from lipforge.runtime.evaluate.report import Report


def check_writable(path: Path, inputs: list[Path], *, overwrite: bool) -> None:
    """Say at once, not after minutes of work, that a file could not be written.

    Raises:
        InputError: its folder is missing, it is there and may not be replaced, or it is one of the inputs.
    """
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} is missing. Make it first.")
    if not path.exists():
        return
    if not path.is_file() or any(given.exists() and given.samefile(path) for given in inputs):
        raise InputError(f"{path}: is a folder or one of the videos. Give another name.")
    if not overwrite:
        raise InputError(f"{path}: is there already. Add --overwrite to replace it.")


def write_json(report: Report, path: Path) -> None:
    """Write the report as JSON."""
    write_text(path, json.dumps(report.to_dict(), indent=2, allow_nan=False) + "\n")


def write_html(report: Report, path: Path) -> None:
    """Write the report as a page."""
    from lipforge.runtime.evaluate.html_page import page

    write_text(path, page(report))


def write_text(path: Path, text: str) -> None:
    """Write a text file under a temporary name and rename it when it is whole."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
