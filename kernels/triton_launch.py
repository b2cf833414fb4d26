"""What every Triton kernel needs around it: its decorator, a device, and arrays that may come from numpy or torch.

This module and ``triton_<op>.py`` are the only ones of the kernels that import torch and triton. Nothing imports them
but ``lipforge.kernels.backend``, and only when the triton backend is asked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import torch
import triton
from numpy.typing import NDArray

from lipforge.kernels.errors import BackendError, InputError
from lipforge.kernels.triton_config import TritonConfig, config_for

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
Array = torch.Tensor | NDArray[Any]

LARGEST_OFFSET = 2**31 - 1
"""Offsets inside one image or one spectrogram are 32 bits wide: an NPU has no fast 64-bit vectors."""


def kernel(function: FunctionT) -> FunctionT:
    """Mark a module-level function as a Triton kernel or as a part of one; it compiles at its first launch.

    No ``triton.autotune``: some versions look for a GPU driver when it decorates, so that an import would fail.
    """
    return cast(FunctionT, triton.jit(function))


def interpreted() -> bool:
    """Tell whether this process runs Triton's interpreter: ``TRITON_INTERPRET=1`` was set before triton's import."""
    return not isinstance(_probe, triton.JITFunction)


@kernel
def _probe() -> None:
    pass


def accelerator() -> torch.device | None:
    """Return where numpy arrays are sent: the accelerator, ``cpu`` in the interpreter, None if there is neither."""
    if interpreted():
        return torch.device("cpu")
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found if found is not None and found.type in ("cuda", "npu") else None


def on_device(name: str, array: Any, dtype: torch.dtype, shape: tuple[int | str, ...]) -> torch.Tensor:
    """Check an array and return it as a tensor on a device that Triton can use.

    Args:
        name: what a message calls the array.
        array: numpy array, copied to the accelerator, or tensor, used where it is; C-contiguous.
        dtype: the only dtype allowed.
        shape: sizes; a letter stands for any size of at least 1.

    Raises:
        InputError: the array has the wrong type, dtype, shape or layout.
        BackendError: there is no accelerator, or the tensor is not on one.
    """
    wanted = f"{str(dtype).removeprefix('torch.')} array or tensor of shape ({', '.join(map(str, shape))})"
    if not isinstance(array, np.ndarray | torch.Tensor):
        raise InputError(f"{name} must be a {wanted}, not {type(array).__name__}.")
    given = f"{str(array.dtype).removeprefix('torch.')} {tuple(array.shape)}"
    fits = len(array.shape) == len(shape) and all(
        size >= 1 if isinstance(axis, str) else size == axis for size, axis in zip(array.shape, shape, strict=True)
    )
    if str(array.dtype).removeprefix("torch.") != str(dtype).removeprefix("torch.") or not fits:
        raise InputError(f"{name} must be a {wanted}, not {given}.")
    if not (array.flags.c_contiguous if isinstance(array, np.ndarray) else array.is_contiguous()):
        raise InputError(f"{name} {given} is not contiguous in memory; make it so first.")
    if isinstance(array, np.ndarray):
        return torch.from_numpy(array if array.flags.writeable else array.copy()).to(_accelerator())
    if not usable(array.device):
        raise BackendError(f"{name} is on {array.device}; the triton backend needs it on a CUDA or NPU device.")
    return array


def _accelerator() -> torch.device:
    device = accelerator()
    if device is None:
        raise BackendError("The triton backend finds no CUDA or NPU device; use the numba backend on this machine.")
    return device


def usable(device: torch.device) -> bool:
    """Tell whether kernels can run on this device: an accelerator, or the CPU in the interpreter."""
    return device.type == "cpu" if interpreted() else device.type in ("cuda", "npu")


def output(name: str, out: Any, dtype: torch.dtype, shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """Return ``out`` if it fits, or a new tensor if it is None.

    Raises:
        InputError: ``out`` is no tensor, or has the wrong dtype, shape, layout or device.
    """
    if out is None:
        return torch.empty(shape, dtype=dtype, device=device)
    if not isinstance(out, torch.Tensor):
        raise InputError(f"{name} must be a tensor on {device}, not {type(out).__name__}; leave it out for numpy.")
    tensor = on_device(name, out, dtype, shape)
    if tensor.device != device:
        raise InputError(f"{name} is on {tensor.device}, the inputs are on {device}; put them on one device.")
    return tensor


def as_given(result: torch.Tensor, given: Array) -> Any:
    """Return a result in the kind of array that the caller works with: numpy for numpy, else a tensor."""
    return result.cpu().numpy() if isinstance(given, np.ndarray) else result


def config_of(device: torch.device) -> TritonConfig:
    """Return the tile sizes for a device.

    Raises:
        BackendError: there are none for its type.
    """
    cores = torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 0
    return config_for(device.type, cores)


def launch(function: Any, tiles: int, programs: int, warps: int, device: torch.device, **arguments: Any) -> None:
    """Run a kernel over its tiles on a one-dimensional grid.

    Args:
        function: the kernel; its parameter ``tiles`` gets the number of tiles.
        tiles: how many there are.
        programs: how many programs share them at most.
        warps: warps of a program on a GPU.
        device: where the tensors are.
        arguments: the kernel's other parameters.
    """
    if tiles == 0:
        return
    # Triton launches on the current device, which need not be the one that holds the tensors.
    here = contextlib.nullcontext() if device.type == "cpu" else torch.get_device_module(device).device(device)
    with here:
        # A fused multiply-add rounds once where the reference rounds twice; Triton's default differs by version.
        function[(min(tiles, programs),)](**arguments, tiles=tiles, num_warps=warps, enable_fp_fusion=False)
