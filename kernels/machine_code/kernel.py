"""The declaration of a compiled kernel."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from lipforge.kernels.cache_folder import CACHE_VARIABLE
from lipforge.kernels.errors import ConfigError
from lipforge.kernels.machine_code import store
from lipforge.kernels.machine_code.loader import function_from
from lipforge.kernels.machine_code.store import NotStorableError

if TYPE_CHECKING:
    import logging

_ONE_AT_A_TIME = threading.RLock()


@dataclass(frozen=True)
class Kernel:
    """A numba function that is found on disk as machine code, or else compiled on its first call and kept there.

    Calls release the GIL. Arguments are checked as numba checks them, so a wrong array is a TypeError and never a
    crash; arrays may be read-only although numba would tell them apart.

    Attributes:
        source: ``module:name`` of a function under ``compiled``; with a variant, of what makes such a function.
        signature: in numba's notation, such as ``"int64(float32[::1], float64)"``. Possible arguments and results are
            numbers, booleans and tuples of them; arguments may also be C-contiguous arrays.
        variant: what the function is made of: plain values, or frozen dataclasses of them, whose ``repr`` tells them
            apart.
    """

    source: str
    signature: str
    variant: tuple[Any, ...] = ()

    def __call__(self, *arguments: Any) -> Any:
        """Call the kernel."""
        return self.function(*arguments)

    @functools.cached_property
    def function(self) -> Callable[..., Any]:
        """What is called; whoever counts microseconds keeps it."""
        with _ONE_AT_A_TIME:
            code = store.load(self.name)
            if code is None:
                try:
                    code = self._compile()
                except NotStorableError as obstacle:
                    _log().warning("%s It stays numba's own and is compiled by every process.", obstacle)
                    return self.original()
                store.save(self.name, code)  # where the folder is read-only the next process compiles again
            return function_from(code, self.name)

    @functools.cached_property
    def name(self) -> str:
        """What the machine code is kept under: readable, and another one for each signature and variant."""
        module, _, function = self.source.partition(":")
        distinct = store.short_digest(repr((self.signature, self.variant)))
        return f"{module.removeprefix('lipforge.kernels.')}.{function}-{distinct}"

    @property
    def ready(self) -> bool:
        """Whether valid machine code is on disk."""
        return store.load(self.name) is not None

    def prepare(self) -> bool:
        """Make sure that machine code is on disk; return whether it had to be compiled.

        Raises:
            ConfigError: the cache folder cannot be written.
            NotStorableError: this kernel's code works in one process only.
        """
        if self.ready:
            return False
        if not store.save(self.name, self._compile()):
            raise ConfigError(
                f"{store.folder()}: compiled kernels cannot be kept in this folder. "
                f"Name another one in the environment variable {CACHE_VARIABLE}."
            )
        return True

    def original(self) -> Callable[..., Any]:
        """Return the function as numba compiles and calls it itself; imports numba."""
        module, _, name = self.source.partition(":")
        function: Callable[..., Any] = getattr(import_module(module), name)
        return function(*self.variant) if self.variant else function

    def _compile(self) -> bytes:
        from lipforge.kernels.machine_code.compiler import machine_code

        _log().info("compiling %s for this CPU, once", self.name.rpartition("-")[0])
        return machine_code(self.original(), self.signature, self.name)


def _log() -> logging.Logger:
    import logging  # here, because it takes 5 ms and a process that finds all its machine code logs nothing

    return logging.getLogger(__name__)
