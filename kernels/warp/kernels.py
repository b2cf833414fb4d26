"""The compositor's compiled kernels, declared; what they do is told where ``Kernel.source`` points."""

from __future__ import annotations

from lipforge.kernels.machine_code import Kernel
from lipforge.kernels.region import region_grown, region_of_box

measure_fields = Kernel(
    "lipforge.kernels.warp.numba_pack:measure_fields",
    "Tuple((boolean,UniTuple(float32,2),UniTuple(int64,4)))(int32[:,:,::1],int32[:,::1],int32[:,:,::1])",
)
pack_shift = Kernel(
    "lipforge.kernels.warp.numba_pack:pack_shift",
    "void(float32[:,:,::1],UniTuple(float64,4),boolean,UniTuple(int64,2),int16[:,:,::1])",
)
pack_colours = Kernel(
    "lipforge.kernels.warp.numba_pack:pack_colours",
    "void(float32[:,::1],float32[:,:,::1],float64,UniTuple(float64,12),UniTuple(int64,2),int16[:,:,::1])",
)
composite_rows = Kernel(
    "lipforge.kernels.warp.numba_warp:composite_rows",
    "void(int64,UniTuple(int64,5),UniTuple(int64,5),UniTuple(int64,4),UniTuple(int64,4),float64[:,::1],"
    "UniTuple(float64,4),UniTuple(int64,5),float64,UniTuple(int64,3),int32[::1])",
)


def all_kernels() -> tuple[Kernel, ...]:
    """Return the kernels that calls can need."""
    return region_of_box, region_grown, measure_fields, pack_shift, pack_colours, composite_rows
