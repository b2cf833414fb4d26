"""The target ``ascend-om``: a bundle's graphs checked, rehearsed and, where atc is at hand, converted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx

from lipforge.export.ascend.atc import AtcJob, atc_arguments, find_atc, run_atc
from lipforge.export.ascend.bundle_files import PREFLIGHT_NAME, log_name
from lipforge.export.ascend.checked_graph import CheckedGraph
from lipforge.export.ascend.convert_script import README, README_NAME, convert_script
from lipforge.export.ascend.finding import Finding
from lipforge.export.ascend.input_forms import AippInput, use_aipp, use_floats
from lipforge.export.ascend.operator_table import OperatorTable
from lipforge.export.ascend.preflight import check_graph, refuse_errors
from lipforge.export.ascend.rehearsal import rehearse, samples_like
from lipforge.export.bundle_folder import read_reference
from lipforge.kernels.errors import ExportError
from lipforge.runtime.ascend_entry import AscendEntry, AscendModel
from lipforge.runtime.engine import Arrays
from lipforge.runtime.manifest import REFERENCE_NAME, GraphEntry, Manifest, sha256_of
from lipforge.runtime.om_conversion import SCRIPT_NAME, Conversion, OmFile

DEFAULT_SOC = "Ascend310P3"
DEFAULT_GEARS = (1, 4, 8)
SOC = re.compile(r"Ascend(310(P\d|B\d)?|910\w*(-\d)?|950\w*|035)")
"""What atc's ``--soc_version`` looks like."""

LARGEST_GEAR, MOST_GEARS = 2048, 100
MAXIMUM_BYTES = 2 << 30
"""An ONNX file of 2 GiB and more cannot be one file (protobuf)."""


def _silent(message: str) -> None:
    pass


@dataclass(frozen=True)
class AscendOptions:
    """How to make a bundle for Ascend NPUs.

    Attributes:
        soc: the chip, as atc's ``--soc_version``.
        gears: batch sizes, rising; one means a static batch.
        precision: ``fp16``, ``mixed`` or ``origin``.
        aipp: let AIPP prepare the pictures that it fits.
        float_inputs: let the OM take float32 where the graph takes bytes; the runtime converts on the host.
        atc: the program; None looks on PATH.
        convert: whether to run atc if it is there.
        operator_table: replaces the table that ships.
        fp16_budget: largest absolute error that float16 may cause; None takes each output's own.
        say: called with what happens.
    """

    soc: str = DEFAULT_SOC
    gears: tuple[int, ...] = DEFAULT_GEARS
    precision: str = "fp16"
    aipp: bool = False
    float_inputs: bool = False
    atc: Path | None = None
    convert: bool = True
    operator_table: Path | None = None
    fp16_budget: float | None = None
    say: Callable[[str], None] = field(default=_silent, compare=False)

    def check(self) -> None:
        """Check everything that needs no graph.

        Raises:
            ExportError: the chip, the gears or atc are not usable.
            InputError: the table is not usable.
        """
        if not SOC.fullmatch(self.soc):
            raise ExportError(
                f"--soc {self.soc}: is not a chip that atc knows. `npu-smi info` shows the name, to be written with "
                f"Ascend in front: {DEFAULT_SOC}, Ascend310B4, Ascend910B3, ..."
            )
        rising = list(self.gears) == sorted(set(self.gears))
        if not self.gears or not rising or not 1 <= self.gears[0] <= self.gears[-1] <= LARGEST_GEAR:
            raise ExportError(
                f"--batch {','.join(map(str, self.gears))}: must be different sizes from 1 to {LARGEST_GEAR}, rising."
            )
        if len(self.gears) > MOST_GEARS:
            raise ExportError(f"--batch: {len(self.gears)} sizes are more than the {MOST_GEARS} that atc takes.")
        find_atc(self.atc)
        OperatorTable.load(self.operator_table)


@dataclass(frozen=True)
class _Prepared:
    """A graph as atc will get it."""

    name: str
    original: onnx.ModelProto
    checked: CheckedGraph
    aipp: tuple[AippInput, ...]
    floats: tuple[str, ...]
    job: AtcJob


