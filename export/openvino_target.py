"""The target ``openvino``: a bundle whose graphs OpenVINO has proven, in the form that it runs fastest."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from pathlib import Path

from lipforge.export.int8.target import Int8Options, Runtime, add_int8
from lipforge.export.verify import verify_bundle
from lipforge.runtime.backends import OPENVINO
from lipforge.runtime.manifest import Manifest
from lipforge.runtime.openvino_engine import OpenVinoEngine
from lipforge.runtime.packages import require


def add_openvino(folder: Path, manifest: Manifest, options: Int8Options) -> Manifest:
    """Make a whole bundle in ``folder`` one for OpenVINO, in place; in 8 bits if a dataset is given to calibrate with.

    OpenVINO reads ONNX files, so a bundle holds no others and runs on onnxruntime too.

    Returns:
        The manifest as written.

    Raises:
        MissingPackageError: OpenVINO is not installed.
        ExportError: an output differs from torch's by more than the bundle's tolerance, or ``add_int8`` refuses.
        InputError, ConfigError: the reference or the dataset is not usable.
    """
    require("openvino")
    if options.calibration is not None:
        manifest = add_int8(folder, manifest, options, Runtime(OpenVinoEngine, channels_last=False))
    manifest = replace(manifest, openvino=metadata.version("openvino"))
    manifest.write(folder)
    verify_bundle(folder, OPENVINO)
    return manifest
