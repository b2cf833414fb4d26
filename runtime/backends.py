"""Which backend runs a bundle: chosen by its manifest and by what the machine has, or named by the user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from lipforge.kernels.errors import BackendError, ConfigError
from lipforge.runtime.acl_module import load_acl
from lipforge.runtime.acl_process import acl_process
from lipforge.runtime.manifest import Manifest
from lipforge.runtime.om_conversion import SCRIPT_NAME, Conversion
from lipforge.runtime.onnx_engine import CPU_PROVIDER
from lipforge.runtime.packages import require

AUTO, ONNXRUNTIME, OPENVINO, ACL = "auto", "onnxruntime", "openvino", "acl"

PROVIDERS: Mapping[str, str] = {
    ONNXRUNTIME: CPU_PROVIDER,
    "onnxruntime-cuda": "CUDAExecutionProvider",
    "onnxruntime-tensorrt": "TensorrtExecutionProvider",
    "onnxruntime-cann": "CANNExecutionProvider",
}
"""Backends that run the bundle's ONNX files with onnxruntime, and its name of what computes."""

BACKENDS = (AUTO, *PROVIDERS, OPENVINO, ACL)


@dataclass(frozen=True)
class Choice:
    """The backend that a bundle runs on.

    Attributes:
        backend: one of ``BACKENDS`` but ``auto``.
        reason: why, in a few words.
    """

    backend: str = ONNXRUNTIME
    reason: str = "the bundle was not exported for an NPU"


def choose_backend(requested: str, folder: Path, manifest: Manifest) -> Choice:
    """Choose the backend of a bundle.

    ``auto`` takes the NPU if the bundle was converted for the one that is here, OpenVINO if the bundle was made for it
    and it is installed, else onnxruntime on the CPU. A backend that is named is taken or refused.

    Args:
        requested: one of ``BACKENDS``.
        folder: the bundle's.
        manifest: the bundle's.

    Raises:
        ConfigError: there is no such backend.
        BackendError: ``acl`` was named and cannot run this bundle here.
        MissingPackageError: ``openvino`` was named and is not installed.
        InputError: the bundle's conversion is damaged.
    """
    if requested not in BACKENDS:
        raise ConfigError(f"--backend {requested}: allowed are {', '.join(BACKENDS)}.")
    if requested in PROVIDERS:
        return Choice(requested, "it was named")
    if requested == OPENVINO:
        require(OPENVINO)
        return Choice(OPENVINO, "it was named")
    if requested == AUTO and manifest.ascend is None:
        return _without_npu(manifest)
    obstacle = acl_obstacle(folder, manifest)
    if not obstacle:
        return Choice(ACL, "the bundle was converted for the NPU that is here")
    if requested == ACL:
        raise BackendError(f"--backend acl: {obstacle}")
    return Choice(ONNXRUNTIME, obstacle)


def _without_npu(manifest: Manifest) -> Choice:
    if manifest.openvino is None:
        return Choice()
    if find_spec(OPENVINO) is None:
        return Choice(ONNXRUNTIME, "the bundle was made for OpenVINO, which is not installed")
    return Choice(OPENVINO, "the bundle was made for OpenVINO")


def acl_obstacle(folder: Path, manifest: Manifest) -> str:
    """Return what keeps a bundle from running on an NPU of this machine, in a sentence or two; empty if nothing does.

    Raises:
        InputError: the bundle's conversion is damaged.
    """
    if manifest.ascend is None:
        return f"{folder} was not exported for an NPU. Export it with --target ascend-om."
    conversion = Conversion.read(folder)
    if conversion is None:
        return f"{folder} holds no OM yet. Run its {SCRIPT_NAME} where CANN is installed."
    for graph in manifest.graphs:
        conversion.locate(folder, graph)
    try:
        process = acl_process(load_acl())
        if process.device_count() == 0:
            return "no NPU is visible. Check the driver with npu-smi info, and that /dev/davinci* is here."
        here = process.soc_name()
    except BackendError as error:
        return str(error)
    if here.lower() != conversion.soc.lower():
        return (
            f"the bundle was converted for {conversion.soc} and this NPU is {here or 'of unknown name'}. "
            f"Run ./{SCRIPT_NAME} {here or 'SOC'} in the bundle's folder."
        )
    return ""
