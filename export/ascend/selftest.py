"""A report that a user with an NPU can pass on: does the bundle compute there what torch computed, and how fast?"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import numpy as np

from lipforge.export.bundle_folder import read_reference
from lipforge.export.verify import reference_arrays, repeat, report_output
from lipforge.kernels.errors import BackendError, LipforgeError
from lipforge.runtime.acl_module import load_acl
from lipforge.runtime.acl_process import acl_process
from lipforge.runtime.backends import ACL, ONNXRUNTIME, acl_obstacle
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.doctor.npu_pairing import find_cann, judge, load_table
from lipforge.runtime.doctor.runtime_packages import installed_version
from lipforge.runtime.engine import Arrays, Engine
from lipforge.runtime.manifest import REFERENCE_NAME
from lipforge.runtime.om_conversion import Conversion

WARM_UP_RUNS = 5


@dataclass
class SelftestReport:
    """What a self-test found, in the order in which it was found.

    Attributes:
        lines: of the report.
        failed: the steps that failed.
    """

    lines: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether everything that ran agreed with the reference."""
        return not self.failed

    def add(self, line: str) -> None:
        """Add a line."""
        self.lines.append(line)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Run a step; an error that a user can meet ends it and is told."""
        try:
            yield
        except LipforgeError as error:
            self.failed.append(name)
            self.add(f"FAILED at {name}: {error}")

    def to_text(self) -> str:
        """Return the report as plain text."""
        verdict = "passed" if self.passed else f"FAILED at {', '.join(self.failed)}"
        return "\n".join(["--- lipforge selftest", *self.lines, f"result: {verdict}", "---"])


def selftest_bundle(path_or_name: str | Path, runs: int = 100) -> SelftestReport:
    """Try a bundle on the NPU if that is possible, and on the CPU in any case.

    Args:
        path_or_name: a folder, or the name of a bundle that ships.
        runs: how often each batch size is timed.

    Raises:
        InputError: there is no such bundle, or it is damaged.
        ConfigError: its manifest is not usable.
    """
    bundle = Bundle.load(path_or_name, ONNXRUNTIME)
    reference = read_reference(bundle.folder / REFERENCE_NAME)
    report = SelftestReport()
    _describe_machine(report)
    _describe_bundle(report, bundle)
    obstacle = ""
    with report.step("looking for the NPU"):
        obstacle = acl_obstacle(bundle.folder, bundle.manifest)
    if not report.failed and not obstacle:
        _try_backend(report, bundle.folder, ACL, reference, runs)
    elif obstacle:
        report.add(f"NPU: not run. {obstacle}")
    _try_backend(report, bundle.folder, ONNXRUNTIME, reference, min(runs, 20))
    return report


def _describe_machine(report: SelftestReport) -> None:
    report.add(f"lipforge {version('lipforge')}, Python {platform.python_version()}, numpy {version('numpy')}")
    report.add(f"{platform.system()} {platform.machine()}, onnxruntime {installed_version('onnxruntime')}")
    home, cann = find_cann()
    report.add(f"CANN: {'not found' if home is None else cann or 'of unknown version'}")
    torch_npu = installed_version("torch_npu")
    if torch_npu is not None:
        verdict = judge(installed_version("torch"), torch_npu, cann, load_table())
        report.add(f"pairing: {verdict.status}, {verdict.detail}")
    try:
        process = acl_process(load_acl())
        report.add(f"acl: {process.soc_name() or 'no chip name'}, {process.device_count()} NPU(s) visible")
    except BackendError as error:
        report.add(f"acl: {error}")


def _describe_bundle(report: SelftestReport, bundle: Bundle) -> None:
    entry = bundle.manifest.ascend
    report.add(f"bundle: {bundle.manifest.name}, generator {bundle.manifest.generator}")
    if entry is not None:
        gears = ", ".join(map(str, entry.gears))
        report.add(f"exported for {entry.soc}, precision {entry.precision}, batches {gears}")
        with report.step("reading the conversion"):
            conversion = Conversion.read(bundle.folder)
            report.add("not converted" if conversion is None else f"converted for {conversion.soc}")
    for name, graph in bundle.manifest.graphs.items():
        report.add(f"{name}: opset {graph.opset}, sha256 {graph.sha256[:16]}")


def _try_backend(report: SelftestReport, folder: Path, backend: str, reference: Arrays, runs: int) -> None:
    with report.step(f"{backend}: loading the bundle"):
        bundle = Bundle.load(folder, backend)
        for name in bundle.manifest.graphs:
            with report.step(f"{backend}: {name}"):
                _try_graph(report, bundle, name, reference, runs)


def _try_graph(report: SelftestReport, bundle: Bundle, name: str, reference: Arrays, runs: int) -> None:
    entry, graph, backend = bundle.manifest.ascend, bundle.graph(name), bundle.choice.backend
    inputs, expected = reference_arrays(reference, name, graph)
    tolerance = graph.parity.tolerance if entry is None or backend != ACL else entry.budget(name, expected)
    started = perf_counter()
    engine = bundle.engine(name)
    try:
        report.add(f"{backend} {name}: loaded in {1000 * (perf_counter() - started):.0f} ms")
        for batch in entry.gears if entry is not None else (1,):
            produced = engine.run(repeat(inputs, batch))
            for output, truth in repeat(expected, batch).items():
                found = report_output(name, output, batch, produced[output], truth)
                agrees = found.max_abs <= tolerance[output]
                report.add(
                    f"{backend} {name}.{output} batch {batch}: max {found.max_abs:.2e} of {tolerance[output]:.1e}, "
                    f"mean {found.mean_abs:.2e}, PSNR {found.psnr_db:.1f} dB, cosine {found.cosine:.7f}"
                    f"{'' if agrees else '  <- TOO FAR'}"
                )
                if not agrees:
                    report.failed.append(f"{backend}: {name}.{output} batch {batch}")
            median, slow = _times(engine, repeat(inputs, batch), repeat(expected, batch), runs)
            report.add(f"{backend} {name} batch {batch}: p50 {median:.3f} ms, p95 {slow:.3f} ms over {runs} runs")
    finally:
        engine.close()


def _times(engine: Engine, inputs: Arrays, outputs: Arrays, runs: int) -> tuple[float, float]:
    """Return the median and the 95th percentile of a run with its copies, ms."""
    given = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
    run: Callable[[], None] = engine.bind({**given, **{name: np.empty_like(a) for name, a in outputs.items()}})
    taken = []
    for _ in range(WARM_UP_RUNS + runs):
        started = perf_counter()
        run()
        taken.append(1000 * (perf_counter() - started))
    return float(np.median(taken[WARM_UP_RUNS:])), float(np.percentile(taken[WARM_UP_RUNS:], 95))
