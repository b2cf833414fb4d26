"""Argument checks of the public kernel calls: a wrong array is refused with one line that says what would be right.

They are also what keeps the compiled loops safe, which do not check bounds.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lipforge.kernels.errors import InputError


def require_array(name: str, array: Any, dtype: DTypeLike, shape: tuple[int | str, ...]) -> None:
    """Check that ``array`` is a C-contiguous numpy array of this dtype and shape, with no empty axis.

    Args:
        name: what the message calls the array.
        array: the argument to check.
        dtype: the only dtype allowed.
        shape: sizes; a letter stands for any size of at least 1.

    Raises:
        InputError: it is not; the message names what was given and what is allowed.
    """
    if (
        isinstance(array, np.ndarray)
        and array.dtype == dtype
        and _fits(array.shape, shape)
        and array.flags.c_contiguous
    ):
        return  # the words below cost more than a small kernel
    wanted = f"{np.dtype(dtype).name} array of shape ({', '.join(map(str, shape))})"
    if not isinstance(array, np.ndarray):
        raise InputError(f"{name} must be a numpy {wanted}, not {type(array).__name__}.")
    given = f"{array.dtype.name} {array.shape}"
    if array.dtype != np.dtype(dtype) or not _fits(array.shape, shape):
        raise InputError(f"{name} must be a {wanted}, not {given}.")
    if not array.flags.c_contiguous:
        raise InputError(f"{name} {given} is not contiguous in memory; pass numpy.ascontiguousarray({name}).")


def _fits(given: tuple[int, ...], wanted: tuple[int | str, ...]) -> bool:
    if given == wanted:
        return 0 not in given
    if len(given) != len(wanted):
        return False
    for size, axis in zip(given, wanted, strict=True):
        if size < 1 if isinstance(axis, str) else size != axis:
            return False
    return True


def require_output(name: str, array: Any, dtype: DTypeLike, shape: tuple[int | str, ...]) -> None:
    """Check an array that is written to: as ``require_array``, and not read-only.

    Raises:
        InputError: the array does not fit or cannot be written.
    """
    require_array(name, array, dtype, shape)
    if not array.flags.writeable:
        raise InputError(f"{name} is read-only; pass a writable array, for example {name}.copy().")


def require_size(name: str, size_px: Any) -> None:
    """Check that a size in pixels is a whole number of at least 1.

    Raises:
        InputError: it is not.
    """
    if isinstance(size_px, bool) or not isinstance(size_px, int | np.integer) or size_px < 1:
        raise InputError(f"{name} must be a whole number of at least 1, not {size_px!r}.")


def invert_affine(transform: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return an affine matrix and its inverse.

    Args:
        transform: float (2, 3), ``crop = M[:, :2] @ image + M[:, 2]``.

    Returns:
        Forward and inverse, both float64 (2, 3), C-contiguous.

    Raises:
        InputError: wrong shape or dtype, a value that is not finite, or a matrix that cannot be inverted.
    """
    forward, inverse = _inverted(transform)
    return forward, np.array(inverse).reshape(2, 3)


def inverse_path(transform: Any) -> tuple[float, float, float, float, float, float]:
    """Return the inverse of an affine matrix as six floats, row by row: what compiled functions take.

    Args:
        transform: as for ``invert_affine``.

    Raises:
        InputError: as there.
    """
    return _inverted(transform)[1]


def _inverted(transform: Any) -> tuple[NDArray[np.float64], tuple[float, float, float, float, float, float]]:
    if not isinstance(transform, np.ndarray) or transform.shape != (2, 3) or transform.dtype.kind != "f":
        got = f"{transform.dtype.name} {transform.shape}" if isinstance(transform, np.ndarray) else repr(transform)
        raise InputError(f"transform must be a float array of shape (2, 3) (image to crop), not {got}.")
    forward = np.ascontiguousarray(transform, dtype=np.float64)
    # Plain floats: on six numbers numpy's calls cost ten times the arithmetic.
    (a, b, x), (c, d, y) = forward.tolist()
    determinant = a * d - b * c
    if not math.isfinite(a + b + c + d + x + y) or abs(determinant) < 1e-12:
        raise InputError(f"transform cannot be inverted: {forward.tolist()}; pass a finite image-to-crop transform.")
    a, b, c, d = d / determinant, -b / determinant, -c / determinant, a / determinant
    return forward, (a, b, -a * x - b * y, c, d, -c * x - d * y)
