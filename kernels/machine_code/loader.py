"""From object code to a Python function, with llvmlite alone."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from lipforge.kernels.simd.cpu import cpu_name, feature_flags

ENTRY = "lipforge_entry"
"""Name of the function in an object that Python calls."""

PYTHON_FUNCTIONS = (
    "PyBool_FromLong",
    "PyErr_Occurred",
    "PyErr_SetString",
    "PyEval_RestoreThread",
    "PyEval_SaveThread",
    "PyFloat_AsDouble",
    "PyFloat_FromDouble",
    "PyLong_AsLongLong",
    "PyLong_FromLongLong",
    "PyObject_IsTrue",
    "PyTuple_GetItem",
    "PyTuple_New",
    "PyTuple_SetItem",
    "PyTuple_Size",
    "PyType_IsSubtype",
    "Py_IncRef",
)
"""What an entry may call; all of CPython's stable interface."""

PYTHON_OBJECTS = {
    "lipforge_none": None,
    "lipforge_ndarray": np.ndarray,
    "lipforge_type_error": TypeError,
    "lipforge_runtime_error": RuntimeError,
}
"""What an entry may refer to. The names are our own: numba gives CPython's names to other things."""

METH_FASTCALL = 0x80


class _MethodDefinition(ctypes.Structure):
    """CPython's ``PyMethodDef``."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("documentation", ctypes.c_char_p),
    )


def function_from(code: bytes, name: str) -> Callable[..., Any]:
    """Load an object and return its entry as a Python function.

    Args:
        code: object code for this machine, as ``compiler.machine_code`` makes it.
        name: of the function.
    """
    from llvmlite import binding

    _tell_python_symbols()
    empty = binding.parse_assembly("")
    empty.triple = target_machine().triple
    engine = binding.create_mcjit_compiler(empty, target_machine())
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = engine.get_function_address(ENTRY)
    definition = _MethodDefinition(name.encode(), address, METH_FASTCALL, None)
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.argtypes, make.restype = [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p], ctypes.py_object
    # What the function is made of lives as long as the function: it is the object that the function is bound to.
    function: Callable[..., Any] = make(ctypes.addressof(definition), (engine, definition), None)
    return function


def target_machine() -> Any:
    """Return an LLVM target machine with the options that numba uses for code that runs in its own process."""
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_default_triple()
    reloc = "static" if target.name.startswith("x86") else "default"
    options = {"opt": 3, "reloc": reloc, "codemodel": "jitdefault", "jit": True}
    return target.create_target_machine(cpu=cpu_name(), features=feature_flags(), **options)


@functools.lru_cache(maxsize=1)
def _tell_python_symbols() -> None:
    """Tell LLVM where an entry finds Python; looking around by itself, it would end the process if it fails."""
    from llvmlite import binding

    for name in PYTHON_FUNCTIONS:
        binding.add_symbol(name, ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value)
    for name, object_ in PYTHON_OBJECTS.items():
        binding.add_symbol(name, id(object_))
