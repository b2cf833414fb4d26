"""What numba's runtime library does when a kernel makes an array: memory with a count of its users in front."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types

HEADER_BYTES = 64
"""numba's header has six words: users, two for a destructor, data, size, allocator. Compiled code counts the users by
itself, reads data, and asks for the memory to be freed when the last user is gone."""

DATA_WORD, SIZE_WORD = 3, 4


def print_memory(context: Any) -> ir.Module:
    """Return an LLVM module with the functions that numba calls for memory.

    Args:
        context: numba's target context.
    """
    module = context.create_module("memory")
    word = context.get_value_type(types.intp)
    pointer, int32 = ir.IntType(8).as_pointer(), ir.IntType(32)
    malloc = ir.Function(module, ir.FunctionType(pointer, [word]), "malloc")
    free = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer]), "free")
    for name in ("NRT_MemInfo_alloc_aligned", "NRT_MemInfo_alloc_safe_aligned"):
        _print_allocation(ir.Function(module, ir.FunctionType(pointer, [word, int32]), name), malloc, word)
    release = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer]), "NRT_MemInfo_call_dtor")
    code = ir.IRBuilder(release.append_basic_block())
    code.call(free, release.args)
    code.ret_void()
    return module


def _print_allocation(function: ir.Function, malloc: ir.Function, word: ir.IntType) -> None:
    size, alignment = function.args
    code = ir.IRBuilder(function.append_basic_block())
    alignment = code.zext(alignment, word)
    block = code.call(malloc, [code.add(code.add(size, alignment), word(HEADER_BYTES))])
    with code.if_then(code.icmp_unsigned("!=", block, ir.Constant(block.type, None))):
        header = code.bitcast(block, word.as_pointer())
        start = code.add(code.ptrtoint(block, word), code.add(alignment, word(HEADER_BYTES - 1)))
        data = code.and_(start, code.neg(alignment))
        for place, value in ((0, word(1)), (DATA_WORD, data), (SIZE_WORD, size)):
            code.store(value, code.gep(header, [word(place)]))
    code.ret(block)
