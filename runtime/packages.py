"""Optional packages: which extra brings each of them, and what to say when one is missing or cannot start."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from lipforge.kernels.errors import MissingPackageError

EXTRA_OF = {
    "torch": "train,export",  # whoever needs it for one needs the other next
    "safetensors": "train,export",
    "omegaconf": "train",
    "tensorboard": "train",
    "onnx": "export",
    "openvino": "openvino",
    "triton": "gpu",
    "torch_npu": "npu",
    "sounddevice": "live",
    "pyvirtualcam": "live",
    "aiortc": "live",
    "aiohttp": "live",
    "pocketsphinx": "evaluate",
    "pytest": "dev",
}
"""Import name of each optional package -> the extra, or extras, of lipforge that install it."""

BASE_PACKAGES = ("numpy", "numba", "onnxruntime", "cv2", "av", "ffmpeg", "imageio_ffmpeg", "click", "rich")
"""Import names of what every installation has."""


def require(module: str, extra: str | None = None) -> ModuleType:
    """Import an optional package.

    Args:
        module: import name, such as ``"onnx"`` or ``"torch.utils.tensorboard"``.
        extra: the extra of lipforge that brings it; by default the one that ``EXTRA_OF`` names.

    Raises:
        MissingPackageError: it is not installed; the message holds the pip line.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if _root(error) != module.partition(".")[0]:
            raise  # the package is there, something that it needs is not
        raise MissingPackageError(_pip_line(_root(error), extra or EXTRA_OF.get(_root(error)))) from error


def explain_import(error: BaseException) -> str | None:
    """Return one line of advice if an exception comes from a package that is missing or cannot start, else None."""
    if isinstance(error, ModuleNotFoundError):
        root = _root(error)
        known = root in EXTRA_OF or root in BASE_PACKAGES
        return _pip_line(root, EXTRA_OF.get(root)) if known else None
    # With torch_npu installed, a plain `import torch` fails like this on a host without CANN's libraries.
    if isinstance(error, RuntimeError) and "TORCH_DEVICE_BACKEND_AUTOLOAD" in str(error):
        return (
            "torch_npu is installed but CANN's libraries were not found. Source CANN's set_env.sh, or set "
            "TORCH_DEVICE_BACKEND_AUTOLOAD=0 to run without the NPU; `lipforge doctor` tells more."
        )
    return None


def _root(error: ModuleNotFoundError) -> str:
    return (error.name or "").partition(".")[0]


def _pip_line(package: str, extra: str | None) -> str:
    target = f"'lipforge[{extra}]'" if extra else "lipforge"
    return f"the package {package} is needed here and is not installed. Install it: pip install {target}"
