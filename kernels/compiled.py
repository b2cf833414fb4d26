"""How every numba kernel of the project is compiled: one decorator, so that no kernel chooses for itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def compiled(function: FunctionT) -> FunctionT:
    """Compile a module-level function with numba on its first call and keep the machine code on disk.

    * ``nogil``: streams run in threads. Never ``parallel``: an empty parallel loop costs milliseconds on a busy host.
    * No ``fastmath``: results must not depend on how a compiler regroups sums (streaming equals offline bit for bit,
      training equals runtime).
    * ``error_model="numpy"``: no hidden test for division by zero in inner loops.

    The function must be at module level: numba never finds the disk cache of a closure again.
    """
    dispatcher = numba.njit(cache=True, **OPTIONS)(function)
    _stamp_cache(dispatcher)
    return cast(FunctionT, dispatcher)


def compiled_closure(function: FunctionT) -> FunctionT:
    """As ``compiled``, for a function inside another one: numba would write it to disk and never find it again.

    What calls it from Python is a ``machine_code.Kernel``, which does.
    """
    return cast(FunctionT, numba.njit(**OPTIONS)(function))


def _stamp_cache(dispatcher: Any) -> None:
    """Let machine code on disk expire when any file of the kernels changes.

    By itself numba looks at the function's own file only, but vector code and small compiled functions of other files
    are built into the function. numba has no public way to say so; tests/kernels/test_compiled.py watches this one.
    """
    if not hasattr(dispatcher, "_cache"):  # NUMBA_DISABLE_JIT: it is the plain function
        return
    index = dispatcher._cache._cache_file
    index._source_stamp = (index._source_stamp, _newest_change())


@lru_cache
def _newest_change() -> tuple[float, int]:
    """Return the latest modification time and the summed size of the kernels' source files."""
    found = [path.stat() for path in Path(__file__).parent.rglob("*.py")]
    return max(stat.st_mtime for stat in found), sum(stat.st_size for stat in found)
