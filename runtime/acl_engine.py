"""OM models on an Ascend NPU: the engine's protocol over CANN's ``acl``, with batches padded to the next gear."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import BackendError, ConfigError
from lipforge.runtime.acl_model import GEAR_INPUT, OmModel, Slot
from lipforge.runtime.acl_module import Acl, load_acl
from lipforge.runtime.acl_process import acl_process
from lipforge.runtime.engine import Arrays, check_array
from lipforge.runtime.manifest import TensorEntry

HOST_TO_DEVICE, DEVICE_TO_HOST = 1, 2  # aclrtMemcpyKind

CONVERTED_ON_HOST = {("uint8", "float32"), ("uint8", "float16"), ("float32", "float16")}
"""(contract, OM): pairs of dtypes that the engine converts while it copies, in either direction."""


class AclEngine:
    """One OM, run as the bundle's contract says.

    An OM that was built for float32 or float16 where the contract says otherwise gets its values converted on the
    host. One run at a time: the buffers are the engine's. Runs may come from any thread.

    Args:
        path: the OM.
        inputs: what the caller gives; the first axis of each is the batch.
        outputs: what the caller gets.
        device: number of the NPU among those that this process sees (ASCEND_RT_VISIBLE_DEVICES chooses them).
        acl: CANN's interface, imported if not given.

    Raises:
        BackendError: there is no acl, no NPU, or acl refuses; nothing stays allocated.
        ConfigError: the OM is not what the contract says.
    """

    def __init__(
        self,
        path: Path,
        inputs: tuple[TensorEntry, ...],
        outputs: tuple[TensorEntry, ...],
        device: int = 0,
        acl: Acl | None = None,
    ) -> None:
        self.path, self.inputs, self.outputs = path, inputs, outputs
        self._acl = acl or load_acl()
        try:
            self._model = OmModel(self._acl, acl_process(self._acl), path, device)
        except BackendError as error:
            raise BackendError(f"{path}: {error}") from error
        try:
            self.gears = self._model.gears or (self._static_batch(),)
            self._slots = self._match("input", inputs) | self._match("output", outputs)
        except BaseException:
            with suppress(BackendError):  # the first fault is the one to tell
                self._model.close()
            raise

    def run(self, arrays: Arrays) -> Arrays:
        """Run the graph once on a batch of at most the largest gear.

        Args:
            arrays: every input by name, with the dtype and shape of ``inputs``.

        Returns:
            Every output by name.

        Raises:
            ConfigError: an array is missing or does not fit, or the batch is larger than the largest gear.
            BackendError: acl refuses.
        """
        given = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        batch = _batch(self.inputs, given, self.path)
        results = {entry.name: np.empty((batch, *_row(entry)), np.dtype(entry.dtype)) for entry in self.outputs}
        self.bind({**given, **results})()
        return results

    def bind(self, arrays: Arrays) -> BoundAclRun:
        """Return a run that reads its inputs from ``arrays`` and writes its outputs into ``arrays``.

        Args:
            arrays: every input and output by name: C-contiguous, with the dtype of the contract and a whole shape.

        Raises:
            ConfigError: an array is missing or does not fit, or the batch is larger than the largest gear.
        """
        for entry in (*self.inputs, *self.outputs):
            check_array(entry, arrays.get(entry.name), self.path)
        batch = _batch((*self.inputs, *self.outputs), arrays, self.path)
        gear = next((gear for gear in self.gears if gear >= batch), None)
        if gear is None:
            raise ConfigError(
                f"{self.path}: a batch of {batch} is more than the OM's largest gear; it was built for "
                f"{', '.join(map(str, self.gears))}. Give smaller batches, or convert again with a larger --batch."
            )
        copies = [
            tuple(_Copy.between(arrays[entry.name], self._slots[entry.name]) for entry in entries)
            for entries in (self.inputs, self.outputs)
        ]
        return BoundAclRun(self._acl, self._model, gear, (copies[0], copies[1]), arrays)

    def close(self) -> None:
        """Give back everything on the NPU; the engine cannot run afterwards. A second call does nothing.

        Raises:
            BackendError: acl refused a step; the others were taken.
        """
        try:
            self._model.close()
        except BackendError as error:
            raise BackendError(f"{self.path}: {error}") from error

    def _static_batch(self) -> int:
        sizes = {slot.dims[0] for slot in self._model.inputs if slot.dims}
        if len(sizes) != 1:
            raise ConfigError(f"{self.path}: its inputs have batches of {sorted(sizes)}; one size is wanted.")
        return sizes.pop()

    def _match(self, role: str, entries: tuple[TensorEntry, ...]) -> dict[str, Slot]:
        """Find the OM's slot of each tensor of the contract.

        Inputs keep their names. Of an output ATC keeps ``node:index:name``; where even that is lost, the order holds.
        """
        slots = [slot for slot in getattr(self._model, f"{role}s") if slot.name != GEAR_INPUT]
        named = {slot.name.rsplit(":", 1)[-1]: slot for slot in slots}
        wanted = [entry.name for entry in entries]
        if role == "output" and set(named) != set(wanted) and len(slots) == len(wanted):
            named = dict(zip(wanted, slots, strict=True))
        if set(named) != set(wanted):
            raise ConfigError(
                f"{self.path}: the OM's {role}s are {', '.join(named)}, the manifest says {', '.join(wanted)}. "
                "Convert the bundle again."
            )
        for entry in entries:
            self._check_slot(role, entry, named[entry.name])
        return {name: named[name] for name in wanted}

    def _check_slot(self, role: str, entry: TensorEntry, slot: Slot) -> None:
        rest = _row(entry)
        needed = max(self.gears) * prod(rest) * np.dtype(slot.dtype).itemsize if " " not in slot.dtype else 0
        dtype_fits = entry.dtype == slot.dtype or (entry.dtype, slot.dtype) in CONVERTED_ON_HOST
        if not dtype_fits or slot.dims[1:] != rest or slot.size < needed:
            raise ConfigError(
                f"{self.path}: the OM's {role} {entry.name} is {slot.dtype}{list(slot.dims)} in {slot.size} bytes, the "
                f"manifest says {entry.dtype}{list(entry.shape)}. Convert the bundle again."
            )


@dataclass(frozen=True)
class _Copy:
    """A way between an array on the host and a buffer on the device.

    Attributes:
        array: what the caller reads or writes.
        staged: the same values with the OM's dtype; ``array`` itself where they agree.
        slot: the OM's input or output.
    """

    array: NDArray[Any]
    staged: NDArray[Any]
    slot: Slot

    @classmethod
    def between(cls, array: NDArray[Any], slot: Slot) -> _Copy:
        same = array.dtype.name == slot.dtype
        return cls(array, array if same else np.empty(array.shape, slot.dtype), slot)

    # numpy's own address of an array is what acl.util.numpy_to_ptr returns in old versions; the newer bytes_to_ptr
    # wants a copy of the values as bytes. Taking the address here needs neither, copies nothing and fits both.
    def upload(self, acl: Acl) -> None:
        if self.staged is not self.array:
            np.copyto(self.staged, self.array, casting="unsafe")
        size = self.staged.nbytes
        acl.do("rt.memcpy", self.slot.pointer, self.slot.size, self.staged.ctypes.data, size, HOST_TO_DEVICE)

    def download(self, acl: Acl) -> None:
        size = self.staged.nbytes
        acl.do("rt.memcpy", self.staged.ctypes.data, size, self.slot.pointer, size, DEVICE_TO_HOST)
        if self.staged is not self.array:
            np.copyto(self.array, self.staged, casting="unsafe")


class BoundAclRun:
    """An OM with fixed input and output arrays; made by ``AclEngine.bind``.

    Attributes:
        arrays: every input and output by name.
        gear: the batch that the NPU computes; rows beyond the arrays' own are padding.
    """

    def __init__(
        self,
        acl: Acl,
        model: OmModel,
        gear: int,
        copies: tuple[tuple[_Copy, ...], tuple[_Copy, ...]],
        arrays: Arrays,
    ) -> None:
        self._acl, self._model = acl, model
        self._uploads, self._downloads = copies
        self.gear, self.arrays = gear, arrays

    def __call__(self) -> None:
        """Run the graph on what the input arrays hold now.

        Raises:
            BackendError: acl refuses, or the engine was closed.
        """
        try:
            # The lock spans all three steps: the buffers are shared by every run of the engine.
            with self._model.lock, self._model.current():
                for copy in self._uploads:
                    copy.upload(self._acl)
                self._model.execute(self.gear)
                for copy in self._downloads:
                    copy.download(self._acl)
        except BackendError as error:
            raise BackendError(f"{self._model.path}: {error}") from error


def _batch(entries: tuple[TensorEntry, ...], arrays: Arrays, path: Path) -> int:
    """Return the size of the first axis that all arrays share."""
    for entry in entries:
        check_array(entry, arrays.get(entry.name), path)
    sizes = {arrays[entry.name].shape[0] for entry in entries}
    if len(sizes) != 1 or 0 in sizes:
        raise ConfigError(f"{path}: the arrays hold {sorted(sizes)} samples; all must hold the same number, 1 or more.")
    return int(sizes.pop())


def _row(entry: TensorEntry) -> tuple[int, ...]:
    """Return the shape of one sample."""
    return tuple(int(size) for size in entry.shape[1:])
