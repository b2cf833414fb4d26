"""Networks on every engine: ms a frame of the published generator and of the shipped model, at batch 1 and 8.

``pytest benchmarks/bench_engines.py --benchmark-enable --benchmark-only`` times each engine by itself; run as a script
it takes them in turns, with one thread and with two, and prints the tables of docs/export.md. The published
size has fresh weights and 8 bits are calibrated on drawn samples: neither changes the time. In a smoke run the
generator is narrow.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fresh_generator import NARROW, SIZE_PX, fresh_generator, plan_of

from lipforge.runtime.bundle import Bundle
from lipforge.runtime.onnx_engine import OnnxEngine

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("openvino")

SHIPPED = "synth-warp"
# What `lipforge export synth-warp --target onnx-int8` leaves in float32.
SHIPPED_FLOATS = ("/network/low/Conv", "/network/out/Conv")
NETWORKS = ("published", "shipped")
ENGINES = ("torch", "onnxruntime fp32", "onnxruntime int8", "openvino fp32", "openvino int8")
BATCHES, THREADS = (1, 8), (1, 2)
CALIBRATION = 4


@dataclass(frozen=True)
class Graphs:
    """Files by network and kind (fp32, int8, int8-openvino), their inputs and outputs, and the network in torch."""

    torch: Any
    files: dict[tuple[str, str], list[tuple[str, Path]]]
    arrays: dict[str, dict[str, tuple[tuple[int, ...], type]]]


def build(folder: Path, *, narrow: bool) -> Graphs:
    """Write every graph."""
    import onnx

    from lipforge.export.int8.quantiser import Quantiser
    from lipforge.export.trace import to_onnx

    network = fresh_generator(NARROW if narrow else None)
    plan = plan_of("published", network)
    models = {"published": to_onnx(plan)}
    bundle = Bundle.load(SHIPPED)
    models |= {name: onnx.load_model(str(path)) for name, path in bundle.paths.items()}
    arrays = {"published": {entry.name: _sizes(entry) for entry in (*plan.inputs, *plan.outputs)}}
    for name in bundle.paths:
        graph = bundle.graph(name)
        arrays[name] = {entry.name: _sizes(entry) for entry in (*graph.inputs, *graph.outputs)}
    files: dict[tuple[str, str], list[tuple[str, Path]]] = {}
    for name, model in models.items():
        owner = "published" if name == "published" else "shipped"
        feeds = [_fill(arrays[name], 1, seed) for seed in range(CALIBRATION)]
        wanted = [value.name for value in model.graph.input]
        feeds = [{key: feed[key] for key in wanted} for feed in feeds]
        made = {"fp32": model}
        for kind, channels_last in (("int8", True), ("int8-openvino", False)):
            quantiser = Quantiser(model, feeds, channels_last=channels_last)
            made[kind] = quantiser.quantised([layer for layer in SHIPPED_FLOATS if layer in quantiser.layers])
        for kind, variant in made.items():
            path = folder / f"{name}-{kind}.onnx"
            onnx.save_model(variant, str(path))
            files.setdefault((owner, kind), []).append((name, path))
    return Graphs(network, files, arrays)


def runner(graphs: Graphs, network: str, engine: str, batch: int, threads: int) -> Callable[[], object]:
    """Return a call that computes ``batch`` frames."""
    if engine == "torch":
        torch.set_num_threads(threads)
        mel, face = torch.zeros(batch, 1, 80, 16), torch.rand(batch, 6, SIZE_PX, SIZE_PX)

        def run() -> object:
            torch.set_num_threads(threads)
            with torch.inference_mode():
                return graphs.torch(mel, face)

        return run
    library, precision = engine.split()
    kind = "int8-openvino" if (library, precision) == ("openvino", "int8") else precision
    bound = [
        _load(library, path, threads).bind(_fill(graphs.arrays[name], batch, 9))
        for name, path in graphs.files[network, kind]
    ]

    def run_bound() -> object:
        for one in bound:
            one()
        return None

    return run_bound


def _load(library: str, path: Path, threads: int) -> Any:
    if library == "onnxruntime":
        return OnnxEngine(path, threads)
    from lipforge.runtime.openvino_engine import OpenVinoEngine

    return OpenVinoEngine(path, threads)


def _sizes(entry: Any) -> tuple[tuple[int, ...], type]:
    return tuple(int(size) for size in entry.shape[1:]), np.dtype(entry.dtype).type


def _fill(arrays: dict[str, tuple[tuple[int, ...], type]], batch: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        name: random.integers(0, 256, (batch, *shape), np.uint8)
        if kind is np.uint8
        else random.uniform(-4, 4, (batch, *shape)).astype(np.float32)
        for name, (shape, kind) in arrays.items()
    }


@pytest.fixture(scope="module")
def graphs(request, tmp_path_factory) -> Graphs:
    return build(tmp_path_factory.mktemp("engines"), narrow=not request.config.getoption("benchmark_enable"))


@pytest.mark.benchmark(group="networks of a frame")
@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(
    ("network", "engine"), [(network, engine) for network in NETWORKS for engine in ENGINES[network == "shipped" :]]
)
def test_engine(benchmark, graphs, network, engine, batch, threads):
    benchmark.group = f"networks of a frame, batch {batch}, {threads} threads (published: torch's own is the peer)"
    benchmark(runner(graphs, network, engine, batch, threads))


@dataclass
class Times:
    """Seconds of a run, round by round: on the wall, and of all the process's cores."""

    wall: list[float]
    cpu: list[float]


