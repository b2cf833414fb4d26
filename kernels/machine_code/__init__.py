"""Compiled kernels whose machine code is kept on disk, so that a later process runs them without importing numba.

numba's own disk cache spares a process the compiling, but not numba: setting up its type system takes longer than all
else that happens before the first mel column. So an op's public module declares its kernels, importing neither numba
nor the module they are written in:

    crop_bgr = Kernel("lipforge.kernels.crop.numba_crop:crop_bgr", "boolean(uint8[::1], ..., int64)")

and calls ``crop_bgr(...)`` as it would call the numba function. On the first call the machine code is looked for in
the user's cache folder. If it is there, llvmlite (LLVM without numba) loads it in a few milliseconds. If not, numba
compiles the function and the machine code is kept. Nobody writes C or runs a linker.

* ``kernel``: ``Kernel``, the declaration and the choice between the two ways.
* ``store``: the files, and what a file's name must depend on.
* ``loader``: from machine code to a Python function, with llvmlite alone.
* ``compiler``: from a numba function to machine code.
* ``entry``: the C function in front of the kernel that Python calls; it checks and unpacks the arguments.
"""

from __future__ import annotations

from lipforge.kernels.machine_code.kernel import Kernel

__all__ = ["Kernel"]
