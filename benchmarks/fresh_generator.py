"""The published Wav2Lip generator with fresh weights, on which time does not depend, and its graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lipforge.export.plan import GraphPlan
    from lipforge.train.models.wav2lip import Wav2Lip

SIZE_PX = 96
NARROW: dict[str, Any] = {
    "face": [4, 4, 8, 8, 8, 8, 8],
    "face_repeats": [0] * 5,
    "audio": [4, 4, 8, 8],
    "audio_repeats": [0] * 4,
    "audio_embedding": 8,
    "decoder": [8, 8, 8, 8, 8, 4, 4],
    "decoder_repeats": [0] * 6,
    "head": 4,
}
"""Sizes of a smoke run."""


def fresh_generator(sizes: dict[str, Any] | None = None) -> Wav2Lip:
    """Build a generator in eval mode, of the published sizes by default.

    Fresh norms get the statistics of some noise: without, values fade to denormal numbers, which are slow on a CPU.
    """
    import torch

    from lipforge.train.models.wav2lip import Wav2Lip

    torch.manual_seed(0)
    network = Wav2Lip(**(sizes or {}))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.rand(4, 1, 80, 16) * 8 - 4, torch.rand(4, 6, SIZE_PX, SIZE_PX))
    return network.eval()


def plan_of(name: str, network: Wav2Lip) -> GraphPlan:
    """Plan the graph that `lipforge export` would make of a generator."""
    from lipforge.export.plan import GraphPlan, tensor
    from lipforge.export.wav2lip_graphs import InpaintGraph

    picture = (SIZE_PX, SIZE_PX, 3)
    inputs = (
        tensor("mel", "float32", 80, 16),
        tensor("face", "uint8", *picture),
        tensor("reference", "uint8", *picture),
    )
    module = InpaintGraph(network, SIZE_PX).eval()
    return GraphPlan(name, module, inputs, (tensor("image", "uint8", *picture),), {"image": 1.0})
