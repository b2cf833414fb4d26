"""The kinds of bundle: what makes a verified ONNX bundle one of another kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lipforge.export.ascend.target import AscendOptions, add_ascend
from lipforge.export.fp16 import add_fp16
from lipforge.export.int8.target import Int8Options, add_int8
from lipforge.export.openvino_target import add_openvino
from lipforge.kernels.errors import ExportError
from lipforge.runtime.manifest import Manifest
from lipforge.runtime.packages import require

ONNX, FP16, INT8, OPENVINO, ASCEND = "onnx", "onnx-fp16", "onnx-int8", "openvino", "ascend-om"


@dataclass(frozen=True)
class TargetOptions:
    """How to make a bundle of each kind; only those of the kind that is made count.

    Attributes:
        int8: for ``onnx-int8``, and for ``openvino`` if it names a dataset.
        ascend: for ``ascend-om``.
    """

    int8: Int8Options = field(default_factory=Int8Options)
    ascend: AscendOptions = field(default_factory=AscendOptions)


def _as_it_is(folder: Path, manifest: Manifest, options: TargetOptions, destination: Path) -> Manifest:
    return manifest


def _int8(folder: Path, manifest: Manifest, options: TargetOptions, destination: Path) -> Manifest:
    return add_int8(folder, manifest, options.int8)


def _fp16(folder: Path, manifest: Manifest, options: TargetOptions, destination: Path) -> Manifest:
    return add_fp16(folder, manifest)


def _openvino(folder: Path, manifest: Manifest, options: TargetOptions, destination: Path) -> Manifest:
    return add_openvino(folder, manifest, options.int8)


def _ascend(folder: Path, manifest: Manifest, options: TargetOptions, destination: Path) -> Manifest:
    return add_ascend(folder, manifest, options.ascend, destination)


FINISHERS: Mapping[str, Callable[[Path, Manifest, TargetOptions, Path], Manifest]] = {
    ONNX: _as_it_is,
    FP16: _fp16,
    INT8: _int8,
    OPENVINO: _openvino,
    ASCEND: _ascend,
}
"""By target: change a whole ONNX bundle in a folder and return its manifest as written."""

TARGETS = tuple(FINISHERS)


def check_options(target: str, options: TargetOptions) -> None:
    """Check what needs no graph, before any work is done.

    Raises:
        ExportError: there is no such target, or its options are not usable.
        InputError: a file that the options name is not usable.
        MissingPackageError: the target needs a package that is not installed.
    """
    if target not in FINISHERS:
        raise ExportError(f"target {target!r} is not available; available now: {', '.join(TARGETS)}.")
    if target == ASCEND:
        options.ascend.check()
    if target == INT8 or (target == OPENVINO and options.int8.calibration is not None):
        options.int8.check()
    if target == OPENVINO:
        require("openvino")


def finish(target: str, folder: Path, manifest: Manifest, options: TargetOptions, destination: Path) -> Manifest:
    """Make a whole ONNX bundle in ``folder`` one of a target; ``destination`` is the folder that it will be.

    Raises:
        ExportError: the graphs are not fit for the target; what is in ``folder`` then is of no use.
        InputError, ConfigError: what the options name is not usable for this bundle.
    """
    return FINISHERS[target](folder, manifest, options, destination)
