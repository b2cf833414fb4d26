"""How a crop lies in memory, in the numbers that pass between Python and the compiled crop."""

from __future__ import annotations

# uint8 (S, S, 3); uint8 (3, S, S); float32 (3, S, S), level / 255. One more reverses the order of the channels.
PIXELS, BYTE_PLANES, FLOAT_PLANES = 0, 2, 4

RECORD_COLUMNS = 8
"""Records of chroma (``vector_chroma``) are made eight at a time, so their region has at least that many columns."""
