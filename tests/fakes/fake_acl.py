"""A stand-in for CANN's ``acl`` that enforces its published contract and runs the ONNX inside a made-up OM.

Arguments are checked against ``pyacl_signatures.json`` as the C functions check them: positional, of exactly the right
type. Device memory is real memory at real addresses. What the contract forbids - a thread without a context, a pointer
that is not the device's, a buffer too small, a handle used after its end, two runs of one model at a time - returns the
documented code and is listed in ``violations``. ``live()`` counts what has not been given back, ``fail`` makes a call
fail.
"""

from __future__ import annotations

import ctypes
import itertools
import threading
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from fake_om import GARBAGE, GEAR_INPUT, FakeOm
from pyacl_contract import SIGNATURES, Code, check_arguments, check_result, failure

DTYPES = {"float32": 0, "float16": 1, "int32": 3, "uint8": 4, "int64": 9}


class FakeAcl:
    """One process's acl.

    Args:
        soc: name of the chip.
        devices: how many NPUs there are.
        elsewhere: another library has initialised acl, set device 0 and made a context on this thread.
        old: the module has ``numpy_to_ptr`` instead of ``bytes_to_ptr`` and no ``get_recent_err_msg``.
    """

    def __init__(
        self, soc: str = "Ascend310P3", devices: int = 1, *, elsewhere: bool = False, old: bool = False
    ) -> None:
        self.soc, self.devices = soc, devices
        self.violations: list[str] = []
        self.calls: Counter[str] = Counter()
        self.order: list[str] = []
        self._faults: dict[str, tuple[int, int]] = {}
        self._handles = itertools.count(0x7000)
        self._thread = threading.local()
        self.initialised, self.set_devices = elsewhere, Counter({0: 1} if elsewhere else {})
        self.contexts: dict[int, int] = {}
        self.memory: dict[int, tuple[Any, int]] = {}
        self.data_buffers: dict[int, tuple[int, int]] = {}
        self.datasets: dict[int, list[int]] = {}
        self.models: dict[int, tuple[FakeOm, int]] = {}
        self.descriptions: dict[int, FakeOm | None] = {}
        self._running: set[int] = set()
        self.module = self._build(old)
        self.foreign_context = 0
        if elsewhere:
            self.foreign_context = self.rt_create_context(0)[0]
            self._thread.context = self.foreign_context

    def fail(self, name: str, code: int, at: int = 1) -> None:
        """Make the ``at``-th call of a function from now fail with a code; a handle comes back as 0."""
        self._faults[name] = (self.calls[name] + at, code)

    def live(self) -> dict[str, int]:
        """Count what is held, without what another library held from the start."""
        foreign = int(bool(self.foreign_context))
        counts = {
            "devices": sum(self.set_devices.values()) - foreign,
            "contexts": len(self.contexts) - foreign,
            "memory": len(self.memory),
            "data buffers": len(self.data_buffers),
            "datasets": len(self.datasets),
            "models": len(self.models),
            "descriptions": len(self.descriptions),
        }
        return {name: count for name, count in counts.items() if count}

    def current_context(self) -> int:
        return getattr(self._thread, "context", 0)

    # -- plumbing

    def _build(self, old: bool) -> ModuleType:
        missing = {"util.bytes_to_ptr", "util.ptr_to_bytes", "get_recent_err_msg"} if old else {"util.numpy_to_ptr"}
        module = ModuleType("acl")
        for part in ("rt", "mdl", "util"):
            setattr(module, part, ModuleType(f"acl.{part}"))
        for name in SIGNATURES:
            if name not in missing:
                place, _, function = name.rpartition(".")
                setattr(getattr(module, place) if place else module, function, self._checked(name))
        return module

    def _checked(self, name: str) -> Callable[..., Any]:
        accepts, returns = SIGNATURES[name]
        implementation = getattr(self, name.replace(".", "_"))

        def call(*arguments: object) -> Any:
            check_arguments(name, accepts, arguments)
            self.calls[name] += 1
            self.order.append(name)
            at, code = self._faults.get(name, (0, 0))
            if self.calls[name] == at:
                return failure(returns, code)
            result = implementation(*arguments)
            check_result(name, returns, result)
            return result

        return call

    def _broken(self, what: str, code: int) -> int:
        self.violations.append(what)
        return code

    def _no_context(self, name: str) -> int:
        """Return the code of a call that needs a context on this thread, 0 if there is one."""
        if not self.initialised:
            return self._broken(f"{name} before init", Code.UNINITIALIZE)
        if self.current_context() not in self.contexts:
            return self._broken(f"{name} on a thread without a context", Code.CONTEXT_NULL)
        return 0

    def _room(self, pointer: int) -> int:
        """Return how many bytes of device memory lie from a pointer on; 0 if it is not the device's."""
        for start, (_, size) in self.memory.items():
            if start <= pointer < start + size:
                return start + size - pointer
        return 0

    # -- acl

    def init(self, path: str = "") -> int:
        if self.initialised:
            return Code.REPEAT_INITIALIZE
        self.initialised = True
        return 0

    def finalize(self) -> int:
        if not self.initialised:
            return self._broken("finalize without init", 100037)
        if any(self.set_devices.values()):
            self.violations.append("finalize while a device is set")
        self.initialised = False
        return 0

    def get_soc_name(self) -> str:
        return self.soc

    def get_recent_err_msg(self) -> str:
        return "EZ9999: made-up details\n\tline two"

    def create_data_buffer(self, pointer: int, size: int) -> int:
        handle = next(self._handles)
        self.data_buffers[handle] = (pointer, size)
        return handle

    def destroy_data_buffer(self, handle: int) -> int:
        if self.data_buffers.pop(handle, None) is None:
            return self._broken("data buffer destroyed twice", Code.INVALID_PARAM)
        return 0

    # -- acl.rt

    def rt_get_device_count(self) -> tuple[int, int]:
        return self.devices, 0

    def rt_set_device(self, device: int) -> int:
        if not self.initialised:
            return self._broken("set_device before init", Code.UNINITIALIZE)
        if not 0 <= device < self.devices:
            return Code.DEVICE_ID
        self.set_devices[device] += 1
        return 0

    def rt_reset_device(self, device: int) -> int:
        if self.set_devices[device] < 1:
            return self._broken("reset_device of a device that is not set", Code.DEVICE_ID)
        if any(on == device for on in self.contexts.values()):
            self.violations.append("reset_device while it has contexts")
        self.set_devices[device] -= 1
        return 0

    def rt_create_context(self, device: int) -> tuple[int, int]:
        handle = next(self._handles)
        self.contexts[handle] = device
        self._thread.context = handle
        return handle, 0

    def rt_destroy_context(self, handle: int) -> int:
        if any(context == handle for _, context in self.models.values()):
            self.violations.append("destroy_context while a model is loaded in it")
        if self.contexts.pop(handle, None) is None:
            return self._broken("context destroyed twice", Code.RT_PARAM)
        return 0

    def rt_set_context(self, handle: int) -> int:
        if handle not in self.contexts:
            return self._broken("set_context of a context that is gone", Code.RT_PARAM)
        self._thread.context = handle
        return 0

    def rt_get_context(self) -> tuple[int, int]:
        context = self.current_context()
        return (context, 0) if context in self.contexts else (0, Code.CONTEXT_NULL)

    def rt_malloc(self, size: int, policy: int) -> tuple[int, int]:
        if code := self._no_context("malloc"):
            return 0, code
        if size < 1 or policy not in (0, 1, 2):
            return 0, self._broken(f"malloc({size}, {policy})", Code.RT_PARAM)
        block = ctypes.create_string_buffer(size)
        ctypes.memset(block, GARBAGE, size)
        self.memory[ctypes.addressof(block)] = (block, size)
        return ctypes.addressof(block), 0

    def rt_free(self, pointer: int) -> int:
        if any(held == pointer for held, _ in self.data_buffers.values()):
            self.violations.append("free of memory that a data buffer holds")
        if code := self._no_context("free"):
            return code
        if self.memory.pop(pointer, None) is None:
            return self._broken("memory freed twice, or not the device's", Code.RT_PARAM)
        return 0

    def rt_memset(self, pointer: int, most: int, value: int, count: int) -> int:
        if code := self._no_context("memset"):
            return code
        if count > most or most > self._room(pointer):
            return self._broken("memset beyond the memory", Code.RT_PARAM)
        ctypes.memset(pointer, value, count)
        return 0

    def rt_memcpy(self, target: int, most: int, source: int, count: int, kind: int) -> int:
        if code := self._no_context("memcpy"):
            return code
        device = {1: target, 2: source}.get(kind)
        host = {1: source, 2: target}.get(kind)
        if device is None or host is None:
            return self._broken(f"memcpy of kind {kind}", Code.RT_PARAM)
        if count < 1 or count > most or max(count, most if kind == 1 else 0) > self._room(device) or self._room(host):
            return self._broken(f"memcpy of {count} bytes with room for {most}, kind {kind}", Code.RT_PARAM)
        ctypes.memmove(target, source, count)
        return 0

    # -- acl.mdl

    def mdl_load_from_file(self, path: str) -> tuple[int, int]:
        if code := self._no_context("load_from_file"):
            return 0, code
        if not Path(path).is_file():
            return 0, Code.INVALID_FILE
        try:
            om = FakeOm(Path(path).read_bytes())
        except (zipfile.BadZipFile, KeyError):
            return 0, Code.PARSE_MODEL
        if om.soc != self.soc:
            return 0, 500002
        number = len(self.models) + 1
        while number in self.models:
            number += 1
        self.models[number] = (om, self.current_context())
        return number, 0

    def mdl_unload(self, number: int) -> int:
        if number not in self.models:
            return self._broken("model unloaded twice", Code.INVALID_MODEL_ID)
        if self.models[number][1] != self.current_context():
            self.violations.append("unload in another context than load")
        del self.models[number]
        return 0

    def mdl_create_desc(self) -> int:
        handle = next(self._handles)
        self.descriptions[handle] = None
        return handle

    def mdl_get_desc(self, handle: int, number: int) -> int:
        if number not in self.models or handle not in self.descriptions:
            return self._broken("get_desc of a model or description that is gone", Code.INVALID_MODEL_ID)
        self.descriptions[handle] = self.models[number][0]
        return 0

    def mdl_destroy_desc(self, handle: int) -> int:
        if self.descriptions.pop(handle, self) is self:
            return self._broken("description destroyed twice", Code.INVALID_PARAM)
        return 0

    def _described(self, handle: int) -> FakeOm:
        om = self.descriptions.get(handle)
        assert om is not None, "a description was asked before get_desc filled it, or after its end"
        return om

    def mdl_get_num_inputs(self, handle: int) -> int:
        return len(self._described(handle).inputs)

    def mdl_get_num_outputs(self, handle: int) -> int:
        return len(self._described(handle).outputs)

    def mdl_get_input_size_by_index(self, handle: int, index: int) -> int:
        return self._described(handle).size(self._described(handle).inputs[index])

    def mdl_get_output_size_by_index(self, handle: int, index: int) -> int:
        return self._described(handle).size(self._described(handle).outputs[index])

    def mdl_get_input_dims(self, handle: int, index: int) -> tuple[dict[str, Any], int]:
        return self._dims(self._described(handle).inputs, index, largest=0)

    def mdl_get_output_dims(self, handle: int, index: int) -> tuple[dict[str, Any], int]:
        om = self._described(handle)
        return self._dims(om.outputs, index, largest=max(om.gears, default=0))

    def _dims(self, tensors: list[dict[str, Any]], index: int, largest: int) -> tuple[dict[str, Any], int]:
        if not 0 <= index < len(tensors):
            return {}, Code.INVALID_PARAM
        dims = [largest if size == -1 and largest else size for size in tensors[index]["dims"]]
        return {"name": tensors[index]["name"], "dimCount": len(dims), "dims": dims}, 0

    def mdl_get_input_data_type(self, handle: int, index: int) -> int:
        return DTYPES[self._described(handle).inputs[index]["dtype"]]

    def mdl_get_output_data_type(self, handle: int, index: int) -> int:
        return DTYPES[self._described(handle).outputs[index]["dtype"]]

    def mdl_get_dynamic_batch(self, handle: int) -> tuple[dict[str, Any], int]:
        gears = self._described(handle).gears
        return {"batchCount": len(gears), "batch": list(gears)}, 0

    def mdl_set_dynamic_batch_size(self, number: int, dataset: int, index: int, batch: int) -> int:
        if number not in self.models or dataset not in self.datasets:
            return self._broken("set_dynamic_batch_size of a model or dataset that is gone", Code.INVALID_MODEL_ID)
        if code := self._no_context("set_dynamic_batch_size"):
            return code
        om = self.models[number][0]
        if index >= len(om.inputs) or om.inputs[index]["name"] != GEAR_INPUT:
            return self._broken("set_dynamic_batch_size with another input's index", Code.INVALID_PARAM)
        if batch not in om.gears:
            return Code.BATCH_INVALID
        pointer, _ = self.data_buffers[self.datasets[dataset][index]]
        ctypes.memmove(pointer, np.int64(batch).tobytes(), 8)
        return 0

    def mdl_create_dataset(self) -> int:
        handle = next(self._handles)
        self.datasets[handle] = []
        return handle

    def mdl_destroy_dataset(self, handle: int) -> int:
        if self.datasets.pop(handle, None) is None:
            return self._broken("dataset destroyed twice", Code.INVALID_PARAM)
        return 0

    def mdl_add_dataset_buffer(self, dataset: int, buffer: int) -> tuple[int, int]:
        if dataset not in self.datasets or buffer not in self.data_buffers:
            return dataset, self._broken("add_dataset_buffer of handles that are gone", Code.INVALID_PARAM)
        self.datasets[dataset].append(buffer)
        return dataset, 0

    def mdl_execute(self, number: int, inputs: int, outputs: int) -> int:
        if code := self._no_context("execute"):
            return code
        if number not in self.models:
            return self._broken("execute of a model that is gone", Code.INVALID_MODEL_ID)
        om, context = self.models[number]
        if context != self.current_context():
            return self._broken("execute in another context than load", Code.CONTEXT_NULL)
        if number in self._running:
            return self._broken("two executes of one model at a time", 545000)
        self._running.add(number)
        try:
            return self._execute(om, self.datasets[inputs], self.datasets[outputs])
        finally:
            self._running.discard(number)

    def _execute(self, om: FakeOm, inputs: list[int], outputs: list[int]) -> int:
        if len(inputs) != len(om.inputs):
            return self._broken("number of input buffers", Code.INPUT_NOT_MATCH)
        if len(outputs) != len(om.outputs):
            return self._broken("number of output buffers", Code.OUTPUT_NOT_MATCH)
        for tensor, handle in [*zip(om.inputs, inputs, strict=True), *zip(om.outputs, outputs, strict=True)]:
            pointer, size = self.data_buffers[handle]
            if size != om.size(tensor) or self._room(pointer) < size:
                return self._broken(f"buffer of {tensor['name']} has {size} bytes", Code.DATA_SIZE)
        pointers = [[self.data_buffers[handle][0] for handle in handles] for handles in (inputs, outputs)]
        wrong = om.execute(*pointers)
        return self._broken(wrong, Code.BATCH_INVALID) if wrong else 0

    # -- acl.util

    def util_bytes_to_ptr(self, data: bytes) -> int:
        assert type(data) is bytes
        return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0

    def util_ptr_to_bytes(self, pointer: int, size: int) -> bytes:
        return ctypes.string_at(pointer, size)

    def util_numpy_to_ptr(self, array: np.ndarray) -> int:
        return int(array.ctypes.data)
