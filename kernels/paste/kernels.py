"""The paste's compiled kernels, declared; what they do is told where ``Kernel.source`` points."""

from __future__ import annotations

from lipforge.kernels.machine_code import Kernel
from lipforge.kernels.region import region_of_box

pack_mask = Kernel(
    "lipforge.kernels.paste.numba_paste:pack_mask",
    "Tuple((boolean,UniTuple(int64,4)))(float32[:,::1],uint32[:,::1],int16[:,::1])",
)
pack_crop = Kernel(
    "lipforge.kernels.paste.numba_paste:pack_crop",
    "void(int64,UniTuple(int64,12),int64,int16[:,:,::1])",
)
paste_rows = Kernel(
    "lipforge.kernels.paste.numba_paste:paste_rows",
    "void(int64,UniTuple(int64,3),UniTuple(int64,4),UniTuple(int64,2),UniTuple(int64,4),float64[:,::1],"
    "UniTuple(float64,4),UniTuple(int64,2),UniTuple(int64,2))",
)


def all_kernels() -> tuple[Kernel, ...]:
    """Return the kernels that calls can need."""
    return region_of_box, pack_mask, pack_crop, paste_rows
