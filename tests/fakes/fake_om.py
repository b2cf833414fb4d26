"""What the stand-in for ``atc`` wrote, read back and run by onnxruntime."""

from __future__ import annotations

import ctypes
import io
import json
import zipfile
from functools import cache
from typing import Any

import numpy as np

GEAR_INPUT = "ascend_mbatch_shape_data"
GARBAGE = 0xFF  # fresh device memory: not-a-number in every float


class FakeOm:
    """What the stand-in for ``atc`` wrote: a zip of the ONNX file and of what a real OM tells about itself."""

    def __init__(self, content: bytes) -> None:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            about = json.loads(archive.read("om.json"))
            self._onnx = archive.read("model.onnx")
        self.soc: str = about["soc"]
        self.inputs: list[dict[str, Any]] = about["inputs"]
        self.outputs: list[dict[str, Any]] = about["outputs"]
        self.gears: list[int] = about["gears"]
        self._half = about["precision"] == "fp16"
        self._aipp: dict[str, dict[str, list[float]]] = about["aipp"]
        self.static_batch = 0 if self.gears else int(self.inputs[0]["dims"][0])

    def size(self, tensor: dict[str, Any]) -> int:
        dims = [max(self.gears, default=0) if size == -1 else size for size in tensor["dims"]]
        return int(np.prod(dims)) * np.dtype(tensor["dtype"]).itemsize

    def execute(self, inputs: list[int], outputs: list[int]) -> str:
        """Run on memory at addresses, as an NPU does; return what is wrong with the gear, or nothing."""
        batch = self.static_batch
        if self.gears:
            where = next(i for i, tensor in enumerate(self.inputs) if tensor["name"] == GEAR_INPUT)
            written = ctypes.string_at(inputs[where], 8)
            unset = written == bytes([GARBAGE]) * 8
            batch = max(self.gears) if unset else int(np.frombuffer(written, np.int64)[0])
            if batch not in self.gears:
                return f"the gear input was written: {batch}"
        arrays = {}
        for tensor, pointer in zip(self.inputs, inputs, strict=True):
            if tensor["name"] != GEAR_INPUT:
                shape, dtype = (batch, *tensor["dims"][1:]), np.dtype(tensor["dtype"])
                data = ctypes.string_at(pointer, int(np.prod(shape)) * dtype.itemsize)
                arrays[tensor["name"]] = np.frombuffer(data, dtype).reshape(shape)
        for tensor, pointer, value in zip(self.outputs, outputs, self.run(arrays), strict=True):
            data = np.ascontiguousarray(value, dtype=tensor["dtype"]).tobytes()
            ctypes.memmove(pointer, data, len(data))
        return ""

    def run(self, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
        feeds = {name: self._prepare(name, array) for name, array in arrays.items()}
        results = session(self._onnx).run(None, feeds)
        return [self._rounded(result) for result in results]

    def _prepare(self, name: str, array: np.ndarray) -> np.ndarray:
        if name in self._aipp:
            aipp = {key: np.asarray(values, np.float32) for key, values in self._aipp[name].items()}
            prepared = (array.astype(np.float32) - aipp["mean_chn"] - aipp["min_chn"]) * aipp["var_reci_chn"]
            return np.ascontiguousarray(prepared.astype(np.float16).astype(np.float32).transpose(0, 3, 1, 2))
        return self._rounded(array.astype(np.float32)) if array.dtype == np.float16 else self._rounded(array)

    def _rounded(self, array: np.ndarray) -> np.ndarray:
        return array.astype(np.float16).astype(array.dtype) if self._half and array.dtype == np.float32 else array


@cache
def session(onnx: bytes) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
