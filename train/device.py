"""The only place that knows about accelerators: choice of device, autocast, memory layout, random state."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lipforge.kernels.errors import BackendError, ConfigError

HOW_TO_GET = {
    "cuda": "a CUDA build of torch (https://pytorch.org/get-started/locally) and an NVIDIA driver",
    "npu": "a CPU build of torch with the matching torch_npu (pip install 'lipforge[npu]') and CANN on an Ascend host",
    "mps": "macOS 14 or later on Apple silicon",
}
NO_BF16_ON_NPU = (
    nn.modules.batchnorm._BatchNorm,
    nn.Conv1d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.GroupNorm,
    nn.RNNBase,
)
"""Layers without bf16 in torch_npu's table of operators (Atlas A2, torch 2.13)."""

AUTOCAST = {"none": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Device:
    """A device that exists and how to train on it.

    Attributes:
        torch_device: where tensors go.
        autocast_dtype: reduced precision of the forward pass, or None for float32 throughout.
    """

    torch_device: torch.device
    autocast_dtype: torch.dtype | None = None

    @property
    def memory_format(self) -> torch.memory_format:
        """Layout of images: channels-last where convolutions profit; the NPU wants plain NCHW."""
        return torch.channels_last if self.torch_device.type in ("cpu", "cuda") else torch.contiguous_format

    @property
    def pins_memory(self) -> bool:
        """Whether page-locked host memory speeds up the copy to the device."""
        return self.torch_device.type in ("cuda", "npu")

    @property
    def is_asynchronous(self) -> bool:
        """Whether work goes on here after a call has returned."""
        return self.torch_device.type != "cpu"

    def synchronise(self) -> None:
        """Wait until the device has done everything that it was told."""
        if self.is_asynchronous:
            torch.get_device_module(self.torch_device).synchronize()

    def with_shared_norms(self, network: nn.Module) -> nn.Module:
        """Let batch norms take their statistics over all ranks, where the device can; a CPU cannot."""
        if self.torch_device.type not in ("cuda", "npu"):
            return network
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return converted

    def refuse_unsuited(self, name: str, network: nn.Module) -> None:
        """Refuse a precision that layers of a network do not have here.

        Raises:
            ConfigError: bf16 on an NPU, where some layers have none, or a chip without bf16.
        """
        if self.torch_device.type != "npu" or self.autocast_dtype != torch.bfloat16:
            return
        found = sorted({type(layer).__name__ for layer in network.modules() if isinstance(layer, NO_BF16_ON_NPU)})
        if found:
            raise ConfigError(
                f"loop.autocast=bf16: {', '.join(found)} of {name} has no bf16 on an NPU; use fp16 or none."
            )
        has_bf16 = getattr(torch.get_device_module(self.torch_device), "is_bf16_supported", None)
        if has_bf16 is not None and not has_bf16():
            raise ConfigError("loop.autocast=bf16: this NPU has no bf16; use fp16 or none.")

    def place(self, network: nn.Module) -> nn.Module:
        """Move a network here, its filters in this device's memory layout."""
        network.to(self.torch_device)
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.ndim == 4:
                    parameter.data = parameter.data.contiguous(memory_format=self.memory_format)
        return network

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which the forward pass runs."""
        if self.autocast_dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.torch_device.type, dtype=self.autocast_dtype)

    def grad_scaler(self) -> torch.amp.GradScaler:
        """Return a gradient scaler; it passes everything through unless the forward pass is fp16."""
        return torch.amp.GradScaler(self.torch_device.type, enabled=self.autocast_dtype == torch.float16)

    def random_state(self) -> dict[str, torch.Tensor]:
        """Return the random states of the host and of the device."""
        states = {"cpu": torch.get_rng_state()}
        if self.torch_device.type != "cpu":
            states[self.torch_device.type] = torch.get_device_module(self.torch_device).get_rng_state()
        return states

    def set_random_state(self, states: dict[str, torch.Tensor]) -> None:
        """Restore what ``random_state`` returned; a state of another kind of device is left out."""
        torch.set_rng_state(states["cpu"])
        if self.torch_device.type != "cpu" and self.torch_device.type in states:
            torch.get_device_module(self.torch_device).set_rng_state(states[self.torch_device.type])


def open_device(name: str, autocast: str = "none", local_rank: int = 0) -> Device:
    """Find the device that the user named.

    Args:
        name: ``auto`` (the accelerator if there is one, else the CPU), ``cpu``, ``cuda[:i]``, ``npu[:i]`` or ``mps``.
        autocast: ``none``, ``bf16`` or ``fp16``.
        local_rank: which of the machine's devices it is if the name has no number.

    Raises:
        BackendError: the named device is not there; the message says what to install.
        ConfigError: the name or the precision is unknown or does not suit the device.
    """
    if autocast not in AUTOCAST:
        raise ConfigError(f"autocast={autocast!r}; allowed are {list(AUTOCAST)}.")
    kind, _, index = name.partition(":")
    if kind not in ("auto", "cpu", *HOW_TO_GET) or (index and not index.isdigit()):
        raise ConfigError(f"device {name!r} is not known; allowed are auto, cpu, cuda[:i], npu[:i] and mps.")
    number = int(index) if index else local_rank
    device = _automatic(number) if kind == "auto" else _named(kind, number)
    if device.index:
        torch.get_device_module(device).set_device(device.index)  # collectives go by the current device
    return Device(device, AUTOCAST[autocast])


def prepare_cpu(threads: int | None) -> None:
    """Set torch's CPU threads (None leaves its own choice) and flush denormals, which slow training down manifold."""
    if threads is not None:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)


def _automatic(index: int) -> torch.device:
    if importlib.util.find_spec("torch_npu") is not None:
        with contextlib.suppress(BackendError):
            return _named("npu", index)
    if torch.accelerator.is_available():
        found = torch.accelerator.current_accelerator()
        if found is not None:
            return _named(found.type, index)
    return torch.device("cpu")


def _named(kind: str, index: int) -> torch.device:
    if kind == "cpu":
        return torch.device("cpu")
    if kind == "npu":
        _load_torch_npu()
    current = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if current is None or current.type != kind:
        present = current.type if current is not None else "none"
        raise BackendError(f"device {kind}: not available here (accelerator: {present}). It needs {HOW_TO_GET[kind]}.")
    count = torch.accelerator.device_count()
    if index >= count:
        raise BackendError(f"device {kind}:{index}: this machine has {count}, numbered from 0.")
    return torch.device(kind, index)


def _load_torch_npu() -> None:
    if hasattr(torch, "npu"):
        return
    try:
        importlib.import_module("torch_npu")
    except (ImportError, OSError, RuntimeError) as error:
        raise BackendError(f"device npu: torch_npu does not load ({error}). It needs {HOW_TO_GET['npu']}.") from error
