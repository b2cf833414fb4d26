"""The files that an Ascend bundle holds beyond those of every bundle."""

from __future__ import annotations

from pathlib import Path

from lipforge.export.ascend.convert_script import README_NAME
from lipforge.runtime.ascend_entry import AscendEntry
from lipforge.runtime.om_conversion import FILE_NAME, SCRIPT_NAME, om_names

PREFLIGHT_NAME = "preflight.json"


def log_name(om: str) -> str:
    """Return the name of the file with atc's words about an OM."""
    return f"{om}.atc.log"


def ascend_files(entry: AscendEntry | None, folder: Path) -> set[str]:
    """Return the names of the files that an export or ``convert.sh`` may have put into a bundle's folder."""
    if entry is None:
        return set()
    names = {FILE_NAME, SCRIPT_NAME, README_NAME, PREFLIGHT_NAME}
    for model in entry.models.values():
        names |= {model.onnx, model.aipp, log_name(model.om)}
        names |= {path.name for pattern in om_names(model.om) for path in folder.glob(pattern)}
    return names - {""}
