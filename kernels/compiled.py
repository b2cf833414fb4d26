"""How every numba kernel of the project is compiled: one decorator, so that no kernel chooses for itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def compiled(function: FunctionT) -> FunctionT:
    """Compile a function with numba on its first call.

    * ``nogil``: streams run in threads. Never ``parallel``: an empty parallel loop costs milliseconds on a busy host.
    * No ``fastmath``: results must not depend on how a compiler regroups sums (streaming equals offline bit for bit,
      training equals runtime).
    * ``error_model="numpy"``: no hidden test for division by zero in inner loops.

    numba's own disk cache is left alone: what Python calls is a ``machine_code.Kernel``, which keeps its code.
    """
    return cast(FunctionT, numba.njit(**OPTIONS)(function))
