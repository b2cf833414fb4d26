"""From a numba function to object code that needs neither numba nor its runtime library."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any

import numba
from llvmlite import binding
from numba.core.dispatcher import Dispatcher

from lipforge.kernels.compiled import OPTIONS
from lipforge.kernels.machine_code.entry import print_entry
from lipforge.kernels.machine_code.loader import ENTRY, PYTHON_FUNCTIONS, PYTHON_OBJECTS, target_machine
from lipforge.kernels.machine_code.memory import print_memory
from lipforge.kernels.machine_code.store import NotStorableError


def machine_code(function: Callable[..., Any], signature: str, name: str) -> bytes:
    """Compile a function for this CPU and return object code with the entry that Python calls.

    The instructions are those of numba's own compilation: its optimised LLVM module is taken as it is, only the
    wrappers with which numba itself calls it are left out and the entry is added.

    Args:
        function: a function under ``compiled``.
        signature: in numba's notation.
        name: of the kernel, for messages.

    Raises:
        NotStorableError: the code would need addresses of this process, or numba is told not to compile.
    """
    if not isinstance(function, Dispatcher):
        raise NotStorableError(f"{name}: NUMBA_DISABLE_JIT is set.")
    # One of its own: what a function finds in numba's disk cache comes without its LLVM module.
    fresh = numba.njit(**OPTIONS)(function.py_func)
    fresh.compile(signature)
    ((kinds, overload),) = fresh.overloads.items()
    if overload.library.has_dynamic_globals:
        raise NotStorableError(f"{name}: its code refers to objects of this process.")
    module = binding.parse_assembly(fresh.inspect_llvm(kinds))
    module.link_in(binding.parse_assembly(str(print_entry(overload, name))))
    module.link_in(binding.parse_assembly(str(print_memory(overload.target_context))))
    machine = target_machine()
    _keep_only_the_entry(module, machine)
    _check_symbols(module, name)
    return bytes(machine.emit_object(module))


def _keep_only_the_entry(module: Any, machine: Any) -> None:
    for symbol in (*module.functions, *module.global_variables):
        if not symbol.is_declaration and symbol.name != ENTRY:
            symbol.linkage = "internal"
    if hasattr(binding, "create_new_module_pass_manager"):
        passes = binding.create_new_module_pass_manager()
        passes.add_global_dead_code_eliminate_pass()
        passes.run(module, binding.create_pass_builder(machine, binding.create_pipeline_tuning_options()))
    else:  # llvmlite before 0.44
        passes = binding.create_module_pass_manager()
        passes.add_global_dce_pass()
        passes.run(module)


def _check_symbols(module: Any, name: str) -> None:
    """Make sure that the loader will find all that the code refers to: LLVM ends the process if it does not."""
    symbols = (*module.functions, *module.global_variables)
    wanted = {symbol.name for symbol in symbols if symbol.is_declaration and not symbol.name.startswith("llvm.")}
    library = ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)
    missing = [name for name in wanted - {*PYTHON_FUNCTIONS, *PYTHON_OBJECTS} if not hasattr(library, name)]
    if missing:
        raise NotStorableError(f"{name}: its code needs {', '.join(sorted(missing))}.")
