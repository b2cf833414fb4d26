"""The target ``onnx-int8``: a bundle's graphs in 8 bits, if the mouths that they draw stay what they were."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx

from lipforge.export.bundle_folder import read_reference
from lipforge.export.int8.mouth import Likeness, MouthSamples, Run, likeness
from lipforge.export.int8.quantiser import Quantiser
from lipforge.export.int8.samples import open_samples
from lipforge.export.int8.sensitivity import Choice, choose_layers
from lipforge.export.int8.sync import check_sync, judge_sync, open_judges
from lipforge.export.reduced import describe_reduced
from lipforge.export.verify import reference_arrays
from lipforge.kernels.errors import ExportError, InputError
from lipforge.runtime.engine import Engine
from lipforge.runtime.evaluate.sync_expert import DEFAULT_EXPERT
from lipforge.runtime.int8_entry import Int8Entry, Int8Graph
from lipforge.runtime.manifest import FP32, INT8, NO_GENERATOR, REFERENCE_NAME, Manifest
from lipforge.runtime.onnx_engine import OnnxEngine

LEAST_PSNR_DB = 35.0
MARGIN_DB = 1.0
"""What is aimed at beyond the least PSNR when layers are chosen: held-out samples may be a little worse."""

CHOOSING = 32
"""How many of the calibration's samples choose the layers."""


def _silent(message: str) -> None:
    pass


@dataclass(frozen=True)
class Int8Options:
    """How to quantise a bundle.

    Attributes:
        calibration: folder of a dataset that fits the generator.
        least_psnr_db: of the mouth against float32, on held-out samples.
        samples: to calibrate with.
        judged: held-out samples that decide.
        expert: name or folder of the bundle that judges sync; ``none`` asks nobody.
        say: called with what happens.
    """

    calibration: Path | None = None
    least_psnr_db: float = LEAST_PSNR_DB
    samples: int = 96
    judged: int = 48
    expert: str = DEFAULT_EXPERT
    say: Callable[[str], None] = field(default=_silent, compare=False)

    def check(self) -> None:
        """Check everything that needs no graph.

        Raises:
            ExportError: no dataset was named.
            InputError: there is no such folder.
        """
        if self.calibration is None:
            raise ExportError(
                "--target onnx-int8 measures value ranges on real inputs: give --calibration DATA. For a warp bundle, "
                "clips with pairs (`lipforge preprocess synth DATA`); for an inpaint bundle, face clips "
                "(`lipforge preprocess synth --faces` or `pack`, or a folder in the published layout)."
            )
        if not self.calibration.is_dir():
            raise InputError(f"--calibration {self.calibration}: no such folder; give the folder of a dataset.")


@dataclass(frozen=True)
class Runtime:
    """What will run the graphs, and judges them.

    Attributes:
        load: loads a graph.
        channels_last: the form of transposed convolutions that it runs faster, see ``split_transposed``.
    """

    load: Callable[[Path], Engine] = OnnxEngine
    channels_last: bool = True


