"""The generator of vector code: how a kernel gets exactly the SIMD instructions that it was written for.

A compiler may or may not vectorise a loop. Kernels where that decides are therefore written as *codelets*: Python
functions that print straight-line LLVM vector code, with the types ``<8 x float>`` and so on. numba pastes a codelet
where compiled code calls it (``@intrinsic``) and LLVM turns it into AVX2, AVX-512 or NEON instructions. One **lane** of
a vector is one independent piece of work, for example one mel column: lanes never mix, so an algorithm is written once
as if for a single number, and runs on ``lanes`` numbers at a time.

The parts, in reading order:

* ``vectors``: ``VectorCode``, the few operations that a codelet is written with, and ``Codelet``, the decorator that
  makes one callable from compiled code.
* ``dft``, ``logarithm``, ``transpose``: algorithms written with these operations.
* ``cpu``: how many lanes this machine has.

Rules that keep results the same on every machine and for every lane count:

* No fast-math flag anywhere. LLVM then neither regroups sums nor fuses a multiplication with an addition by itself, so
  a lane does the same arithmetic in a vector of 4, 8 or 16.
* Where one rounding less pays, the codelet says so: ``VectorCode.multiply_add`` is fused on every CPU that can.

A codelet is *straight-line* code: Python loops in it run while the code is printed and unroll it; loops at run time
are ordinary numba loops around it. To see what LLVM made of it, compile and print
``list(function.inspect_asm().values())[0]``.
"""
