"""The mel's compiled kernels, declared; what they do is told where ``Kernel.source`` points."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from lipforge.kernels.machine_code import Kernel
from lipforge.kernels.mel.shape import MelShape
from lipforge.kernels.mel.tables import shape_for
from lipforge.kernels.simd.cpu import native_lanes
from lipforge.kernels.spec import MelSpec, WhisperMelSpec

LARGEST_STREAM_LANES = 8
"""Columns that a stream's vector code makes at once, at most. A chunk of 40 ms completes three or four: 16 lanes cost
more for those than 8 (measured on AVX-512), and 4 lanes save too little over 8 (12 % on AVX2) to compile both."""

_EMPHASIS = "lipforge.kernels.mel.numba_emphasis"
_SIMD = "lipforge.kernels.mel.simd_mel"
_TABLES = "float32[::1],int64[:,::1],float32[::1]"  # tables, taps, scratch

first_bad_sample = Kernel(f"{_EMPHASIS}:first_bad_sample", "int64(float32[::1])")
emphasise_chunk = Kernel(
    f"{_EMPHASIS}:emphasise_chunk", "void(float32[::1],int64,int64,float64,float64,float32[::1],int64)"
)
clamp_columns = Kernel(
    "lipforge.kernels.mel.numba_clamp:clamp_columns", "float64(float32[:,::1],int64,int64,float64,boolean,float64)"
)

# For recipes that there is no vector code for.
emphasise_plain_chunk = Kernel(
    f"{_EMPHASIS}:emphasise_chunk", "void(float32[::1],int64,int64,float64,float64,float64[::1],int64)"
)
emphasise_plain_padded = Kernel(
    f"{_EMPHASIS}:emphasise_padded", "void(float32[::1],int64,int64,float64,boolean,float64[::1])"
)
plain_columns = Kernel(
    "lipforge.kernels.mel.numba_mel:mel_columns",
    "void(float64[::1],int64,float64[::1],float64[::1],float64[::1],int64[::1],int64[::1],int64[::1],float64[::1],"
    "UniTuple(float64,5),boolean,float32[:,::1])",
)


@functools.cache
def columns_of(shape: MelShape) -> Kernel:
    """Return the vector code's loops for a few columns."""
    return Kernel(f"{_SIMD}:columns_kernel", f"void(float32[::1],int64,int64,{_TABLES},float32[:,::1],int64)", (shape,))


@functools.cache
def whole_of(shape: MelShape) -> Kernel:
    """Return the vector code's loops for whole signals."""
    arguments = f"float32[::1],float64,boolean,{_TABLES},float32[::1],float32[:,::1]"
    return Kernel(f"{_SIMD}:whole_kernel", f"void({arguments})", (shape,))


def stream_lanes() -> int:
    """Return how many columns a stream's vector code makes at once."""
    return min(native_lanes(), LARGEST_STREAM_LANES)


def all_kernels() -> Iterator[Kernel]:
    """Give the kernels that calls on this machine can need."""
    yield from (first_bad_sample, emphasise_chunk, clamp_columns)
    for spec in (MelSpec(), WhisperMelSpec()):
        narrow, wide = shape_for(spec, stream_lanes()), shape_for(spec, native_lanes())
        assert narrow is not None
        assert wide is not None
        yield from (columns_of(narrow), whole_of(wide))
    yield from (emphasise_plain_chunk, emphasise_plain_padded, plain_columns)
