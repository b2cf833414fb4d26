"""CANN's converter ``atc``: its options for a graph, running it, and what its error codes mean."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto

from lipforge.export.graph import shape_of
from lipforge.kernels.errors import ExportError
from lipforge.runtime.om_conversion import om_names

PRECISION_MODES: Mapping[str, str] = {"fp16": "fp16", "mixed": "mixed_float16", "origin": "origin"}
"""``--precision`` -> atc's ``--precision_mode_v2``."""

PLAIN_PATH = re.compile(r"[A-Za-z0-9_./-]+")
"""What atc takes in a path, of ASCII; a space is not among it."""

ADVICE: Mapping[str, str] = {
    "E10001": "atc does not take the value of an option; an old CANN may lack --precision_mode_v2 or the --soc",
    "E10009": "two options exclude each other",
    "E10014": "the shapes are not the model's; export the bundle again",
    "E10016": "an input is called otherwise in the model; export the bundle again",
    "E10018": "only the batch may be open; export the bundle again",
    "E10031": "no batch is open; export the bundle again",
    "E10035": "give at least two sizes to --batch, or --static",
    "E10036": "give at most 100 sizes to --batch",
    "E10038": "give smaller sizes to --batch",
    "E10039": "give every size to --batch once",
    "E10410": "a file is missing",
    "E10501": "the chip's operators are not installed: install CANN's ops package for --soc, source set_env.sh",
    "E13000": "a file is missing or cannot be read",
    "E13001": "a path holds characters that atc refuses",
    "E13010": "CANN has no such operator for this chip; try a newer CANN",
    "E13023": "the OM is too large; use fewer gears",
    "E14001": "an operator cannot be compiled for this chip; the log names it",
    "E16001": "the graph has no input",
    "E16002": "this CANN does not know an operator at this opset; try --opset 13, or give its table with --ops-table",
    "E16004": "the ONNX file is damaged; export the bundle again",
    "E16005": "the model mixes operator sets; export the bundle again",
    "E19999": "an internal error of CANN; the lines around it in the log tell more",
}
ADVICE_BY_KIND: Mapping[str, str] = {
    "E40": "CANN's operator compiler lacks Python modules: pip install attrs cloudpickle decorator numpy psutil scipy "
    "sympy tornado, for the Python that atc uses",
    "EZ": "an internal error of CANN's driver or runtime",
    "EE": "an internal error of CANN's runtime",
    "EH": "an internal error of CANN's runtime",
}
CODE = re.compile(r"\b(E\d{5}|E[A-Z]\d{4})\b")


@dataclass(frozen=True)
class AtcJob:
    """One graph for atc.

    Attributes:
        graph: its name.
        onnx: file name of the model.
        om: name of the OM without suffix.
        arguments: atc's options but ``--soc_version``, with names relative to the folder.
        extra: further files that the options name.
    """

    graph: str
    onnx: str
    om: str
    arguments: tuple[str, ...]
    extra: tuple[str, ...] = ()


def atc_arguments(model: onnx.ModelProto, files: AtcJob, gears: tuple[int, ...], precision: str) -> tuple[str, ...]:
    """Return atc's options for a model, all but ``--soc_version``.

    Args:
        model: what atc will read; only the first axis of its inputs may be open.
        files: names of the files; ``extra`` is AIPP's configuration if there is one.
        gears: batch sizes; one means a static batch.
        precision: a key of ``PRECISION_MODES``.
    """
    batch = "-1" if len(gears) > 1 else str(gears[0])
    shapes = [
        f"{value.name}:{','.join([batch, *(str(size) for size in shape_of(value)[1:])])}" for value in model.graph.input
    ]
    floats = all(value.type.tensor_type.elem_type == TensorProto.FLOAT for value in model.graph.output)
    return (
        "--framework=5",
        f"--model={files.onnx}",
        f"--output={files.om}",
        # ND takes inputs of any rank as they are; AIPP asks for NCHW.
        f"--input_format={'NCHW' if files.extra else 'ND'}",
        f"--input_shape={';'.join(shapes)}",
        *([f"--dynamic_batch_size={','.join(map(str, gears))}"] if len(gears) > 1 else []),
        f"--precision_mode_v2={PRECISION_MODES[precision]}",
        *(["--output_type=FP32"] if floats else []),
        *(f"--insert_op_conf={name}" for name in files.extra),
        "--log=error",
    )


def find_atc(named: Path | None) -> Path | None:
    """Return the atc that was named, or the one on PATH; None if there is none.

    Raises:
        ExportError: the one that was named is not there or not a program.
    """
    if named is None:
        found = shutil.which("atc")
        return None if found is None else Path(found)
    if not named.is_file() or not os.access(named, os.X_OK):
        raise ExportError(f"--atc {named}: is not a program. Give the path of CANN's atc, or source its set_env.sh.")
    return named.absolute()


def run_atc(program: Path, job: AtcJob, soc: str, folder: Path, log: Path) -> Path:
    """Convert one graph and put the OM into ``folder``.

    atc refuses many characters in paths, so it works in a folder of its own, on relative names.

    Args:
        program: atc.
        job: the graph.
        soc: the chip.
        folder: where the job's files are and the OM goes.
        log: file that gets what atc says.

    Returns:
        The OM.

    Raises:
        ExportError: atc failed or wrote no OM; the message holds what its code means, the log stays.
    """
    with tempfile.TemporaryDirectory(prefix="lipforge-atc-", dir=_plain_folder()) as work:
        for name in (job.onnx, *job.extra):
            shutil.copy(folder / name, work)
        command = [str(program), *job.arguments, f"--soc_version={soc}"]
        with log.open("wb") as output:
            try:
                done = subprocess.run(command, cwd=work, stdout=output, stderr=subprocess.STDOUT, check=False)
            except OSError as error:
                raise ExportError(f"--atc {program}: cannot be run ({error.strerror or error}).") from error
        found = [path for pattern in om_names(job.om) for path in Path(work).glob(pattern) if path.stat().st_size]
        if done.returncode or not found:
            said = log.read_text(encoding="utf-8", errors="replace")
            ending = f"ended with code {done.returncode}" if done.returncode else "ended well but wrote no OM"
            raise ExportError(f"{job.graph}: atc {ending}. {explain_log(said)} Its words are in {log}.")
        return Path(shutil.move(found[0], folder / found[0].name))


def explain_log(text: str) -> str:
    """Return what the error codes in atc's words mean, in one line."""
    codes = list(dict.fromkeys(CODE.findall(text)))
    if not codes:
        return "It gave no error code; is CANN's set_env.sh sourced?"
    return " ".join(f"{code}: {_advice(code)}." for code in codes)


def _advice(code: str) -> str:
    return ADVICE.get(code) or next(
        (advice for kind, advice in ADVICE_BY_KIND.items() if code.startswith(kind)), "not known to this version"
    )


def _plain_folder() -> str | None:
    """Return a folder for temporary files whose path atc takes; None is the system's own."""
    return None if PLAIN_PATH.fullmatch(os.path.realpath(tempfile.gettempdir())) else "/tmp"
