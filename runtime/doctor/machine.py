"""Python, CPU, memory and the folder for compiled kernels."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

from lipforge.kernels.cache_folder import CACHE_VARIABLE
from lipforge.runtime.doctor.finding import Finding

SECTION = "machine"
MINIMUM_PYTHON = (3, 10)
MINIMUM_MEMORY_GIB = 2.0
"""``lipforge sync`` stays below 0.6 GB; the rest is for the system and a browser beside it."""

_AVX512 = ("avx512f", "avx512bw", "avx512dq", "avx512vl")


def machine_findings() -> list[Finding]:
    """Look at the machine itself."""
    return [_python(), _cpu(), _memory(), _kernel_cache()]


def cpu_level(features: Mapping[str, bool]) -> str:
    """Return the widest vector instructions among LLVM's feature names: AVX-512, AVX2, SVE, NEON or baseline."""
    if all(features.get(name) for name in _AVX512):
        return "AVX-512"
    if features.get("avx2") and features.get("fma"):
        return "AVX2"
    if features.get("sve"):
        return "SVE"
    return "NEON" if features.get("neon") else "baseline"


def usable_cores() -> int:
    """Return how many cores this process may use; a container or taskset can allow fewer than there are."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _python() -> Finding:
    version = platform.python_version()
    detail = f"{version} ({platform.python_implementation()}, {platform.system()} {platform.machine()})"
    if sys.version_info < MINIMUM_PYTHON:
        return Finding(SECTION, "Python", "problem", detail, "Install Python 3.10 or newer.", required=True)
    return Finding(SECTION, "Python", "ok", detail, required=True)


def _cpu() -> Finding:
    try:
        from llvmlite import binding  # kernels are compiled for exactly the features that it reports

        level = cpu_level(dict(binding.get_host_cpu_features()))
    except ImportError:
        level = "unknown level (numba's llvmlite cannot be imported)"
    detail = f"{_cpu_name()}, {level}, {usable_cores()} of {os.cpu_count()} cores usable"
    if level == "baseline":
        return Finding(SECTION, "CPU", "problem", detail, "It works, but slowly: use a CPU with AVX2 or NEON.")
    return Finding(SECTION, "CPU", "ok", detail)


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model"):
                return value.strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine() or "unknown CPU"


def _memory() -> Finding:
    total, free = _memory_gib()
    if total is None:
        return Finding(SECTION, "memory", "ok", "size not known on this system")
    detail = f"{total:.1f} GiB" + ("" if free is None else f", {free:.1f} GiB available")
    if (total if free is None else free) < MINIMUM_MEMORY_GIB:
        fix = f"Close other programs: {MINIMUM_MEMORY_GIB:.0f} GiB should be available."
        return Finding(SECTION, "memory", "problem", detail, fix)
    return Finding(SECTION, "memory", "ok", detail)


def _memory_gib() -> tuple[float | None, float | None]:
    """Return total and available memory; None for what the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        kib = {key: int(rest.split()[0]) for key, _, rest in (line.partition(":") for line in lines)}
        return kib["MemTotal"] / 2**20, kib["MemAvailable"] / 2**20
    except (OSError, KeyError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, None
    except (AttributeError, ValueError, OSError):
        return None, None


def _kernel_cache() -> Finding:
    from lipforge.kernels.catalogue import OPS, state_of
    from lipforge.kernels.machine_code import store

    folder = store.folder()
    if writable(folder):
        return Finding(SECTION, "kernel cache", "ok", str(folder))
    if not any(state_of(op).missing for op in OPS):
        return Finding(SECTION, "kernel cache", "ok", f"{folder}, read-only, and nothing is missing there")
    fix = (
        f"Set {CACHE_VARIABLE} to a folder that you may write to, or to one that `lipforge kernels compile` filled on "
        "this kind of CPU; kernels are compiled anew at every start until then."
    )
    return Finding(SECTION, "kernel cache", "problem", f"{folder} is read-only", fix)


def writable(folder: Path) -> bool:
    """Tell whether files could be made in a folder, or the folder itself where it does not exist yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
