"""Cases: the full-size published generator and the shipped networks on a GPU, in torch and onnxruntime."""

from __future__ import annotations

import contextlib
import functools
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from figures import Case, Clock, Figure
from fresh_generator import NARROW, SIZE_PX, fresh_generator, plan_of
from torch import Tensor, nn

from lipforge.runtime.bundle import Bundle
from lipforge.runtime.onnx_engine import CPU_PROVIDER, OnnxEngine

SECTION, SHIPPED = "networks", "synth-warp"
BATCHES, TINY_BATCHES = (1, 8, 64), (2,)
CPU_BATCHES = (1, 2, 8)
DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
PROVIDERS = {"CUDA": "CUDAExecutionProvider", "TensorRT": "TensorrtExecutionProvider"}


class Shipped(nn.Module):
    """Both networks of a warp bundle in the sizes that ship, fresh: sound and pictures in, lips and fields out."""

    def __init__(self) -> None:
        super().__init__()
        from lipforge.train.models.audio2lips import Audio2Lips
        from lipforge.train.models.warp import WarpNet

        manifest = Bundle.load(SHIPPED).manifest
        self.factor = manifest.warp.factor
        self.listen = Audio2Lips(columns=manifest.window.columns)
        self.move = WarpNet()

    def forward(self, mel: Tensor, reference: Tensor, seen: Tensor, wanted: Tensor) -> tuple[Tensor, ...]:
        """Return lips, flow, mask and colour."""
        return (self.listen(mel), *self.move.fields(self.move(reference, seen, wanted), self.factor))


@dataclass(frozen=True)
class Subject:
    """A network, and what it is fed for so many frames: shapes of its inputs, without the batch."""

    name: str
    network: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...]


def subjects(*, tiny: bool) -> list[Subject]:
    """Return the networks that are timed."""
    published = functools.cache(lambda: fresh_generator(NARROW if tiny else None))
    shipped = functools.cache(lambda: Shipped().eval())
    picture, lips = (3, SIZE_PX, SIZE_PX), (2, SIZE_PX, SIZE_PX)
    return [
        Subject("published generator", published, ((1, 80, 16), (6, SIZE_PX, SIZE_PX))),
        Subject("shipped networks", shipped, ((80, 32), picture, lips, lips)),
    ]


def torch_cases(device: str, *, tiny: bool) -> Iterator[Case]:
    """Yield eager torch at each precision, and float16 replayed as a CUDA graph."""
    for subject in subjects(tiny=tiny):
        for batch in TINY_BATCHES if tiny else BATCHES:
            for precision in DTYPES:
                yield _torch_case(subject, device, batch, precision, "torch", _eager)
            yield _torch_case(subject, device, batch, "fp16", "torch, CUDA graph", _graphed)


def compile_cases(device: str, *, tiny: bool) -> Iterator[Case]:
    """Yield compiled torch; compiling takes much longer than everything else, so these come last."""
    for subject in subjects(tiny=tiny):
        for batch in (1, 64):
            yield _torch_case(subject, device, batch, "fp16", "torch.compile", _compiled)


def onnx_cases(folder: Path, *, tiny: bool) -> Iterator[Case]:
    """Yield onnxruntime's providers for GPUs, and its CPU on one thread to compare with."""
    import onnxruntime

    there = onnxruntime.get_available_providers()
    export = functools.cache(functools.partial(_onnx_files, folder, tiny=tiny))
    for title, provider in PROVIDERS.items():
        if provider not in there:
            empty = Figure(SECTION, "both", f"onnxruntime {title}", 1, "frames")
            yield Case(empty, _nothing, f"the installed onnxruntime has no {provider}")
    usable = {title: provider for title, provider in PROVIDERS.items() if provider in there}
    for name in ("published generator", "shipped networks"):
        for batch in TINY_BATCHES if tiny else BATCHES:
            for (title, provider), precision in itertools.product(usable.items(), ("fp32", "fp16")):
                empty = Figure(SECTION, name, f"onnxruntime {title} {precision}", batch, "frames")
                yield Case(empty, functools.partial(_time_onnx, export, empty, provider, precision))
            if batch in CPU_BATCHES:
                empty = Figure(SECTION, name, "onnxruntime CPU fp32", batch, "frames", note="1 thread")
                yield Case(empty, functools.partial(_time_onnx, export, empty, CPU_PROVIDER, "fp32"))


