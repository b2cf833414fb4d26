"""What the CPU's vector unit can do, as numba compiles for it; found out without numba, whose import takes long."""

from __future__ import annotations

import functools
import os
import platform

LANES_OF_FEATURE = (("avx512f", 16), ("avx2", 8))
"""float32 lanes of a register, widest first; SSE and NEON have 4."""


def cpu_name() -> str:
    """Return LLVM's name of the CPU; ``NUMBA_CPU_NAME`` overrides the machine's, as in numba."""
    from llvmlite import binding

    return os.environ.get("NUMBA_CPU_NAME") or binding.get_host_cpu_name()


@functools.lru_cache(maxsize=1)
def feature_flags() -> str:
    """Return LLVM's features, ``+avx2,-avx512f,...``; ``NUMBA_CPU_FEATURES`` overrides the machine's, as in numba."""
    from llvmlite import binding

    chosen = os.environ.get("NUMBA_CPU_FEATURES")
    if chosen is not None:
        return chosen
    if os.environ.get("NUMBA_CPU_NAME", "").lower() == "generic":
        return ""
    return str(binding.get_host_cpu_features().flatten())


@functools.lru_cache(maxsize=1)
def cpu_features() -> frozenset[str]:
    """Return LLVM's names of the features that kernels may use."""
    return frozenset(flag[1:] for flag in feature_flags().split(",") if flag.startswith("+"))


def native_lanes() -> int:
    """Return how many float32 one vector register holds: 16, 8 or 4."""
    return next((lanes for feature, lanes in LANES_OF_FEATURE if feature in cpu_features()), 4)


def has_fused_multiply_add() -> bool:
    """Return whether ``a * b + c`` is one instruction; emulating it would be a function call per lane."""
    return "fma" in cpu_features() or platform.machine().lower() in ("aarch64", "arm64")
