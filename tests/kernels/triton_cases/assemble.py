"""Compile ops' Triton kernels for sm_90 with the sizes that ship; print a line of JSON for each. Needs no GPU."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

from lipforge.kernels.triton_config import cuda_config

CONFIG = cuda_config(multiprocessors=132)
HOPPER = GPUTarget("cuda", 90, 32)


TYPES = {"bytes_": "*u8", "reals": "*fp32", "wholes": "*i32", "integers": "i32", "floats": "fp32"}


def types(**names: str) -> dict[str, str]:
    """Return the type of each parameter, from the parameters of each kind."""
    return {name: TYPES[kind] for kind, listed in names.items() for name in listed.split()}


def mel() -> tuple:
    from lipforge.kernels.mel.triton_mel import mel_columns

    parameters = types(
        reals="padded cosine sine filters out",
        integers="columns hop_samples n_fft n_mels pairs bins tiles",
        floats="floor scale offset max_abs",
    )
    sizes = {"COLUMNS": CONFIG.mel_columns, "BINS": CONFIG.mel_bins, "PAIRS": CONFIG.mel_samples}
    return mel_columns, parameters, {**sizes, "MELS": 128, "PRECISION": CONFIG.dot_precision}, CONFIG.mel_warps


def crop() -> tuple:
    from lipforge.kernels.crop.triton_crop import crop_tiles

    parameters = types(
        bytes_="images out", reals="reals", wholes="wholes", integers="height width size_px tiles_per_crop tiles"
    )
    sizes = {"AS_FLOAT": False, "REVERSE": True, "PIXELS": CONFIG.crop_pixels}
    return crop_tiles, parameters, sizes, CONFIG.pixel_warps


def crop_float() -> tuple:
    kernel, parameters, sizes, warps = crop()
    return kernel, {**parameters, "out": "*fp32"}, {**sizes, "AS_FLOAT": True, "REVERSE": False}, warps


def warp() -> tuple:
    from lipforge.kernels.warp.triton_warp import warp_tiles

    parameters = types(
        bytes_="images out",
        reals="flow mask colour reals",
        wholes="wholes",
        integers="height width size_px tiles_per_image tiles",
        floats="ramp strength",
    )
    return warp_tiles, parameters, {"PIXELS": CONFIG.warp_pixels}, CONFIG.pixel_warps


def resources(cubin: bytes) -> dict[str, int]:
    """Return registers and stack bytes of a thread, as the cubin states them; a stack means that registers spilled."""
    program = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [str(program), "--dump-resource-usage", file.name]
        shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    pairs = (word.split(":") for word in shown.split() if word.count(":") == 1 and not word.endswith(":"))
    values = {name: int(value) for name, value in pairs if value.isdigit()}
    return {"registers": values["REG"], "stack_bytes": values["STACK"]}


def main(op: str) -> None:
    kernel, parameters, sizes, warps = {"mel": mel, "crop": crop, "crop_float": crop_float, "warp": warp}[op]()
    signature = {**parameters, **dict.fromkeys(sizes, "constexpr")}
    # The options that lipforge.kernels.triton_launch.launch gives.
    options = {"num_warps": warps, "enable_fp_fusion": False}
    start = time.perf_counter()
    built = compile(ASTSource(kernel, signature, constexprs=sizes), target=HOPPER, options=options)
    report = {"seconds": time.perf_counter() - start, "shared_bytes": built.metadata.shared}
    report |= {"ptx": built.asm["ptx"], "cubin_bytes": len(built.asm["cubin"]), "elf": built.asm["cubin"][:4].hex()}
    print(json.dumps({**report, **resources(built.asm["cubin"])}))


if __name__ == "__main__":
    for op in sys.argv[1:]:
        main(op)
