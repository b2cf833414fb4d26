"""What the CPU's vector unit can do, as numba compiles for it."""

from __future__ import annotations

import functools
import platform

LANES_OF_FEATURE = (("avx512f", 16), ("avx2", 8))
"""float32 lanes of a register, widest first; SSE and NEON have 4."""


@functools.lru_cache(maxsize=1)
def cpu_features() -> frozenset[str]:
    """Return LLVM's names of the features that numba uses; ``NUMBA_CPU_FEATURES`` overrides the machine's."""
    from llvmlite import binding
    from numba.core import config

    chosen: str | None = getattr(config, "CPU_FEATURES", None)
    if chosen is None:
        return frozenset(name for name, there in binding.get_host_cpu_features().items() if there)
    return frozenset(name[1:] for name in chosen.split(",") if name.startswith("+"))


def native_lanes() -> int:
    """Return how many float32 one vector register holds: 16, 8 or 4."""
    return next((lanes for feature, lanes in LANES_OF_FEATURE if feature in cpu_features()), 4)


def has_fused_multiply_add() -> bool:
    """Return whether ``a * b + c`` is one instruction; emulating it would be a function call per lane."""
    return "fma" in cpu_features() or platform.machine().lower() in ("aarch64", "arm64")
