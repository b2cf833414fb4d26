"""Memory that kernels work in: it grows when more is needed, is kept between frames and never given back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


@dataclass
class Buffer:
    """One array that grows; its content is left over from the last use, and zero where it is new.

    Attributes:
        dtype: of its elements.
        array: what it holds now, one-dimensional.
    """

    dtype: DTypeLike
    array: NDArray[Any] = field(init=False)

    def __post_init__(self) -> None:
        self.array = np.zeros(0, self.dtype)

    def room(self, *shape: int) -> NDArray[Any]:
        """Return a C-contiguous array of this shape in the buffer; it is valid until the next, larger request."""
        count = 1
        for size in shape:
            count *= size
        if self.array.size < count:
            self.array = np.zeros(count, self.dtype)
        return self.array[:count].reshape(shape)