def measure(runs: dict[Any, Callable[[], object]], rounds: int) -> dict[Any, Times]:
    """Time every run once a round, in turns."""
    times = {key: Times([], []) for key in runs}
    for run in runs.values():
        run()
    for _ in range(rounds):
        for key, run in runs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            times[key].wall.append(time.perf_counter() - wall)
            times[key].cpu.append(time.process_time() - cpu)
    return times


def table(graphs: Graphs, rounds: int, threads: Sequence[int], batches: Sequence[int]) -> None:
    """Print ms a frame of every network and engine at every batch size; see ``main``."""
    pairs = [(network, engine) for network in NETWORKS for engine in ENGINES[network == "shipped" :]]
    peer: float | None = None
    for batch in batches:
        # Fewer threads first: pools of more may still be winding down when the next run begins.
        keys = [(*pair, count) for count in threads for pair in pairs]
        runs = {(*pair, count): runner(graphs, *pair, batch, count) for *pair, count in keys}
        times = measure(runs, rounds)
        for pair in pairs:
            cpu = times[(*pair, threads[0])].cpu
            least, middle = (1000 * pick(cpu) / batch for pick in (min, statistics.median))
            peer = middle if peer is None else peer
            walls = [1000 * min(times[(*pair, count)].wall) / batch for count in threads]
            cells = [*pair, f"{batch}", f"{least:.2f}", f"{middle:.2f}", f"{peer / middle:.1f}"]
            cells += [f"{wall:.2f}" for wall in walls]
            if len(walls) > 1:
                cells.append(f"{walls[0] / walls[-1]:.2f}")
            print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print a table: all engines and numbers of threads take turns, so that a busy machine is unfair to none.

    CPU time is that of the first number of threads, and "times torch" compares its medians with torch at batch 1. Wall
    times are the least ones, and "faster" is that of the first number of threads over that of the last. Nothing spins:
    start it with OMP_WAIT_POLICY=passive, which torch's threads obey; the others never do.
    """
    parser = argparse.ArgumentParser(description=main.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, nargs="+", default=THREADS)
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--narrow", action="store_true", help="a narrow generator, to try the script out")
    options = parser.parse_args()
    heads = ["network", "engine", "batch", "CPU ms, least", "median", "times torch"]
    heads += [f"wall ms, {count} thread{'s' * (count > 1)}" for count in options.threads]
    heads += ["faster"] * (len(options.threads) > 1)
    print(f"| {' | '.join(heads)} |\n|{'-|' * len(heads)}")
    with tempfile.TemporaryDirectory() as folder:
        table(build(Path(folder), narrow=options.narrow), options.rounds, options.threads, options.batches)


if __name__ == "__main__":
    main()
