"""How every numba kernel of the project is compiled: one decorator, so that no kernel chooses for itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def compiled(function: FunctionT) -> FunctionT:
    """Compile a module-level function with numba on its first call and keep the machine code on disk.

    * ``nogil``: streams run in threads. Never ``parallel``: an empty parallel loop costs milliseconds on a busy host.
    * No ``fastmath``: results must not depend on how a compiler regroups sums (streaming equals offline bit for bit,
      training equals runtime).
    * ``error_model="numpy"``: no hidden test for division by zero in inner loops.

    The function must be at module level: numba never finds the disk cache of a closure again.
    """
    return cast(FunctionT, numba.njit(cache=True, nogil=True, error_model="numpy")(function))
