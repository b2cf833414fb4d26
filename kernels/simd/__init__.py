"""The generator of vector code: how a kernel gets exactly the SIMD instructions that it was written for.

A compiler may or may not vectorise a loop, and never one that gathers pixels from computed addresses. Kernels where
that decides are therefore written as Python functions that print straight-line LLVM vector code. numba pastes such a
piece where compiled code calls it (``@intrinsic``), and LLVM turns it into the instructions of the processor: AVX2,
AVX-512 or NEON. There are two styles, because there are two kinds of work:

**Codelets** (mel) do one computation for many signals. A *lane* of a vector is one independent piece of work, for
example one mel column: lanes never mix, so an algorithm is written once as if for a single number, and runs on as many
numbers as the processor's registers hold (4, 8 or 16). In reading order:

* ``vectors``: ``VectorCode``, the few operations that a codelet is written with, and ``codelet``, which makes one
  callable from compiled code.
* ``dft``, ``logarithm``, ``transpose``: algorithms written with these operations.
* ``cpu``: how many lanes this machine has.

**Pixel blocks** (crop, paste, warp) do eight neighbouring pixels at once, on every machine. Their bytes come from
scattered addresses and must be shuffled into place, so lanes do mix, and the code is written close to the registers:

* ``lanes``: ``Vector``, eight float32 or int32 with Python's operators; read this first.
* ``products``: the three instructions with which the crop adds up weighted bytes.
* ``fixed_point``: ``Shorts``, sixteen int16, for paste and warp; ``number_formats`` says what they stand for.
* ``row_plan``, ``upsample``: planes of the crop at the image's resolution; ``half_window`` their memory.
* ``pixels``: bytes of images and planes, read, sampled and written.

Both stand on ``instructions``: LLVM's types, and splat, shuffle, load, store and fused multiply-add.

A piece is *straight-line* code: Python loops in it run while the code is printed and unroll it; loops at run time are
ordinary numba loops around it. To see what LLVM made of it, compile in a new cache folder and print
``list(function.inspect_asm().values())[0]``; ``llvm-mca`` tells which part of the processor a loop waits for.

Rules that keep results the same on every machine and for every lane count:

* No fast-math flag anywhere. LLVM then neither regroups sums nor fuses a multiplication with an addition by itself, so
  a lane does the same arithmetic in a vector of 4, 8 or 16.
* Where one rounding less pays, the code says so: ``multiply_add`` is fused on every CPU that can.
* An instruction of one processor is asked for by name only where LLVM does not find it, beside plain LLVM with the
  same result (``products``).
"""
