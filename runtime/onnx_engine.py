"""ONNX graphs on onnxruntime, with buffers that are allocated once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import BackendError, ConfigError
from lipforge.runtime.engine import check_array
from lipforge.runtime.manifest import TensorEntry

CPU_PROVIDER = "CPUExecutionProvider"
NEXT_PROVIDER = {"TensorrtExecutionProvider": "CUDAExecutionProvider"}
"""Who takes what a provider cannot do, before the CPU does."""

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
}


class OnnxEngine:
    """One loaded graph.

    Args:
        path: an ONNX file.
        threads: threads inside one run; 1 gives the steadiest times and leaves the other cores to other streams.
        provider: onnxruntime's name of what computes; what it cannot do runs on the CPU.

    Raises:
        ConfigError: ``threads`` is below 1.
        BackendError: onnxruntime cannot load the file, or runs it on the CPU although another provider was asked for.
    """

    def __init__(self, path: Path, threads: int = 1, provider: str = CPU_PROVIDER) -> None:
        import onnxruntime as ort

        if threads < 1:
            raise ConfigError(f"threads is {threads}; allowed are 1 and more.")
        if provider not in ort.get_available_providers():
            available = ", ".join(ort.get_available_providers())
            raise BackendError(f"the installed onnxruntime has no {provider}; it has {available}. Install its package.")
        self.path = path
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        # Threads that spin while they wait would take the cores from decoding and encoding.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = [provider, *(name for name in [NEXT_PROVIDER.get(provider)] if name)]
        try:
            self._session = ort.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # onnxruntime's exceptions share no base class but this
            raise BackendError(f"{path}: onnxruntime cannot load it ({_first_line(error)}).") from error
        # A provider whose libraries are missing is left out with no more than a line on stderr.
        active = self._session.get_providers()
        if active[0] != provider:
            raise BackendError(
                f"{path}: onnxruntime runs it on {active[0]} instead of {provider}: that provider could not start. "
                "Check its driver and libraries with `lipforge doctor`, or choose another --backend."
            )
        self.inputs = tuple(_entry(tensor) for tensor in self._session.get_inputs())
        self.outputs = tuple(_entry(tensor) for tensor in self._session.get_outputs())

    def run(self, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the graph once.

        Args:
            arrays: every input by name, with the dtype and shape of ``inputs``.

        Returns:
            Every output by name.

        Raises:
            BackendError: an input is missing or does not fit, or the run failed.
        """
        try:
            results = self._session.run(None, arrays)
        except Exception as error:
            raise BackendError(f"{self.path}: the run failed ({_first_line(error)}).") from error
        return {entry.name: np.asarray(result) for entry, result in zip(self.outputs, results, strict=True)}

    def bind(self, arrays: dict[str, NDArray[Any]]) -> BoundOnnxRun:
        """Return a run that reads its inputs from ``arrays`` and writes its outputs into ``arrays``, without copies.

        Args:
            arrays: every input and output by name: C-contiguous, with the dtype of the graph and a whole shape.

        Raises:
            ConfigError: an array is missing or does not fit the graph.
        """
        for entry in (*self.inputs, *self.outputs):
            check_array(entry, arrays.get(entry.name), self.path)
        binding = self._session.io_binding()
        for entry in self.inputs:
            array = arrays[entry.name]
            binding.bind_input(entry.name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        for entry in self.outputs:
            array = arrays[entry.name]
            binding.bind_output(entry.name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        return BoundOnnxRun(self._session, binding, arrays, self.path)

    def close(self) -> None:
        """Give the session back; the engine cannot run afterwards."""
        self._session = None


class BoundOnnxRun:
    """A graph with fixed input and output arrays; made by ``OnnxEngine.bind``."""

    def __init__(self, session: Any, binding: Any, arrays: dict[str, NDArray[Any]], path: Path) -> None:
        self._session, self._binding, self._path = session, binding, path
        self.arrays = arrays

    def __call__(self) -> None:
        """Run the graph on what the input arrays hold now.

        Raises:
            BackendError: the run failed.
        """
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as error:
            raise BackendError(f"{self._path}: the run failed ({_first_line(error)}).") from error


def _entry(tensor: Any) -> TensorEntry:
    # A graph names its axes of any length as it likes; the manifest calls them all "B".
    shape = tuple(size if isinstance(size, int) else "B" for size in tensor.shape)
    return TensorEntry(name=tensor.name, dtype=_DTYPES.get(tensor.type, tensor.type), shape=shape)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
