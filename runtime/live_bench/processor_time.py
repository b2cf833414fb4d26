"""Processor time of networks and face tracker: what a frame costs whatever else the machine does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from time import thread_time

from lipforge.runtime.bundle import Bundle
from lipforge.runtime.engine import Arrays, BoundRun, Engine
from lipforge.runtime.faces import Face, FaceTracker
from lipforge.runtime.manifest import TensorEntry


@dataclass
class Meter:
    """Processor time so far, in ms, of the thread that takes frames."""

    ms: float = 0.0

    def take(self) -> float:
        """Return the time since the last call."""
        ms, self.ms = self.ms, 0.0
        return ms


class MeteredTracker(FaceTracker):
    """A face tracker whose processor time is metered."""

    def __init__(self, bundle: Bundle, meter: Meter) -> None:
        super().__init__(None, bundle.manifest.crop, bundle.manifest.lips)
        self._meter = meter

    def track(self, pixels: object) -> Face | None:
        """Track and meter."""
        start = thread_time()
        face = super().track(pixels)  # type: ignore[arg-type]  # whatever it takes
        self._meter.ms += 1000 * (thread_time() - start)
        return face


class _MeteredRun:
    def __init__(self, run: BoundRun, meter: Meter) -> None:
        self._run, self._meter = run, meter

    @property
    def arrays(self) -> Arrays:
        return self._run.arrays

    def __call__(self) -> None:
        start = thread_time()
        self._run()
        self._meter.ms += 1000 * (thread_time() - start)


class _MeteredEngine:
    def __init__(self, engine: Engine, meter: Meter) -> None:
        self._engine, self._meter = engine, meter

    @property
    def path(self) -> Path:
        return self._engine.path

    @property
    def inputs(self) -> tuple[TensorEntry, ...]:
        return self._engine.inputs

    @property
    def outputs(self) -> tuple[TensorEntry, ...]:
        return self._engine.outputs

    def run(self, arrays: Arrays) -> Arrays:
        return self._engine.run(arrays)

    def bind(self, arrays: Arrays) -> BoundRun:
        return _MeteredRun(self._engine.bind(arrays), self._meter)

    def close(self) -> None:
        self._engine.close()


def metered(bundle: Bundle, meter: Meter) -> Bundle:
    """Return a bundle whose networks' runs are metered."""
    engines: dict[tuple[str, int], Engine] = {
        (name, 1): _MeteredEngine(bundle.engine(name), meter) for name in bundle.manifest.graphs
    }
    return replace(bundle, _shared=engines)
