"""Which torch, torch_npu and CANN belong together, judged by the published table in ``npu_pairing.json``."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

Table = Mapping[str, tuple[str, ...]]

CANN_HOMES = ("/usr/local/Ascend/cann", "/usr/local/Ascend/ascend-toolkit/latest")
"""Default folders of a system-wide installation: since CANN 8.5, and before."""


@dataclass(frozen=True)
class Verdict:
    """Whether three versions belong together, why not, and what to do."""

    status: Literal["ok", "problem"]
    detail: str
    fix: str = ""


def load_table() -> Table:
    """Return CANN version -> the torch_npu versions made for it."""
    text = (files("lipforge.runtime") / "doctor" / "npu_pairing.json").read_text(encoding="utf-8")
    return {cann: tuple(versions) for cann, versions in json.loads(text)["cann"].items()}


def judge(torch: str | None, torch_npu: str, cann: str | None, table: Table) -> Verdict:
    """Judge a combination.

    Args:
        torch: its version with the local part, such as ``"2.9.0+cpu"``; None if it is not installed.
        torch_npu: its version, such as ``"2.9.0.post2"``.
        cann: its version, such as ``"9.0.0"`` or ``"8.3.RC1"``; None if it was not found.
        table: what ``load_table`` returns.
    """
    release = ".".join(torch_npu.split(".")[:3])
    install = f"pip install torch=={release} torch_npu=={torch_npu}"
    if torch is None:
        return Verdict("problem", f"torch_npu {torch_npu} without torch", install)
    shown = f"torch {torch}, torch_npu {torch_npu}, CANN {cann or 'not found'}"
    if "+cu" in torch or "+rocm" in torch:
        return Verdict("problem", f"{shown}: torch_npu needs a CPU build of torch", f"{install} (a CPU build)")
    if torch.partition("+")[0] != release:
        return Verdict("problem", f"{shown}: torch_npu {torch_npu} needs torch {release}", install)
    if cann is None:
        return Verdict("problem", shown, "Install CANN and source its set_env.sh; until then `import torch` fails.")
    return _judge_cann(shown, torch_npu, cann, table)


def _judge_cann(shown: str, torch_npu: str, cann: str, table: Table) -> Verdict:
    made_for = [version for version, paired in table.items() if torch_npu in paired]
    if not made_for:
        return Verdict("problem", f"{shown}: unknown pairing", "Compare with the version table of Ascend/pytorch.")
    if not any(matches(cann, version) for version in made_for):
        others = [npu for version, paired in table.items() if matches(cann, version) for npu in paired]
        fix = f"Install CANN {' or '.join(made_for)}" + (f", or torch_npu {' or '.join(others)}." if others else ".")
        return Verdict("problem", f"{shown}: torch_npu {torch_npu} is made for CANN {' or '.join(made_for)}", fix)
    return Verdict("ok", shown)


def matches(cann: str, pattern: str) -> bool:
    """Tell whether a CANN version is the one in the table; ``9.1.X`` stands for every patch after 9.1.0."""
    if not pattern.endswith(".X"):
        return cann.upper() == pattern.upper()
    stem = pattern.removesuffix("X")
    return cann.startswith(stem) and cann != f"{stem}0"


def find_cann(environ: Mapping[str, str] = os.environ) -> tuple[Path | None, str | None]:
    """Return CANN's folder and version; None for what is not found.

    The environment that set_env.sh makes comes first, then the default folders.
    """
    named = (environ.get("ASCEND_HOME_PATH"), environ.get("ASCEND_TOOLKIT_HOME"))
    for home in (Path(text) for text in (*named, *CANN_HOMES) if text):
        if home.is_dir():
            return home, _cann_version(home)
    return None, None


def _cann_version(home: Path) -> str | None:
    for record in sorted(home.glob("*-linux/ascend_toolkit_install.info")):
        found = re.search(r"^version=(\S+)", record.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
        if found:
            return found[1]
    return None
