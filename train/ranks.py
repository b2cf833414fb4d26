"""Processes that train together, one a device, as ``torchrun`` starts them.

Gradients are averaged after the backward pass rather than by hooks inside of it: with a generator and its critic one
backward pass runs through both networks but steps only one of them, which hooks cannot know. Every rank takes its rows
of the same batch, so more ranks train the same thing sooner.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn

from lipforge.kernels.errors import BackendError, ConfigError

BUCKET_BYTES = 25 << 20
PATIENCE = timedelta(hours=2)  # the others wait while rank 0 validates and writes


@dataclass(frozen=True)
class Ranks:
    """This process's place among those that train together; alone, every method is a matter of course.

    Attributes:
        rank: number of this process; 0 alone validates, writes and prints.
        size: number of processes.
        local_rank: number of this process on its machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    def rows(self, batch_size: int) -> slice:
        """Return which rows of a batch this rank trains on.

        Raises:
            ConfigError: they cannot be shared out evenly.
        """
        if batch_size % self.size:
            raise ConfigError(f"loop.batch_size={batch_size} cannot be shared evenly among {self.size} ranks.")
        share = batch_size // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def average_gradients(self, network: nn.Module, loss: Tensor) -> Tensor:
        """Replace gradients by their mean over all ranks and return that of a scalar, all in one go."""
        if self.size == 1:
            return loss
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        for parameter in parameters:
            if parameter.grad is None:  # unused in this rank's rows; the others' may have used it
                parameter.grad = torch.zeros_like(parameter)
        total = loss.detach().float().reshape(1).clone()
        self._average([total, *(parameter.grad for parameter in parameters if parameter.grad is not None)])
        return total[0]

    def average_buffers(self, network: nn.Module) -> None:
        """Replace running statistics by their mean over all ranks; where batch norms are shared they are equal."""
        if self.size > 1:
            self._average([buffer for buffer in network.buffers() if buffer.is_floating_point()])

    def copy_weights(self, network: nn.Module) -> None:
        """Give all ranks the weights and buffers of rank 0."""
        if self.size > 1:
            for value in network.state_dict().values():
                distributed.broadcast(value, 0)

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over all ranks of float (n,) on the CPU."""
        if self.size > 1:
            distributed.all_reduce(values)
            values /= self.size
        return values

    def highest(self, values: Sequence[float]) -> list[float]:
        """Return the highest of each number over all ranks: what they have to decide alike."""
        if self.size == 1:
            return list(values)
        joined = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(joined, distributed.ReduceOp.MAX)
        highest: list[float] = joined.tolist()
        return highest

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, in order, on every one."""
        if self.size == 1:
            return [value]
        gathered = [None] * self.size
        distributed.all_gather_object(gathered, value)
        return gathered

    def from_first(self, value: Any) -> Any:
        """Return rank 0's value on every one."""
        if self.size == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, 0)
        return box[0]

    @torch.no_grad()
    def _average(self, tensors: Iterable[Tensor]) -> None:
        sent = []
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            sent.append((bucket, flat, distributed.all_reduce(flat, async_op=True)))
        for bucket, flat, work in sent:
            work.wait()
            flat /= self.size
            for tensor, mean in zip(bucket, torch.split(flat, [tensor.numel() for tensor in bucket]), strict=True):
                tensor.copy_(mean.view(tensor.shape))


ALONE = Ranks()


def _buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Group tensors of one kind of number up to a size that is worth a message."""
    bucket, size = list[Tensor](), 0
    for tensor in tensors:
        if bucket and (tensor.dtype != bucket[0].dtype or size + tensor.nbytes > BUCKET_BYTES):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.nbytes
    if bucket:
        yield bucket


def ranks_of_this_process() -> Ranks:
    """Return what ``torchrun`` says in the environment; without it, a process of its own.

    Raises:
        ConfigError: the environment is half set.
    """
    values = {name: os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    if not values["RANK"] and not values["LOCAL_RANK"]:
        return ALONE
    if not all(value.isdigit() for value in values.values()):
        raise ConfigError(f"{values}: not what torchrun sets; start training with torchrun, or unset them.")
    return Ranks(int(values["RANK"]), int(values["WORLD_SIZE"]), int(values["LOCAL_RANK"]))


@contextmanager
def joined(ranks: Ranks, device: torch.device) -> Iterator[None]:
    """Connect this process with the others: over the device's own backend, and over the CPU's for what they agree on.

    Raises:
        BackendError: the device's backend is not there, or the others cannot be reached.
    """
    if ranks.size == 1:
        yield
        return
    try:
        backends = distributed.get_default_backend_for_device("cpu")
        if device.type != "cpu":
            backends = f"cpu:{backends},{device.type}:{distributed.get_default_backend_for_device(device.type)}"
        distributed.init_process_group(backends, rank=ranks.rank, world_size=ranks.size, timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BackendError(f"{ranks.size} ranks on {device.type} cannot be connected ({reason}).") from error
    yield
    # Not after an error: the others may not have met it, and torchrun ends them.
    distributed.barrier()
    distributed.destroy_process_group()
