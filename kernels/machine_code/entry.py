"""The C function in front of a kernel: it checks and unpacks Python's arguments, and packs the result.

It is what a hand-written extension module would hold, printed for one signature:

    PyObject *lipforge_entry(PyObject *self, PyObject *const *arguments, Py_ssize_t count)

Of an array object it reads the fields that numpy's header ``ndarraytypes.h`` lays down and that the macros in it
(``PyArray_DATA``, ``PyArray_DIMS``, ...) read in every compiled extension.
"""

from __future__ import annotations

from typing import Any

import numba.core.cgutils
import numba.core.types
import numpy as np
from llvmlite import ir
from numba.np.arrayobj import populate_array
from numba.np.numpy_support import as_dtype

from lipforge.kernels.machine_code.loader import ENTRY
from lipforge.kernels.machine_code.store import NotStorableError

# Partly annotated: strict type checking would refuse every call.
cgutils: Any = numba.core.cgutils
types: Any = numba.core.types

BYTE, INT32, INT64, DOUBLE = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.DoubleType()
OBJECT = BYTE.as_pointer()

HEAD_BYTES = object.__basicsize__
TYPE_AT = HEAD_BYTES - 8
"""``PyObject.ob_type``, behind the count of references."""

# PyArrayObject_fields, in bytes.
DATA_AT, AXES_AT, SHAPE_AT, DTYPE_AT, FLAGS_AT = (HEAD_BYTES + at for at in (0, 8, 16, 40, 48))
# PyArray_Descr, the same in numpy 1 and 2.
BYTE_ORDER_AT, TYPE_NUMBER_AT = HEAD_BYTES + 10, HEAD_BYTES + 12

C_CONTIGUOUS, ALIGNED = 0x0001, 0x0100
SWAPPED = ">" if np.little_endian else "<"

_SIGNATURES = {
    "PyBool_FromLong": (OBJECT, [INT64]),
    "PyErr_Occurred": (OBJECT, []),
    "PyErr_SetString": (ir.VoidType(), [OBJECT, OBJECT]),
    "PyEval_RestoreThread": (ir.VoidType(), [OBJECT]),
    "PyEval_SaveThread": (OBJECT, []),
    "PyFloat_AsDouble": (DOUBLE, [OBJECT]),
    "PyFloat_FromDouble": (OBJECT, [DOUBLE]),
    "PyLong_AsLongLong": (INT64, [OBJECT]),
    "PyLong_FromLongLong": (OBJECT, [INT64]),
    "PyObject_IsTrue": (INT32, [OBJECT]),
    "PyTuple_GetItem": (OBJECT, [OBJECT, INT64]),
    "PyTuple_New": (OBJECT, [INT64]),
    "PyTuple_SetItem": (INT32, [OBJECT, INT64, OBJECT]),
    "PyTuple_Size": (INT64, [OBJECT]),
    "PyType_IsSubtype": (INT32, [OBJECT, OBJECT]),
    "Py_IncRef": (ir.VoidType(), [OBJECT]),
}
"""Result and arguments of the functions that ``loader.PYTHON_FUNCTIONS`` names."""


def print_entry(overload: Any, name: str) -> ir.Module:
    """Return an LLVM module with the entry of a compiled function.

    Args:
        overload: numba's result of compiling one signature.
        name: of the kernel, for messages.

    Raises:
        NotStorableError: an argument or the result is of a type that the entry does not know.
    """
    context, signature = overload.target_context, overload.signature
    module = context.create_module(f"entry of {name}")
    function = ir.Function(module, ir.FunctionType(OBJECT, [OBJECT, OBJECT.as_pointer(), INT64]), ENTRY)
    _, arguments, count = function.args
    entry = _Entry(context, module, ir.IRBuilder(function.append_basic_block()), name)
    code = entry.code
    expected = len(signature.args)
    entry.require(code.icmp_signed("==", count, INT64(expected)), f"takes {expected} arguments")
    values = [
        entry.unpack(code.load(code.gep(arguments, [INT64(i)])), kind, f"argument {i + 1}")
        for i, kind in enumerate(signature.args)
    ]
    native = context.declare_function(module, overload.fndesc)
    thread = entry.call("PyEval_SaveThread")
    status, result = context.call_conv.call_function(code, native, signature.return_type, signature.args, values)
    entry.call("PyEval_RestoreThread", thread)
    # What else can go wrong in a kernel has been asked before: they hold no `raise` and check no bounds.
    entry.require(code.not_(status.is_error), "found no memory", error="lipforge_runtime_error")
    code.ret(entry.pack(result, signature.return_type))
    return module


