"""ONNX graphs on OpenVINO, with buffers that are allocated once. OpenVINO is optional: ``lipforge[openvino]``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import BackendError, ConfigError
from lipforge.runtime.engine import check_array
from lipforge.runtime.manifest import TensorEntry
from lipforge.runtime.packages import require

DEVICE = "CPU"


class OpenVinoEngine:
    """One loaded graph on the CPU.

    Args:
        path: an ONNX file.
        threads: threads inside one run; 1 gives the steadiest times and leaves the other cores to other streams.

    Raises:
        ConfigError: ``threads`` is below 1.
        MissingPackageError: OpenVINO is not installed.
        BackendError: it cannot load the file.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        openvino = require("openvino")
        if threads < 1:
            raise ConfigError(f"threads is {threads}; allowed are 1 and more.")
        self.path = path
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            # By default processors with bfloat16 would use it, which no bundle was verified with.
            "INFERENCE_PRECISION_HINT": "f32",
            # Engines of several streams must not be tied to the same core.
            "ENABLE_CPU_PINNING": False,
        }
        try:
            core = openvino.Core()
            model = core.read_model(str(path))
            # As read: compiling can give a port the name of a node that was merged into it too.
            self.inputs = tuple(_entry(port) for port in model.inputs)
            self.outputs = tuple(_entry(port) for port in model.outputs)
            self._compiled: Any = core.compile_model(model, DEVICE, settings)
            self._request: Any = self._compiled.create_infer_request()
        except Exception as error:  # OpenVINO raises plain RuntimeErrors
            raise BackendError(f"{path}: OpenVINO cannot load it ({_reason(error)}).") from error

    def run(self, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the graph once.

        Args:
            arrays: every input by name, with the dtype and shape of ``inputs``.

        Returns:
            Every output by name, in arrays of its own.

        Raises:
            ConfigError: an input is missing or does not fit.
            BackendError: the run failed.
        """
        fed = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        for entry in self.inputs:
            check_array(entry, fed.get(entry.name), self.path)
        batch = len(fed[self.inputs[0].name])
        # Outputs are always arrays of ours: a request with outputs of its own would write into those that another
        # request of the same model was last bound to (seen with OpenVINO 2026.4).
        made = {entry.name: np.empty(_sizes(entry, batch), entry.dtype) for entry in self.outputs}
        try:
            self._bound(self._request, fed | made)()
        except BackendError:
            raise
        except Exception as error:
            raise BackendError(f"{self.path}: the run failed ({_reason(error)}).") from error
        return made

    def bind(self, arrays: dict[str, NDArray[Any]]) -> BoundOpenVinoRun:
        """Return a run that reads its inputs from ``arrays`` and writes its outputs into ``arrays``, without copies.

        Args:
            arrays: every input and output by name: C-contiguous, with the dtype of the graph and a whole shape.

        Raises:
            ConfigError: an array is missing or does not fit the graph.
        """
        for entry in (*self.inputs, *self.outputs):
            check_array(entry, arrays.get(entry.name), self.path)
        return self._bound(self._compiled.create_infer_request(), arrays)

    def _bound(self, request: Any, arrays: dict[str, NDArray[Any]]) -> BoundOpenVinoRun:
        from openvino import Tensor

        for entry in (*self.inputs, *self.outputs):
            request.set_tensor(entry.name, Tensor(arrays[entry.name], shared_memory=True))
        return BoundOpenVinoRun(request, arrays, self.path)

    def close(self) -> None:
        """Give the model back; the engine cannot run afterwards."""
        self._request = self._compiled = None


class BoundOpenVinoRun:
    """A graph with fixed input and output arrays; made by ``OpenVinoEngine.bind``."""

    def __init__(self, request: Any, arrays: dict[str, NDArray[Any]], path: Path) -> None:
        self._request, self._path = request, path
        self.arrays = arrays

    def __call__(self) -> None:
        """Run the graph on what the input arrays hold now.

        Raises:
            BackendError: the run failed.
        """
        try:
            self._request.infer()
        except Exception as error:
            raise BackendError(f"{self._path}: the run failed ({_reason(error)}).") from error


def _entry(port: Any) -> TensorEntry:
    shape = tuple("B" if size.is_dynamic else int(size.get_length()) for size in port.get_partial_shape())
    return TensorEntry(name=port.get_any_name(), dtype=np.dtype(port.get_element_type().to_dtype()).name, shape=shape)


def _sizes(entry: TensorEntry, batch: int) -> list[int]:
    return [batch if size == "B" else int(size) for size in entry.shape]


def _reason(error: Exception) -> str:
    """Return what went wrong; OpenVINO puts lines with places in its own source in front."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    return (told or lines or [type(error).__name__])[-1]
