"""``convert.sh`` and the three lines that stand beside it: a bundle that can be converted without lipforge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files

from lipforge.export.ascend.atc import AtcJob
from lipforge.runtime.om_conversion import FILE_NAME

README_NAME = "README.txt"
README = """\
OM models for Ascend NPUs: run ./convert.sh [SOC] where CANN is installed; without SOC they are made for {soc}.
`lipforge export selftest FOLDER` then compares the NPU with reference.npz and prints a report.
`lipforge sync --model FOLDER` runs on the NPU if its chip fits, else on the CPU; --backend acl insists on the NPU.
"""


def convert_script(jobs: Sequence[AtcJob], soc: str) -> str:
    """Return the text of ``convert.sh``, a POSIX shell script that works in its own folder.

    Args:
        jobs: the graphs.
        soc: the chip that is taken if none is named.
    """
    template = (files("lipforge.export.ascend") / "convert_script.txt").read_text(encoding="utf-8")
    calls = [
        f"convert {job.graph} {job.om} {' '.join([job.onnx, *job.extra])} -- \\\n    {_quoted(job.arguments)}\n"
        for job in jobs
    ]
    return template.replace("@SOC@", soc).replace("@CONVERSION@", FILE_NAME).replace("@CALLS@", "".join(calls))


def _quoted(arguments: Iterable[str]) -> str:
    return " \\\n    ".join("'" + argument.replace("'", "'\\''") + "'" for argument in arguments)
