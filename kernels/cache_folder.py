"""The folder for files that can be made or fetched again."""

from __future__ import annotations

import os
import sys
from pathlib import Path

CACHE_VARIABLE = "LIPFORGE_CACHE"


def cache_dir() -> Path:
    """Return the folder for fetched and compiled files: ``LIPFORGE_CACHE``, else the platform's folder for caches."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "lipforge"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "lipforge" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lipforge"