def add_int8(folder: Path, manifest: Manifest, options: Int8Options, runtime: Runtime | None = None) -> Manifest:
    """Make the graphs of a whole bundle in ``folder`` ones in 8 bits, in place; for onnxruntime by default.

    Returns:
        The manifest as written.

    Raises:
        ExportError: the bundle draws nothing or is not in float32, no dataset was named, the mouths are not alike, or
            sync was lost.
        InputError, ConfigError: dataset or expert are not usable for this bundle.
        BackendError: the expert cannot be run.
    """
    if manifest.generator == NO_GENERATOR:
        raise ExportError(f"{', '.join(manifest.graphs)}: judges, which would judge otherwise in 8 bits; use onnx.")
    if manifest.precision != FP32:
        raise ExportError(f"{manifest.name}: is in {manifest.precision}; give the bundle or checkpoints in float32.")
    runtime = runtime or Runtime()
    own = _runs(folder, manifest, runtime)
    calibration, judging, fingerprint = open_samples(manifest, options, own)
    assert options.calibration is not None  # ``open_samples`` has read it
    judges = open_judges(manifest, options.calibration, options.expert, own)  # before the work of minutes
    choices: dict[str, tuple[Quantiser, Choice]] = {}
    # Errors of several graphs add up, so each has to be better than the whole.
    goal = options.least_psnr_db + MARGIN_DB + 10.0 * float(np.log10(len(manifest.graphs)))
    with _Scratch(folder) as scratch:
        for name, graph in manifest.graphs.items():
            feeds = calibration.feeds(name)
            options.say(f"{name}: measuring ranges on {len(feeds)} inputs")
            model = onnx.load_model(str(folder / graph.file))
            quantiser = Quantiser(model, feeds, channels_last=runtime.channels_last)
            look = _Look(name, calibration, scratch, runtime)
            choices[name] = quantiser, choose_layers(quantiser, look, goal, options.say)
    for name, (_, choice) in choices.items():
        onnx.save_model(choice.model, str(folder / manifest.graphs[name].file))
    quantised = _runs(folder, manifest, runtime)
    found = likeness(judging.draw(quantised), judging.draw({}))
    entry = _entry(choices, found, fingerprint, (len(calibration), len(judging)), options)
    _check(entry, manifest.name)
    if judges:
        names = " and ".join(judge.name for judge in judges)
        options.say(f"judging sync by {names} on {judges[0].frames} frames of {judges[0].clips} held-out clips")
        sync = judge_sync(judges, quantised)
        check_sync(sync, manifest.name)
        entry = replace(entry, sync=sync)
    reference = read_reference(folder / REFERENCE_NAME)
    graphs = {}
    for name, graph in manifest.graphs.items():
        inputs, expected = reference_arrays(reference, name, graph)
        graphs[name] = describe_reduced(folder, graph, quantised[name](inputs), expected)
    manifest = replace(manifest, graphs=graphs, int8=entry, precision=INT8)
    manifest.write(folder)
    return manifest


def _runs(folder: Path, manifest: Manifest, runtime: Runtime) -> dict[str, Run]:
    return {name: runtime.load(folder / graph.file).run for name, graph in manifest.graphs.items()}


class _Scratch:
    """A file inside the bundle's folder for graphs that are only looked at."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "looked-at.onnx"

    def __enter__(self) -> Path:
        return self._path

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)


class _Look:
    """Draws mouths with one graph in place of the bundle's own, and compares them."""

    def __init__(self, graph: str, samples: MouthSamples, scratch: Path, runtime: Runtime) -> None:
        self._graph, self._samples, self._scratch, self._runtime = graph, samples, scratch, runtime
        self._truths = samples.draw({}, CHOOSING)

    def __call__(self, model: onnx.ModelProto) -> Likeness:
        onnx.save_model(model, str(self._scratch))
        run = self._runtime.load(self._scratch).run
        return likeness(self._samples.draw({self._graph: run}, CHOOSING), self._truths)


def _entry(
    choices: Mapping[str, tuple[Quantiser, Choice]],
    found: Likeness,
    fingerprint: str,
    counts: tuple[int, int],
    options: Int8Options,
) -> Int8Entry:
    graphs = {
        name: Int8Graph(len(quantiser.layers), choice.floats, _finite(choice.likeness.psnr_db))
        for name, (quantiser, choice) in choices.items()
    }
    return Int8Entry(
        dataset=fingerprint,
        calibrated=counts[0],
        judged=counts[1],
        psnr_db=_finite(found.psnr_db),
        worst_psnr_db=_finite(found.worst_db),
        least_psnr_db=options.least_psnr_db,
        graphs=graphs,
    )


def _finite(decibels: float) -> float:
    return min(decibels, 100.0)  # JSON knows no infinity; beyond 100 dB nothing differs


def _check(entry: Int8Entry, name: str) -> None:
    if entry.psnr_db >= entry.least_psnr_db:
        return
    details = "; ".join(
        f"{graph}: {one.psnr_db:.1f} dB with {len(one.float_layers)} of {one.layers} layers in float32"
        for graph, one in entry.graphs.items()
    )
    raise ExportError(
        f"{name}: in 8 bits the mouth's PSNR against float32 is {entry.psnr_db:.1f} dB on {entry.judged} held-out "
        f"samples (the worst {entry.worst_psnr_db:.1f}), at least {entry.least_psnr_db:g} are asked for ({details}). "
        "Nothing was written. Calibrate with data like the model's own, use another target, or lower --psnr."
    )
