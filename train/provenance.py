"""What made a checkpoint: versions of the software, and the revision of the checkout it ran from."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import torch

GIT_SECONDS = 5.0


def versions() -> dict[str, str]:
    """Return versions of lipforge, python and torch, and ``git``, the revision, if lipforge is run from a checkout."""
    found = {
        "lipforge": metadata.version("lipforge"),
        "python": sys.version.split()[0],
        "torch": str(torch.__version__),
    }
    revision = _revision(Path(__file__).resolve())
    return found if revision is None else {**found, "git": revision}


def _revision(module: Path) -> str | None:
    """Return the commit of a module's checkout, with ``-dirty`` if files differ from it."""
    top = _git(module.parent, "rev-parse", "--show-toplevel")
    # An environment may lie inside of somebody else's checkout: the module has to be a file of this one.
    if top is None or _git(module.parent, "ls-files", "--error-unmatch", module.name) is None:
        return None
    return _git(module.parent, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True, timeout=GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
