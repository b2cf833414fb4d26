"""The numbers of 16-bit fixed-point code, for those who lay out memory for it; imports no numba.

``fixed_point`` tells what shares and levels are.
"""

from __future__ import annotations

HALF, WIDTH = 8, 16
"""Pixels of a half and of a block: int16 numbers in one and in two AVX2 halves."""

SHARE_BITS = 15
LARGEST_SHARE = 32767
LEVEL_BITS = 7
LARGEST_LEVEL = 255 << LEVEL_BITS

GATHER_BYTES = 16
"""A sample may load so many bytes from its offset on."""

SECOND_REST = 64
REST_BYTES = 2 * SECOND_REST
"""Room for a block of one plane and, from SECOND_REST on, of a second one, where an image's row is too short for it."""
