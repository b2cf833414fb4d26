"""CANN's Python interface ``acl``: found, told from its namesake, and called with every return code checked."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from lipforge.kernels.errors import BackendError
from lipforge.runtime.acl_errors import explain


def load_acl() -> Acl:
    """Import CANN's ``acl``.

    Raises:
        BackendError: it is not there, cannot start, or is another package of the same name.
    """
    try:
        module = import_module("acl")
    except Exception as error:  # a missing library of CANN's surfaces as ImportError, OSError or worse
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BackendError(
            f"CANN's Python interface acl cannot be imported ({reason}). Install CANN and source its set_env.sh; "
            "`lipforge doctor` tells more."
        ) from error
    if not (hasattr(module, "mdl") and hasattr(module, "rt")):
        raise BackendError(
            "the installed package acl is not CANN's but another of the same name. Run pip uninstall acl, then source "
            "CANN's set_env.sh."
        )
    return Acl(module)


class Acl:
    """The module's functions by their dotted names, in the three ways in which they return.

    They take positional arguments only; pointers and handles are ints.

    Args:
        module: CANN's ``acl``.
    """

    def __init__(self, module: Any) -> None:
        self.module = module

    def code(self, name: str, *arguments: object) -> int:
        """Call a function that returns a code, and return the code unchecked."""
        return int(self._function(name)(*arguments))

    def do(self, name: str, *arguments: object) -> None:
        """Call a function that returns a code.

        Raises:
            BackendError: the code is not 0.
        """
        self.check(name, self.code(name, *arguments))

    def get(self, name: str, *arguments: object) -> Any:
        """Call a function that returns a value and a code, and return the value.

        Raises:
            BackendError: the code is not 0.
        """
        value, code = self._function(name)(*arguments)
        self.check(name, code)
        return value

    def ask(self, name: str, *arguments: object) -> Any:
        """Call a function that returns a value and no code."""
        return self._function(name)(*arguments)

    def make(self, name: str, *arguments: object) -> int:
        """Call a function that returns a handle, which is 0 if it failed.

        Raises:
            BackendError: it failed.
        """
        handle = int(self._function(name)(*arguments))
        if handle == 0:
            raise BackendError(f"acl.{name} gave no handle: the host is out of memory.{self._recent()}")
        return handle

    def _function(self, name: str) -> Any:
        found = self.module
        for part in name.split("."):
            found = getattr(found, part)
        return found

    def check(self, name: str, code: int) -> None:
        """Raise BackendError, with what it means, if a function's code is not 0."""
        if code != 0:
            raise BackendError(f"acl.{name} failed with {code}, {explain(code)}.{self._recent()}")

    def _recent(self) -> str:
        """Return CANN's own words about the last error; older versions have none."""
        tell = getattr(self.module, "get_recent_err_msg", None)
        words = (tell() or "") if tell is not None else ""
        lines = [line.strip() for line in words.splitlines() if line.strip()]
        return f" CANN says: {' '.join(lines)[:300]}" if lines else ""
