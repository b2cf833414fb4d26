"""An OM on an NPU: its description, its buffers, and the order in which everything is given back."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lipforge.kernels.errors import BackendError
from lipforge.runtime.acl_module import Acl
from lipforge.runtime.acl_process import AclProcess

GEAR_INPUT = "ascend_mbatch_shape_data"
"""The input that ATC adds to a model with batch gears; ``set_dynamic_batch_size`` writes it, nobody else may."""

DTYPES = {0: "float32", 1: "float16", 2: "int8", 3: "int32", 4: "uint8", 6: "int16", 7: "uint16", 8: "uint32"} | {
    9: "int64",
    10: "uint64",
    11: "float64",
    12: "bool",
}
"""aclDataType -> numpy's name."""

HUGE_FIRST = 0  # aclrtMemMallocPolicy: huge pages if there are some


@dataclass(frozen=True)
class Slot:
    """An input or output of an OM and its buffer on the device.

    Attributes:
        name: as ATC kept it; an output's is ``node:index:name``.
        dtype: numpy's name, or ``aclDataType N``.
        dims: sizes; -1 stands for a batch with gears. An output's first size is that of the largest gear.
        size: bytes of the buffer, for the largest gear.
        pointer: of the buffer.
    """

    name: str
    dtype: str
    dims: tuple[int, ...]
    size: int
    pointer: int


class OmModel:
    """A loaded OM with one buffer for each input and output, all made here and none later.

    Everything stands in one context; ``current`` makes it the calling thread's, so any thread may call, one at a time
    (``lock``). What the thread had before comes back afterwards.

    Args:
        acl: CANN's interface.
        process: what loads share.
        path: the OM.
        device: number of the NPU among those that this process sees.

    Raises:
        BackendError: acl refuses a step; what was made until then has been given back.
    """

    def __init__(self, acl: Acl, process: AclProcess, path: Path, device: int = 0) -> None:
        self._acl, self.path = acl, path
        self.lock = threading.Lock()
        made = ExitStack()
        previous = _current_context(acl, process)
        try:
            self._open(process, device, made)
        except BaseException:
            with suppress(BackendError):  # the first fault is the one to tell
                made.close()
            raise
        finally:
            _restore(acl, previous)
        self._close = weakref.finalize(self, _give_back, acl, self._context, made)

    def _open(self, process: AclProcess, device: int, made: ExitStack) -> None:
        acl = self._acl
        process.retain_device(device)
        made.callback(process.release_device, device)
        self._context = int(acl.get("rt.create_context", device))
        made.callback(acl.do, "rt.destroy_context", self._context)
        self._id = int(acl.get("mdl.load_from_file", str(self.path)))
        made.callback(acl.do, "mdl.unload", self._id)
        description = acl.make("mdl.create_desc")
        made.callback(acl.do, "mdl.destroy_desc", description)
        acl.do("mdl.get_desc", description, self._id)
        self._input_set, self.inputs = self._buffers("input", description, made)
        self._output_set, self.outputs = self._buffers("output", description, made)
        self.gear_index = next((i for i, slot in enumerate(self.inputs) if slot.name == GEAR_INPUT), None)
        self.gears: tuple[int, ...] = ()
        if self.gear_index is not None:
            self.gears = tuple(sorted(acl.get("mdl.get_dynamic_batch", description)["batch"]))
        self._gear = 0

    def _buffers(self, role: str, description: int, made: ExitStack) -> tuple[int, tuple[Slot, ...]]:
        """Allocate the buffers of all inputs or outputs and put them into a dataset."""
        acl = self._acl
        dataset = acl.make("mdl.create_dataset")
        made.callback(acl.do, "mdl.destroy_dataset", dataset)
        slots = []
        for index in range(int(acl.ask(f"mdl.get_num_{role}s", description))):
            dims = acl.get(f"mdl.get_{role}_dims", description, index)
            kind = int(acl.ask(f"mdl.get_{role}_data_type", description, index))
            size = int(acl.ask(f"mdl.get_{role}_size_by_index", description, index))
            if size == 0:
                raise BackendError(
                    f"{role} {dims['name']} has no fixed size: the OM was built with ranges of shapes, which run "
                    "slowly. Build it with batch gears or a static batch, as convert.sh does."
                )
            pointer = int(acl.get("rt.malloc", size, HUGE_FIRST))
            made.callback(acl.do, "rt.free", pointer)
            if dims["name"] != GEAR_INPUT:
                acl.do("rt.memset", pointer, size, 0, size)  # rows that pad a batch are never garbage
            buffer = acl.make("create_data_buffer", pointer, size)
            made.callback(acl.do, "destroy_data_buffer", buffer)
            acl.get("mdl.add_dataset_buffer", dataset, buffer)
            dtype = DTYPES.get(kind, f"aclDataType {kind}")
            slots.append(Slot(dims["name"], dtype, tuple(dims["dims"]), size, pointer))
        return dataset, tuple(slots)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the model's context the calling thread's for a while.

        Raises:
            BackendError: the model was closed, or acl refuses.
        """
        if not self._close.alive:
            raise BackendError("the engine was closed.")
        previous, code = self._acl.module.rt.get_context()
        self._acl.do("rt.set_context", self._context)
        try:
            yield
        finally:
            _restore(self._acl, previous if code == 0 else 0)

    def execute(self, gear: int) -> None:
        """Run once on what the input buffers hold; inside ``current`` and under ``lock``.

        Args:
            gear: the batch, one of ``gears``; not used by a static model.

        Raises:
            BackendError: acl refuses.
        """
        if self.gear_index is not None and gear != self._gear:
            self._gear = 0
            self._acl.do("mdl.set_dynamic_batch_size", self._id, self._input_set, self.gear_index, gear)
            self._gear = gear
        self._acl.do("mdl.execute", self._id, self._input_set, self._output_set)

    def close(self) -> None:
        """Give everything back, whatever fails on the way; a second call does nothing.

        Raises:
            BackendError: acl refused a step; the others were taken.
        """
        with self.lock:
            self._close()


def _give_back(acl: Acl, context: int, made: ExitStack) -> None:
    previous, code = acl.module.rt.get_context()
    acl.code("rt.set_context", context)  # whatever it says: what follows tells, and is tried in any case
    try:
        made.close()
    finally:
        if code == 0 and previous != context:
            _restore(acl, previous)


def _current_context(acl: Acl, process: AclProcess) -> int:
    """Return the calling thread's context, 0 if it has none."""
    process.start()
    context, code = acl.module.rt.get_context()
    return int(context) if code == 0 else 0


def _restore(acl: Acl, context: int) -> None:
    if context:
        acl.code("rt.set_context", context)