def add_ascend(folder: Path, manifest: Manifest, options: AscendOptions, destination: Path) -> Manifest:
    """Make a whole bundle in ``folder`` one for Ascend NPUs; its graphs and reference are there already.

    Args:
        folder: where the bundle stands for now.
        manifest: the bundle's; it is written again.
        options: what to make.
        destination: the folder that the bundle will be; a log of atc's is kept beside it if atc fails.

    Returns:
        The manifest as written.

    Raises:
        ExportError: a rule or the rehearsal found an error, or atc failed.
        InputError: the reference or the table is not usable.
    """
    options.check()
    table = OperatorTable.load(options.operator_table)
    reference = read_reference(folder / REFERENCE_NAME)
    prepared = [_prepare(name, graph, folder, options, table) for name, graph in manifest.graphs.items()]
    if options.aipp and not any(one.aipp for one in prepared):
        reasons = "; ".join(reason for one in prepared for reason in use_aipp(one.original)[2])
        raise ExportError(f"--aipp: no input fits ({reasons}). Export without it.")
    warnings = refuse_errors(finding for one in prepared for finding in check_graph(one.checked))
    models: dict[str, AscendModel] = {}
    for one in prepared:
        models[one.name], found = _rehearsed(one, manifest.graphs[one.name], reference, options)
        warnings += found
    refuse_errors(warnings)
    entry = AscendEntry(options.soc, options.precision, options.gears, table.describe(), models)
    manifest = replace(manifest, ascend=entry)
    manifest.write(folder)
    jobs = [one.job for one in prepared]
    _write_texts(folder, jobs, options.soc, warnings)
    for warning in warnings:
        options.say(f"warning: {warning}")
    program = find_atc(options.atc) if options.convert else None
    if program is not None:
        _convert(program, jobs, options, folder, destination)
    return manifest


def _prepare(name: str, graph: GraphEntry, folder: Path, options: AscendOptions, table: OperatorTable) -> _Prepared:
    """Change a graph's inputs as asked and write it under a name of its own if that changed anything."""
    path = folder / graph.file
    if path.stat().st_size >= MAXIMUM_BYTES:
        raise ExportError(f"{graph.file}: is larger than 2 GiB; atc reads models in one file.")
    original = model = onnx.load_model(str(path))
    aipp: tuple[AippInput, ...] = ()
    floats: tuple[str, ...] = ()
    if options.aipp:
        model, aipp, _ = use_aipp(model)
    if options.float_inputs:
        model, floats = use_floats(model)
    if aipp or floats:
        path = folder / f"{Path(graph.file).stem}-ascend.onnx"
        onnx.checker.check_model(model, full_check=True)
        onnx.save_model(model, str(path))
        model = onnx.load_model(str(path))
    job = AtcJob(name, path.name, name, ())
    if aipp:
        job = replace(job, extra=(f"{name}-aipp.cfg",))
        text = "".join(step.to_text() for step in aipp)
        (folder / job.extra[0]).write_text(text, encoding="utf-8", newline="\n")
    job = replace(job, arguments=atc_arguments(model, job, options.gears, options.precision))
    names = tuple(step.name for step in aipp)
    checked = CheckedGraph(name, model, path, table, len(options.gears) > 1, options.precision, names)
    return _Prepared(name, original, checked, aipp, floats, job)


def _rehearsed(
    one: _Prepared, graph: GraphEntry, reference: Arrays, options: AscendOptions
) -> tuple[AscendModel, list[Finding]]:
    typical = {tensor.name: reference[f"{one.name}.{tensor.name}"] for tensor in graph.inputs}
    found = rehearse(one.checked, one.original, one.aipp, samples_like(typical), options.fp16_budget)
    model = AscendModel(
        onnx=one.job.onnx,
        om=one.job.om,
        float_inputs=one.floats,
        aipp=one.job.extra[0] if one.job.extra else "",
        aipp_inputs=tuple(step.name for step in one.aipp),
        arguments=one.job.arguments,
        fp16_error=found.error,
        budget=found.budget,
        largest_activation=found.largest_activation,
    )
    return model, list(found.findings)


def _write_texts(folder: Path, jobs: list[AtcJob], soc: str, warnings: Iterable[Finding]) -> None:
    script = folder / SCRIPT_NAME
    script.write_text(convert_script(jobs, soc), encoding="utf-8", newline="\n")
    script.chmod(0o755)
    (folder / README_NAME).write_text(README.format(soc=soc), encoding="utf-8", newline="\n")
    report = {"schema": 1, "findings": [warning.to_dict() for warning in warnings]}
    (folder / PREFLIGHT_NAME).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8", newline="\n")


def _convert(program: Path, jobs: list[AtcJob], options: AscendOptions, folder: Path, destination: Path) -> None:
    models = {}
    for job in jobs:
        options.say(f"converting {job.graph} for {options.soc} with {program}; this may take minutes")
        # Beside the bundle, since nothing of the bundle itself stays if atc fails.
        log = destination.parent / f"{destination.name}.{log_name(job.om)}"
        om = run_atc(program, job, options.soc, folder, log)
        log.replace(folder / log_name(job.om))
        models[job.graph] = OmFile(om.name, sha256_of(om))
    Conversion(options.soc, models).write(folder)
