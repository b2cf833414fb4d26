"""What a GPU is good for: networks, training steps and Triton kernels, in one table within 90 seconds.

    python benchmarks/gpu_figures.py --json figures.json
    python benchmarks/gpu_figures.py --sections kernels
    TRITON_INTERPRET=1 python benchmarks/gpu_figures.py --device cpu --tiny     # tries the script out

Torch and Triton are timed by CUDA events with a cold cache, onnxruntime and numba by the host's clock with their
copies. What cannot run here is a row with the reason; what fails is one too, and makes the exit code 1. When the
time is over, the rest is left out and says so. Training needs `pip install omegaconf`.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from figures import HEAD, Case, Clock, Figure, write_json
from gpu_kernels import kernel_cases
from gpu_networks import compile_cases, onnx_cases, torch_cases
from gpu_training import training_cases

SECTIONS = ("kernels", "networks", "training", "onnxruntime", "compile")
PACKAGES = ("torch", "triton", "onnxruntime", "numba", "numpy")
COMPILING_S = 30.0
"""What is kept for one network to be compiled; it is not begun with less time left."""


def cases(device: str, folder: Path, sections: Sequence[str], *, tiny: bool) -> Iterator[tuple[Case, float]]:
    """Yield every case of the sections, and how many seconds it needs at the least."""
    sources = {
        "kernels": lambda: kernel_cases(device, tiny=tiny),
        "networks": lambda: torch_cases(device, tiny=tiny),
        "training": lambda: training_cases(device, folder, tiny=tiny),
        "onnxruntime": lambda: onnx_cases(folder, tiny=tiny),
        "compile": lambda: compile_cases(device, tiny=tiny),
    }
    for section in sections:
        for case in sources[section]():
            yield case, COMPILING_S if section == "compile" else 0.0


def measure(case: Case, clock: Clock, left_s: float, needed_s: float) -> tuple[Figure, bool]:
    """Return a case's figure, and whether it failed."""
    if case.obstacle:
        return replace(case.empty, note=f"left out: {case.obstacle}"), False
    if left_s < needed_s or left_s < 0:
        return replace(case.empty, note="left out: no time left (--seconds)"), False
    try:
        least, median, note = case.measure(clock)
    except Exception as error:  # one that fails must not cost the others, whose machine may be there only once
        traceback.print_exc()
        first = (str(error).strip().splitlines() or [""])[0]
        return replace(case.empty, note=f"FAILED: {type(error).__name__}: {first:.200}"), True
    return replace(case.empty, least_ms=least, median_ms=median, note=note), False


def describe(device: str) -> dict[str, Any]:
    """Return what this machine is."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = ""
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    return {"device": name, "python": platform.python_version(), "cuda": torch.version.cuda, **versions}


def main(words: Sequence[str] | None = None) -> int:
    """Print the table and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--seconds", type=float, default=90.0, help="begin nothing after that long")
    parser.add_argument("--each", type=float, default=0.2, help="seconds of a measurement")
    parser.add_argument("--tiny", action="store_true", help="small sizes, to try the script out")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args(words)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch finds no CUDA device; --device cpu --tiny tries the script out without one")
    machine, start = describe(options.device), time.perf_counter()
    print(", ".join(f"{name} {value}" for name, value in machine.items() if value) + f"\n\n{HEAD}", flush=True)
    clock, figures, failed = Clock(options.device, options.each), list[Figure](), False
    with tempfile.TemporaryDirectory() as folder:
        for case, needed_s in cases(options.device, Path(folder), options.sections, tiny=options.tiny):
            left_s = options.seconds - (time.perf_counter() - start)
            figure, broke = measure(case, clock, left_s, needed_s)
            figures.append(figure)
            failed |= broke
            print(figure.row(), flush=True)
    machine["seconds"] = round(time.perf_counter() - start, 1)
    print(f"\n{len(figures)} rows in {machine['seconds']} s")
    if options.json:
        write_json(options.json, machine, figures)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
