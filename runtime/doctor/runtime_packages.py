"""The packages of the lean runtime: installed, new enough, and fit to be imported."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version

from lipforge.runtime.doctor.finding import Finding

SECTION = "packages"
MODULES = {
    "numpy": "numpy",
    "numba": "numba",
    "onnxruntime": "onnxruntime",
    "opencv-python-headless": "cv2",
    "av": "av",
    "ffmpeg-python": "ffmpeg",
    "imageio-ffmpeg": "imageio_ffmpeg",
    "click": "click",
    "rich": "rich",
}
"""Package -> import name."""

# These install other files under the same import name, so whichever came last has overwritten the others.
RIVALS = {
    "opencv-python-headless": ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless"),
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime-cann", "onnxruntime-directml"),
}


def package_findings() -> list[Finding]:
    """Look at every package of the base installation, at the providers of onnxruntime and at OpenVINO."""
    minimum = minimum_versions(requires("lipforge") or [])
    installed = [_package(name, module, minimum.get(name)) for name, module in MODULES.items()]
    return [*installed, _providers(), _openvino()]


def minimum_versions(requirements: list[str]) -> dict[str, str]:
    """Return package -> lowest version of the requirements that no extra brings."""
    pattern = re.compile(r"([A-Za-z0-9._-]+)>=([0-9.]+)$")
    return {found[1].lower(): found[2] for found in map(pattern.match, requirements) if found}


def release(text: str) -> tuple[int, ...]:
    """Return the numbers that a version starts with: ``"2.13.0+cpu"`` -> ``(2, 13, 0)``."""
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def installed_version(package: str) -> str | None:
    """Return a package's version, or None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _package(name: str, module: str, minimum: str | None) -> Finding:
    try:
        loaded = import_module(module)
    except Exception as error:  # a broken shared library can raise anything
        return _not_importable(name, error)
    rivals = [rival for rival in RIVALS.get(name, ()) if installed_version(rival)]
    found = installed_version(name)
    if found and rivals:
        fix = f"Keep one of them: pip uninstall -y {name} {' '.join(rivals)}, then install the one you want again."
        return Finding(SECTION, name, "problem", f"{found} beside {', '.join(rivals)}", fix)
    shown = found or str(getattr(loaded, "__version__", "unknown version"))
    if minimum and release(shown) and release(shown) < release(minimum):
        fix = f"pip install --upgrade '{name}>={minimum}'"
        return Finding(SECTION, name, "problem", f"{shown} is older than {minimum}", fix, required=True)
    return Finding(SECTION, name, "ok", shown + (f" (from {rivals[0]})" if rivals else ""), required=True)


def _not_importable(name: str, error: Exception) -> Finding:
    if installed_version(name) is None:
        return Finding(SECTION, name, "missing", "not installed", f"pip install {name}", required=True)
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    fix = f"pip install --force-reinstall {name}"
    return Finding(SECTION, name, "problem", f"cannot be imported: {reason}", fix, required=True)


def _providers() -> Finding:
    name = "onnxruntime providers"
    try:
        from onnxruntime import get_available_providers

        providers = list(get_available_providers())
    except ImportError:
        return Finding(SECTION, name, "missing", "onnxruntime cannot be imported", "pip install onnxruntime")
    if "CPUExecutionProvider" not in providers:
        fix = "pip install --force-reinstall onnxruntime"
        return Finding(SECTION, name, "problem", ", ".join(providers) or "none", fix, required=True)
    return Finding(SECTION, name, "ok", ", ".join(name.removesuffix("ExecutionProvider") for name in providers))


def _openvino() -> Finding:
    found = installed_version("openvino")
    if found is None:
        fix = "For --backend openvino: pip install 'lipforge[openvino]'"
        return Finding(SECTION, "openvino", "optional", "not installed", fix)
    return Finding(SECTION, "openvino", "ok", found)