class _Entry:
    """Prints the parts of an entry.

    Args:
        context: numba's target context.
        module: where functions are declared.
        code: where instructions go.
        name: of the kernel, for messages.
    """

    def __init__(self, context: Any, module: ir.Module, code: ir.IRBuilder, name: str) -> None:
        self.context, self.module, self.code, self.name = context, module, code, name

    def call(self, name: str, *arguments: Any) -> Any:
        """Print a call of a function of Python's."""
        function_type = ir.FunctionType(*_SIGNATURES[name])
        return self.code.call(cgutils.get_or_insert_function(self.module, function_type, name), arguments)

    def require(self, condition: Any, message: str, error: str = "lipforge_type_error") -> None:
        """Print what raises an error unless the condition holds."""
        code = self.code
        with code.if_then(code.not_(condition), likely=False):
            text = self.context.insert_const_string(self.module, f"{self.name}: {message}")
            self.call("PyErr_SetString", self._object(error), text)
            self._leave()

    def unpack(self, object_: Any, kind: Any, place: str) -> Any:
        """Print how an argument becomes a value of numba's."""
        if isinstance(kind, types.Array):
            return self._unpack_array(object_, kind, place)
        if isinstance(kind, types.BaseTuple):
            size = self.call("PyTuple_Size", object_)
            self._leave_if(self.code.icmp_signed("==", size, INT64(-1)))
            self.require(self.code.icmp_signed("==", size, INT64(len(kind))), f"{place} must have {len(kind)} members")
            members = [self.call("PyTuple_GetItem", object_, INT64(i)) for i in range(len(kind))]
            values = [self.unpack(member, each, place) for member, each in zip(members, kind, strict=True)]
            return self.context.make_tuple(self.code, kind, values)
        if isinstance(kind, types.Boolean):
            truth = self.call("PyObject_IsTrue", object_)
            self._leave_if(self.code.icmp_signed("==", truth, INT32(-1)))
            return self.code.trunc(truth, ir.IntType(1))
        if isinstance(kind, types.Float):
            value = self.call("PyFloat_AsDouble", object_)
            self._leave_if_raised(self.code.fcmp_ordered("==", value, DOUBLE(-1.0)))
            return self.context.cast(self.code, value, types.float64, kind)
        _require_integer(kind, self.name)
        value = self.call("PyLong_AsLongLong", object_)
        self._leave_if_raised(self.code.icmp_signed("==", value, INT64(-1)))
        return self.context.cast(self.code, value, types.int64, kind)

    def pack(self, value: Any, kind: Any) -> Any:
        """Print how a result becomes an object."""
        if isinstance(kind, types.NoneType):
            none = self._object("lipforge_none")
            self.call("Py_IncRef", none)
            return none
        if isinstance(kind, types.BaseTuple):
            packed = self.call("PyTuple_New", INT64(len(kind)))
            for i, each in enumerate(kind):
                member = self.pack(self.code.extract_value(value, i), each)
                self.call("PyTuple_SetItem", packed, INT64(i), member)
            return packed
        if isinstance(kind, types.Boolean):
            return self.call("PyBool_FromLong", self.code.zext(value, INT64))
        if isinstance(kind, types.Float):
            return self.call("PyFloat_FromDouble", self.context.cast(self.code, value, kind, types.float64))
        _require_integer(kind, self.name)
        return self.call("PyLong_FromLongLong", self.context.cast(self.code, value, kind, types.int64))

    def _unpack_array(self, object_: Any, kind: Any, place: str) -> Any:
        if kind.layout != "C":
            raise NotStorableError(f"{self.name}: {place} is an array of layout {kind.layout}.")
        code, context = self.code, self.context
        dtype = as_dtype(kind.dtype)
        message = f"{place} must be a C-contiguous {dtype.name} array with {kind.ndim} axes"
        self._require_array_object(object_, message)
        descriptor = self._field(object_, DTYPE_AT, OBJECT)
        wanted_flags = INT32(C_CONTIGUOUS | ALIGNED)
        facts = (
            code.icmp_signed("==", self._field(object_, AXES_AT, INT32), INT32(kind.ndim)),
            code.icmp_signed("==", code.and_(self._field(object_, FLAGS_AT, INT32), wanted_flags), wanted_flags),
            code.icmp_signed("==", self._field(descriptor, TYPE_NUMBER_AT, INT32), INT32(dtype.num)),
            code.icmp_signed("!=", self._field(descriptor, BYTE_ORDER_AT, BYTE), BYTE(ord(SWAPPED))),
        )
        for fact in facts:
            self.require(fact, message)
        sizes = code.bitcast(self._field(object_, SHAPE_AT, OBJECT), INT64.as_pointer())
        shape = [code.load(code.gep(sizes, [INT64(axis)])) for axis in range(kind.ndim)]
        strides = [INT64(dtype.itemsize)]
        for size in reversed(shape[1:]):
            strides.insert(0, code.mul(strides[0], size))
        array = context.make_array(kind)(context, code)
        data = code.bitcast(self._field(object_, DATA_AT, OBJECT), array.data.type)
        populate_array(array, data, shape, strides, dtype.itemsize, None)  # type: ignore[no-untyped-call]
        return array._getvalue()

    def _require_array_object(self, object_: Any, message: str) -> None:
        code, wanted = self.code, self._object("lipforge_ndarray")
        given = self._field(object_, TYPE_AT, OBJECT)
        same = code.icmp_unsigned("==", code.ptrtoint(given, INT64), code.ptrtoint(wanted, INT64))
        with code.if_then(code.not_(same), likely=False):
            derived = self.call("PyType_IsSubtype", given, wanted)
            self.require(code.icmp_signed("!=", derived, INT32(0)), message)

    def _field(self, object_: Any, at: int, kind: Any) -> Any:
        return self.code.load(self.code.bitcast(self.code.gep(object_, [INT64(at)]), kind.as_pointer()))

    def _object(self, name: str) -> Any:
        """Return a pointer to one of ``loader.PYTHON_OBJECTS``."""
        known = self.module.globals.get(name)
        return known if known is not None else cgutils.add_global_variable(self.module, BYTE, name)

    def _leave_if_raised(self, suspicious: Any) -> None:
        with self.code.if_then(suspicious, likely=False):
            raised = self.code.ptrtoint(self.call("PyErr_Occurred"), INT64)
            self._leave_if(self.code.icmp_unsigned("!=", raised, INT64(0)))

    def _leave_if(self, condition: Any) -> None:
        with self.code.if_then(condition, likely=False):
            self._leave()

    def _leave(self) -> None:
        self.code.ret(ir.Constant(OBJECT, None))


def _require_integer(kind: Any, name: str) -> None:
    if not isinstance(kind, types.Integer) or kind == types.uint64:
        raise NotStorableError(f"{name}: the entry cannot pass {kind}.")
