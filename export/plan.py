"""What each graph of a bundle is: the network behind it, its inputs and outputs, and how exact the copy must be."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lipforge.kernels.spec import MelSpec
from lipforge.runtime.manifest import TensorEntry

Arrays = dict[str, NDArray[np.generic]]

BYTE = 1.0 / 255.0

# Largest absolute error of an ONNX output against torch, in the output's unit. Float32 convolutions regrouped by
# another library differ by about 1e-5 of the values' size; these leave a factor of ten and are far below what shows
# in a picture (flow and lips: px of the crop; mask and colour: 1e-4 is a fortieth of a grey level; embeddings and
# chances: of 1). A picture in bytes may differ by the grey level that rounding decides; ``parity`` bounds how often.
TOLERANCE = {
    "lips": 1e-3,
    "flow": 1e-3,
    "mask": 1e-4,
    "colour": 1e-4,
    "image": 1.0,
    "sound": 1e-4,
    "mouths": 1e-4,
    "chance": 1e-4,
}


@dataclass(frozen=True)
class GraphPlan:
    """A graph to be exported.

    Attributes:
        name: of the graph in the manifest, and of its file without the suffix.
        module: torch module in eval mode that takes ``inputs`` and returns ``outputs`` in their order.
        inputs: contract of the graph; the first axis is ``"B"``.
        outputs: contract of the graph; the first axis is ``"B"``.
        tolerance: largest absolute error allowed, by output name.
        typical: a sample like those that the runtime feeds, batch 1, by input name.
        float_limit: largest absolute value of a float input.
    """

    name: str
    module: nn.Module
    inputs: tuple[TensorEntry, ...]
    outputs: tuple[TensorEntry, ...]
    tolerance: dict[str, float]
    typical: Arrays = field(default_factory=dict)
    float_limit: float = MelSpec().max_abs


@torch.no_grad()
def run_torch(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Run a module without gradients; one output comes back as a tuple of one."""
    outputs = module(*inputs)
    return outputs if isinstance(outputs, tuple) else (outputs,)


def tensor(name: str, dtype: str, *sizes: int) -> TensorEntry:
    """Return the contract of an input or output; the batch axis is added."""
    return TensorEntry(name, dtype, ("B", *sizes))


def tolerance_of(outputs: tuple[TensorEntry, ...], override: float | None) -> dict[str, float]:
    """Return the largest absolute error allowed of each output."""
    return {output.name: TOLERANCE[output.name] if override is None else override for output in outputs}
