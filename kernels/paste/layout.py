"""How crop and mask lie in memory for the paste; imports no numba."""

from __future__ import annotations

MASK, PAINTED = 0, 1
"""The planes: mask as share, from PAINTED on levels of three channels."""
