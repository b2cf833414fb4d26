"""Copies of a compiled function for different codelets, each found again in numba's disk cache."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from types import FunctionType
from typing import Any, cast

from lipforge.kernels.compiled import compiled


def source_digest(*files: str) -> str:
    """Return a short name for the present text of the vector code's generator and of more source files.

    Part of a copy's name, it makes numba forget machine code made by an earlier version of a codelet: numba itself
    looks only at the file in which a compiled function stands.
    """
    generator = sorted(Path(__file__).parent.glob("*.py"))
    text = b"".join(path.read_bytes() for path in [*generator, *map(Path, files)])
    return sha256(text).hexdigest()[:12]


def specialised(template: Callable[..., Any], name: str, **names: Any) -> Callable[..., Any]:
    """Compile a copy of a module-level function in which some global names mean something else.

    The obvious way, a closure over codelets, is never found in numba's disk cache: the key holds the closed-over
    objects, and a codelet is another object in each process. Global names are no part of the key, but the function's
    name is, hence ``name``.

    Args:
        template: a function at module level that is not compiled itself.
        name: of the copy; two copies that differ in ``names`` must differ in it, see ``source_digest``.
        **names: what the copy sees instead of, or in addition to, the globals of the template's module.
    """
    original = cast(FunctionType, template)
    copy = FunctionType(original.__code__, {**original.__globals__, **names}, name, original.__defaults__)
    copy.__qualname__ = name
    copy.__module__ = original.__module__
    return compiled(copy)
