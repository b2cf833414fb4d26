"""Decoded video frames as they are: a plane of luma and half-size chroma, without a detour through RGB."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.arrays import invert_affine
from lipforge.kernels.errors import ConfigError, InputError
from lipforge.kernels.spec import Spec

# Shares of red and blue in luma: ITU-T H.273, table 4 (BT.601, BT.709, FCC 73.682, SMPTE 240M, BT.2020).
LUMA_SHARES = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "fcc": (0.30, 0.11),
    "smpte240m": (0.212, 0.087),
    "bt2020": (0.2627, 0.0593),
}


@dataclass(frozen=True)
class YuvSpec(Spec):
    """What the numbers of a YUV 4:2:0 frame mean.

    ``matrix`` turns RGB into luma and chroma; ``full_range`` tells levels 0..255 from 16..235 (chroma 16..240). A
    chroma sample lies midway between two rows of luma; across, it lies midway between two columns (``centre``: JPEG,
    MPEG-1) or on the even column (``left``: what MPEG-2, H.264 and H.265 assume unless told otherwise).
    """

    matrix: Literal["bt601", "bt709", "fcc", "smpte240m", "bt2020"] = "bt601"
    full_range: bool = False
    siting: Literal["left", "centre"] = "left"

    def __post_init__(self) -> None:
        if self.matrix not in LUMA_SHARES:
            raise ConfigError(f"YuvSpec.matrix must be one of {sorted(LUMA_SHARES)}, not {self.matrix!r}.")
        if self.siting not in ("left", "centre"):
            raise ConfigError(f"YuvSpec.siting must be 'left' or 'centre', not {self.siting!r}.")

    @lru_cache  # noqa: B019 - a handful of frozen specs, asked for in every frame
    def from_rgb(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return matrix (3, 3) and offset (3,): levels of Y, U, V = matrix @ (red, green, blue in 0..1) + offset."""
        red, blue = LUMA_SHARES[self.matrix]
        luma = np.array([red, 1.0 - red - blue, blue])
        chroma_u = (np.array([0.0, 0.0, 1.0]) - luma) / (2.0 * (1.0 - blue))
        chroma_v = (np.array([1.0, 0.0, 0.0]) - luma) / (2.0 * (1.0 - red))
        luma_span, chroma_span, black = (255.0, 255.0, 0.0) if self.full_range else (219.0, 224.0, 16.0)
        matrix = np.stack([luma * luma_span, chroma_u * chroma_span, chroma_v * chroma_span])
        return _constant(matrix), _constant(np.array([black, 128.0, 128.0]))

    @lru_cache  # noqa: B019
    def to_rgb(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return matrix (3, 3) and offset (3,): levels of red, green, blue = matrix @ (Y, U, V) + offset."""
        matrix, offset = self.from_rgb()
        inverse = 255.0 * np.linalg.inv(matrix)
        return _constant(inverse), _constant(-inverse @ offset)

    def chroma_transforms(self, forward: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return how a chroma plane lies in the crop.

        Args:
            forward: float64 (2, 3), luma px to crop px.

        Returns:
            Chroma px to crop px, and crop px to chroma px; both float64 (2, 3).
        """
        (a, b, x), (c, d, y) = forward.tolist()
        offset = self.chroma_offset  # luma px = 2 * chroma px + (offset, 0.5)
        return invert_affine(
            np.array([[2 * a, 2 * b, a * offset + b * 0.5 + x], [2 * c, 2 * d, c * offset + d * 0.5 + y]])
        )

    @property
    def chroma_offset(self) -> float:
        """Luma px from the first luma column to the first of chroma; between rows it is always 0.5."""
        return 0.5 if self.siting == "centre" else 0.0


@dataclass(frozen=True)
class I420Frame:
    """Three planes: ``y`` uint8 (H, W), ``u`` and ``v`` uint8 (ceil(H/2), ceil(W/2)); rows may be any distance apart.

    Raises:
        InputError: a plane has the wrong shape or dtype, or the pixels of a row do not lie next to each other.
    """

    y: NDArray[np.uint8]
    u: NDArray[np.uint8]
    v: NDArray[np.uint8]
    spec: YuvSpec = YuvSpec()

    def __post_init__(self) -> None:
        height, width = _luma_size(self.y)
        for name, plane in (("u", self.u), ("v", self.v)):
            _require_plane(name, plane, ((height + 1) // 2, (width + 1) // 2))


@dataclass(frozen=True)
class Nv12Frame:
    """Two planes: ``y`` uint8 (H, W), ``uv`` uint8 (ceil(H/2), ceil(W/2), 2); rows may be any distance apart.

    Raises:
        InputError: a plane has the wrong shape or dtype, or the pixels of a row do not lie next to each other.
    """

    y: NDArray[np.uint8]
    uv: NDArray[np.uint8]
    spec: YuvSpec = YuvSpec()

    def __post_init__(self) -> None:
        height, width = _luma_size(self.y)
        _require_plane("uv", self.uv, ((height + 1) // 2, (width + 1) // 2, 2))


def require_writable(frame: I420Frame | Nv12Frame) -> None:
    """Check that every plane can be changed in place.

    Raises:
        InputError: one is read-only.
    """
    planes = (frame.y, frame.uv) if isinstance(frame, Nv12Frame) else (frame.y, frame.u, frame.v)
    if not all(plane.flags.writeable for plane in planes):
        raise InputError("a plane of the frame is read-only; pass writable planes, for example plane.copy().")


def _constant(array: NDArray[Any]) -> NDArray[np.float64]:
    array.flags.writeable = False
    return array


def _luma_size(plane: Any) -> tuple[int, int]:
    given: tuple[int, ...] = plane.shape if isinstance(plane, np.ndarray) else ()
    if len(given) != 2 or 0 in given:
        raise InputError(f"y must be a uint8 array of shape (H, W), not {_described(plane)}.")
    _require_plane("y", plane, given)
    return int(given[0]), int(given[1])


def _require_plane(name: str, plane: Any, shape: Any) -> None:
    if not isinstance(plane, np.ndarray) or plane.dtype != np.uint8 or plane.shape != shape:
        raise InputError(f"{name} must be a uint8 array of shape {shape}, not {_described(plane)}.")
    within_row = (2, 1) if len(shape) == 3 else (1,)
    if plane.strides[1:] != within_row or plane.strides[0] < plane[0].nbytes:
        raise InputError(
            f"{name}: the pixels of a row must lie next to each other and rows in order; strides are {plane.strides}. "
            f"Pass numpy.ascontiguousarray({name})."
        )


def _described(plane: Any) -> str:
    return f"{plane.dtype.name} {plane.shape}" if isinstance(plane, np.ndarray) else type(plane).__name__