def _nothing(clock: Clock) -> tuple[float, float, str]:
    raise NotImplementedError  # there is an obstacle


def _torch_case(subject: Subject, device: str, batch: int, precision: str, how: str, prepare: Any) -> Case:
    empty = Figure(SECTION, subject.name, f"{how} {precision}", batch, "frames")
    obstacle = "needs a CUDA device" if device == "cpu" and (prepare is not _eager or precision == "tf32") else ""
    return Case(empty, functools.partial(_time_torch, subject, device, batch, precision, prepare), obstacle)


def _time_torch(
    subject: Subject, device: str, batch: int, precision: str, prepare: Any, clock: Clock
) -> tuple[float, float, str]:
    network = subject.network().to(device, DTYPES[precision], memory_format=torch.channels_last)
    inputs = [torch.rand(batch, *shape, device=device, dtype=DTYPES[precision]) for shape in subject.shapes]
    inputs = [x.to(memory_format=torch.channels_last) if x.ndim == 4 else x for x in inputs]
    with torch.inference_mode(), _tf32(allowed=precision == "tf32"):
        call, note = prepare(network, inputs)
        return (*clock.on_device(call), note)


@contextlib.contextmanager
def _tf32(*, allowed: bool) -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def _eager(network: nn.Module, inputs: list[Tensor]) -> tuple[Callable[[], object], str]:
    return lambda: network(*inputs), ""


def _graphed(network: nn.Module, inputs: list[Tensor]) -> tuple[Callable[[], object], str]:
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            network(*inputs)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        network(*inputs)
    return graph.replay, ""


def _compiled(network: nn.Module, inputs: list[Tensor]) -> tuple[Callable[[], object], str]:
    start = time.perf_counter()
    compiled = torch.compile(network, mode="reduce-overhead", dynamic=False)
    for _ in range(3):
        compiled(*inputs)
    torch.cuda.synchronize()
    return lambda: compiled(*inputs), f"compiled in {time.perf_counter() - start:.0f} s"


def _onnx_files(folder: Path, *, tiny: bool) -> dict[tuple[str, str], list[Path]]:
    """Write every graph at both precisions."""
    import onnx

    from lipforge.export.fp16 import to_half
    from lipforge.export.trace import to_onnx

    published = to_onnx(plan_of("published", fresh_generator(NARROW if tiny else None)))
    shipped = [onnx.load_model(str(path)) for path in Bundle.load(SHIPPED).paths.values()]
    files: dict[tuple[str, str], list[Path]] = {}
    for name, models in (("published generator", [published]), ("shipped networks", shipped)):
        for precision, change in (("fp32", lambda model: model), ("fp16", to_half)):
            for number, model in enumerate(models):
                path = folder / f"{name.partition(' ')[0]}-{number}-{precision}.onnx"
                onnx.save_model(change(model), str(path))
                files.setdefault((name, precision), []).append(path)
    return files


def _time_onnx(
    export: Callable[[], dict[tuple[str, str], list[Path]]], empty: Figure, provider: str, precision: str, clock: Clock
) -> tuple[float, float, str]:
    """Time graphs as the runtime runs them: arrays in the host's memory, copies included."""
    random = np.random.default_rng(0)
    bound = []
    for path in export()[empty.what, precision]:
        engine = OnnxEngine(path, provider=provider)
        arrays = {
            entry.name: (random.random((empty.batch, *entry.shape[1:]), np.float32) * 255).astype(entry.dtype)
            for entry in (*engine.inputs, *engine.outputs)
        }
        bound.append(engine.bind(arrays))

    def run() -> None:
        for one in bound:
            one()

    return (*clock.on_host(run), empty.note or "copies included")
