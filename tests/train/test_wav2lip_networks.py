"""The networks of the Wav2Lip family against the published ones: every key, every shape, and numbers."""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from lipforge.kernels.errors import ConfigError
from lipforge.train.models import build_network
from lipforge.train.models.syncnet import SyncNet
from lipforge.train.models.wav2lip_blocks import (
    fold_time,
    lower_half,
    stack_frames,
    unfold_time,
    unit_length,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "wav2lip_outputs.npz"
TOLERANCE = 1e-5  # another order of summation in the convolutions; outputs are of order 0.1 to 1
INPUTS = {
    "mel": (2, 1, 80, 16),
    "face": (2, 6, 96, 96),
    "mel_5d": (1, 5, 1, 80, 16),
    "face_5d": (1, 6, 5, 96, 96),
    "sync_mel": (2, 1, 80, 16),
    "sync_face": (2, 15, 48, 96),
    "disc_face": (1, 3, 5, 96, 96),
}
NARROW: dict[str, dict[str, Any]] = {
    "wav2lip": {
        "face": [4, 4, 8, 8, 8, 8, 8],
        "face_repeats": [0, 1, 0, 0, 0],
        "audio": [4, 4, 8, 8],
        "audio_repeats": [0, 0, 0, 1],
        "audio_embedding": 12,
        "decoder": [12, 8, 8, 8, 8, 4, 4],
        "decoder_repeats": [0, 0, 0, 0, 1, 0],
        "head": 4,
    },
    "syncnet": {
        "face": [4, 4, 8, 8, 8, 8],
        "face_repeats": [0, 1, 0, 0, 0],
        "audio": [4, 4, 8, 8],
        "audio_repeats": [0, 0, 0, 1],
        "embedding": 16,
    },
    "wav2lip-disc": {"widths": [4, 4, 8, 8, 8, 8, 8], "repeats": [0, 1, 0, 0, 0]},
}


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def inputs(golden: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """One stream of random numbers in the order of ``INPUTS``."""
    random = np.random.default_rng(zlib.crc32(b"lipforge-golden-v1/inputs"))
    made = {}
    for (name, shape), total in zip(INPUTS.items(), golden["input_sums"], strict=True):
        values = (random.uniform(-4, 4, shape) if "mel" in name else random.random(shape)).astype(np.float32)
        assert values.astype(np.float64).sum() == pytest.approx(total, abs=1e-9), "the random generator has changed"
        made[name] = torch.from_numpy(values)
    return made


@pytest.mark.parametrize("kind", NARROW)
def test_keys_and_shapes_are_the_published_ones(kind: str, published_shapes: dict[str, dict[str, list[int]]]) -> None:
    with torch.device("meta"):
        state = build_network(kind, {}).state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == published_shapes[kind]
    assert list(state) == list(published_shapes[kind])  # optimiser states of the published files go by order


def published(kind: str, weights: Callable[..., dict[str, torch.Tensor]], gain: float) -> torch.nn.Module:
    with torch.device("meta"):
        network = build_network(kind, {})
    network.load_state_dict(weights(network, gain), assign=True)
    return network.eval()


def largest_error(found: torch.Tensor, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    return float((found - torch.from_numpy(expected)).abs().max())


@torch.no_grad()
def test_generator_draws_what_the_published_one_draws(
    golden: dict[str, np.ndarray], inputs: dict[str, torch.Tensor], golden_weights: Callable[..., Any]
) -> None:
    network = published("wav2lip", golden_weights, 0.55)
    assert largest_error(network(inputs["mel"], inputs["face"]), golden["wav2lip_out"]) <= TOLERANCE
    drawn = network(inputs["mel_5d"], inputs["face_5d"])
    assert drawn.shape == (1, 3, 5, 96, 96)
    assert largest_error(drawn[..., ::3, ::3], golden["wav2lip_out_5d_third"]) <= TOLERANCE


@torch.no_grad()
def test_expert_embeds_as_the_published_one(
    golden: dict[str, np.ndarray], inputs: dict[str, torch.Tensor], golden_weights: Callable[..., Any]
) -> None:
    sound, mouths = published("syncnet", golden_weights, 0.55)(inputs["sync_mel"], inputs["sync_face"])
    assert largest_error(sound, golden["syncnet_audio"]) <= TOLERANCE
    assert largest_error(mouths, golden["syncnet_face"]) <= TOLERANCE


@torch.no_grad()
def test_critic_judges_as_the_published_one(
    golden: dict[str, np.ndarray], inputs: dict[str, torch.Tensor], golden_weights: Callable[..., Any]
) -> None:
    chances = published("wav2lip-disc", golden_weights, 1.0)(inputs["disc_face"])
    assert largest_error(chances, golden["disc_out"]) <= TOLERANCE


def run_narrow(kind: str, network: torch.nn.Module) -> torch.Tensor:
    if kind == "wav2lip":
        drawn: torch.Tensor = network(torch.rand(2, 1, 80, 16) * 8 - 4, torch.rand(2, 6, 96, 96))
        return drawn
    if kind == "syncnet":
        return torch.cat(network(torch.rand(2, 1, 80, 16) * 8 - 4, torch.rand(2, 15, 48, 96)), 1)
    judged: torch.Tensor = network(torch.rand(2, 3, 2, 96, 96))
    return judged


@pytest.mark.parametrize(
    ("kind", "shape"), [("wav2lip", (2, 3, 96, 96)), ("syncnet", (2, 32)), ("wav2lip-disc", (4, 1))]
)
def test_narrow_networks_reach_every_parameter(kind: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network = build_network(kind, NARROW[kind])
    out = run_narrow(kind, network)
    assert out.shape == shape
    (out * torch.rand_like(out)).sum().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not silent
    assert sum(p.numel() for p in network.parameters()) < 60_000


def test_one_more_width_doubles_the_side() -> None:
    network = build_network(
        "wav2lip",
        {**NARROW["wav2lip"], "face": [4] * 8, "face_repeats": [0] * 6}
        | {"decoder": [4] * 8, "decoder_repeats": [0] * 7},
    )
    assert network.size_px == 192
    with torch.no_grad():
        assert network.eval()(torch.zeros(1, 1, 80, 16), torch.zeros(1, 6, 192, 192)).shape == (1, 3, 192, 192)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("wav2lip", {"face": [4, 4]}),
        ("wav2lip", {"face_repeats": [1, 1]}),
        ("wav2lip", {"decoder": [4, 4]}),
        ("wav2lip", {"decoder_repeats": [1, 1, 1, 1, 1, -1]}),
        ("wav2lip", {"head": 0}),
        ("syncnet", {"face": [8] * 5}),
        ("syncnet", {"embedding": 2.5}),
        ("syncnet", {"audio": [8, 8, 8]}),
        ("wav2lip-disc", {"widths": [8] * 6}),
        ("wav2lip-disc", {"repeats": [1, 1, 1, 1, True]}),
    ],
)
def test_sizes_that_cannot_work(kind: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{kind}: {next(iter(arguments))}="):
        build_network(kind, arguments)


def test_time_folds_and_unfolds() -> None:
    clips = torch.rand(2, 3, 5, 4, 6)
    folded = fold_time(clips)
    assert torch.equal(folded, torch.cat([clips[:, :, t] for t in range(5)]))  # the published words
    assert torch.equal(unfold_time(folded, 5), clips)
    assert torch.equal(stack_frames(clips), torch.cat([clips[:, :, t] for t in range(5)], 1))
    assert torch.equal(lower_half(clips), clips[:, :, :, 2:])


def test_unit_length() -> None:
    vectors = torch.tensor([[3.0, 4.0], [0.0, 0.0], [1e-3, 0.0]], requires_grad=True)
    scaled = unit_length(vectors)
    torch.testing.assert_close(scaled[0], torch.tensor([0.6, 0.8]))
    torch.testing.assert_close(scaled.norm(dim=1), torch.tensor([1.0, 0.0, 1.0]))
    scaled.sum().backward()
    assert vectors.grad is not None
    assert vectors.grad.isfinite().all()
    assert unit_length(torch.full((1, 4), 1e-3, dtype=torch.float16)).dtype == torch.float32


def test_expert_runs_outside_of_torch() -> None:
    """The scaling to length 1 survives the exporter, at another batch size than it was traced with."""
    torch.manual_seed(0)
    network = SyncNet(**NARROW["syncnet"]).eval()
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter announces its successor
        torch.onnx.export(
            network,
            (torch.zeros(1, 1, 80, 16), torch.zeros(1, 15, 48, 96)),
            buffer,
            dynamo=False,
            opset_version=17,
            input_names=["mel", "frames"],
            output_names=["sound", "mouths"],
            dynamic_axes={name: {0: "B"} for name in ("mel", "frames", "sound", "mouths")},
        )
    session = onnxruntime.InferenceSession(buffer.getvalue(), providers=["CPUExecutionProvider"])
    mel, frames = torch.rand(3, 1, 80, 16) * 8 - 4, torch.rand(3, 15, 48, 96)
    copies = session.run(None, {"mel": mel.numpy(), "frames": frames.numpy()})
    with torch.no_grad():
        for copy, original in zip(copies, network(mel, frames), strict=True):
            np.testing.assert_allclose(copy, original.numpy(), atol=1e-5)
            np.testing.assert_allclose(np.linalg.norm(copy, axis=1), 1.0, atol=1e-5)
