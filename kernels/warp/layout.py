"""How the compositor's fields and records lie in memory; imports no numba."""

from __future__ import annotations

from lipforge.kernels.simd.number_formats import WIDTH

SHIFT_X, SHIFT_Y, MASK, PAINTED, LOW_X, LOW_Y = 0, 1, 2, 3, 6, 7
"""The planes of the fields: displacement in px of the image, mask as share, from PAINTED on levels of three channels.

Where displacements are long, 16 bits are not fine enough: then they are int32 with WIDE_BITS behind the point, SHIFT_X
and SHIFT_Y hold the upper halves and LOW_X and LOW_Y the lower ones.
"""

WIDE_BITS = 15

RECORD_BYTES = 4 * WIDTH + 6 * 2 * WIDTH
"""What step one tells step two: byte offsets into the copy, int32; then six times int16: share of the right and of the
lower neighbour, mask, levels of up to three channels."""

LARGEST_SHIFT = 16383.0
"""Differences of two displacements then fit an int16, and so does a column of the copy plus whole pixels."""
