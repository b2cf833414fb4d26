"""The drawn mouths that the tests train on, for benchmarks of training."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

DRAWN = Path(__file__).parents[1] / "tests" / "train" / "conftest.py"


def drawn_mouths() -> ModuleType:
    """Load the tests' module that draws."""
    spec = importlib.util.spec_from_file_location("drawn_mouths", DRAWN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_frame_folders(root: Path) -> None:
    """Write three clips for training and one held out, in the published layout."""
    drawn = drawn_mouths()
    for number in range(4):
        drawn.write_talking_clip(root / "main" / str(number), number, frames=60)
    (root / "filelists").mkdir()
    (root / "filelists" / "train.txt").write_text("main/0\nmain/1\nmain/2\n")
    (root / "filelists" / "val.txt").write_text("main/3\n")
