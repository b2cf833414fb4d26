"""Tile sizes and grid of the Triton kernels, one set a device family, so that the kernels themselves name no chip.

Every kernel runs on a one-dimensional, persistent grid: a fixed number of programs shares the tiles, program p does
tiles p, p + programs, p + 2 programs, and so on. That is what an Ascend NPU wants (one program a core, at most 65,535),
and a GPU loses nothing by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lipforge.kernels.errors import BackendError

LARGEST_GRID = 65_535
"""triton-ascend refuses larger grids: the number of programs is kept in 16 bits."""

NPU_BUFFER_BYTES = 96 * 1024
"""Half of a vector core's 192 KiB buffer; the other half is filled while this one is worked on."""


@dataclass(frozen=True)
class TritonConfig:
    """How the kernels are cut for one family of devices; tile sides are powers of two.

    Attributes:
        mel_programs: programs of the mel kernel at most; it multiplies matrices.
        pixel_programs: programs of the crop and warp kernels at most.
        mel_columns: mel columns of a tile.
        mel_bins: FFT bins of a tile.
        mel_samples: sample pairs of a tile; it is the inner length of each matrix product.
        crop_pixels: crop pixels of a tile.
        warp_pixels: image pixels of a tile.
        dot_precision: how float32 matrices are multiplied. ``ieee`` is full float32. ``tf32`` is not offered: 10 bits
            of mantissa do not carry a range of 100 dB.
        mel_warps: warps of a mel program; of no meaning on an NPU.
        pixel_warps: warps of a crop or warp program; of no meaning on an NPU.
    """

    mel_programs: int
    pixel_programs: int
    mel_columns: int
    mel_bins: int
    mel_samples: int
    crop_pixels: int
    warp_pixels: int
    dot_precision: Literal["ieee", "tf32x3"] = "ieee"
    mel_warps: int = 4
    pixel_warps: int = 4


def cuda_config(multiprocessors: int) -> TritonConfig:
    """Return the sizes for a CUDA GPU (or ROCm, untested) with so many multiprocessors."""
    return TritonConfig(
        mel_programs=min(2 * multiprocessors, LARGEST_GRID),
        pixel_programs=min(8 * multiprocessors, LARGEST_GRID),
        mel_columns=64,
        mel_bins=32,
        mel_samples=16,
        crop_pixels=512,
        warp_pixels=256,
        mel_warps=8,
    )


def npu_config() -> TritonConfig:
    """Return the sizes for an Ascend NPU: a program a core of the 910B3 (20 with a matrix unit, 40 vector cores).

    Another chip's number of cores changes the speed, not the result.
    """
    return TritonConfig(
        mel_programs=20,
        pixel_programs=40,
        mel_columns=32,
        mel_bins=32,
        mel_samples=32,
        crop_pixels=512,
        warp_pixels=256,
    )


def interpreter_config() -> TritonConfig:
    """Return the sizes for Triton's interpreter: few, large tiles, for it pays for every operation, not every value.

    Three programs, so that a program has several tiles and the last ones are shared unevenly.
    """
    return TritonConfig(
        mel_programs=3,
        pixel_programs=3,
        mel_columns=32,
        mel_bins=64,
        mel_samples=64,
        crop_pixels=1024,
        warp_pixels=2048,
    )


def config_for(device_type: str, cores: int) -> TritonConfig:
    """Return the sizes for a torch device type.

    Args:
        device_type: ``cuda``, ``npu``, or ``cpu`` for the interpreter.
        cores: multiprocessors of a CUDA device; not used otherwise.

    Raises:
        BackendError: there are no sizes for this type.
    """
    if device_type == "cuda":
        return cuda_config(cores)
    if device_type == "npu":
        return npu_config()
    if device_type == "cpu":
        return interpreter_config()
    raise BackendError(f"The triton backend runs on 'cuda' and 'npu' devices, not on {device_type!r}; use numba there.")
