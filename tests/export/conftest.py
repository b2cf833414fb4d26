"""Tiny checkpoints with weights that make every layer matter, a bundle of them, and a dataset to calibrate with."""

from __future__ import annotations

import copy
import io
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lipforge.export.export_bundle import ExportRequest, export_bundle
from lipforge.export.plan import GraphPlan
from lipforge.kernels.mel import VALUES_VERSION, log_mel
from lipforge.kernels.spec import AudioWindowSpec, CropSpec, LipSpec, MelChunkSpec, MelSpec, Spec, WarpSpec
from lipforge.preprocess.shards import shard_name, write_description, write_shard
from lipforge.runtime.manifest import TensorEntry
from lipforge.train.checkpoint import save_checkpoint
from lipforge.train.models import build_network

RECIPES: dict[str, Spec] = {
    "mel": MelSpec(),
    "window": AudioWindowSpec(),
    "crop": CropSpec(),
    "lips": LipSpec(),
    "warp": WarpSpec(factor=2),
    "mel_chunk": MelChunkSpec(offset_frames=-1),
}
MODELS: dict[str, dict[str, Any]] = {
    "audio2lips": {"width": 8, "hidden": 16, "components": 4},
    "warp": {"encoder": [8, 8, 16, 16], "decoder": [16, 8, 8], "head": 4},
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
SPECS = {
    "audio2lips": ("mel", "window", "lips"),
    "warp": ("crop", "lips", "warp"),
    "wav2lip": ("mel", "mel_chunk"),
    "syncnet": ("mel", "mel_chunk"),
    "wav2lip-disc": (),
}


# What Ascend's ATC registers at opset 17, as far as networks like these can need it.
ATC_OPS = {
    "Add",
    "AveragePool",
    "Cast",
    "Clip",
    "Concat",
    "Conv",
    "ConvTranspose",
    "DepthToSpace",
    "Div",
    "Exp",
    "Flatten",
    "Gemm",
    "GlobalAveragePool",
    "LeakyRelu",
    "MatMul",
    "MaxPool",
    "Mul",
    "Pad",
    "Pow",
    "Reciprocal",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Resize",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Tanh",
    "Transpose",
    "Unsqueeze",
}


def randomise(module: nn.Module, seed: int) -> nn.Module:
    """Give a module weights and batch-norm statistics as training leaves them: none zero, one or equal."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            spread = 1.0 / max(1, parameter[0].numel()) ** 0.5 if parameter.ndim > 1 else 0.3
            parameter.normal_(0.0, spread, generator=generator)
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0.0, 0.2, generator=generator)
            elif name.endswith("running_var"):
                buffer.uniform_(0.3, 2.0, generator=generator)
    return module.eval()


def checkpoint_header(kind: str) -> dict[str, Any]:
    """Return what the trainer writes into ``checkpoint.json``; a fresh copy."""
    return copy.deepcopy(
        {
            "kind": kind,
            "step": 7,
            "model": MODELS[kind],
            "specs": {name: RECIPES[name].to_dict() for name in SPECS[kind]},
            "config": {},
            "dataset": {"fps": 25, "samples": 1, "fingerprint": "tests"},
        }
    )


def write_checkpoint(run: Path, kind: str, change: Callable[[dict[str, Any]], None] = lambda header: None) -> Path:
    """Write a checkpoint with the trainer's own code; ``change`` may spoil its header."""
    header = checkpoint_header(kind)
    change(header)
    network = randomise(build_network(kind, header["model"]), seed=len(kind))
    return save_checkpoint(run, header, network.state_dict(), {})


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny networks gain nothing from a second thread, and on a busy machine wait for it at every layer."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def audio2lips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("runs") / "audio", "audio2lips")


@pytest.fixture(scope="session")
def warp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("runs") / "warp", "warp")


@pytest.fixture(scope="session")
def wav2lip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("runs") / "wav2lip", "wav2lip")


@pytest.fixture(scope="session")
def bundle(audio2lips: Path, warp: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported bundle, not to be changed."""
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    export_bundle(ExportRequest([warp, audio2lips], folder))
    return folder


@pytest.fixture(scope="session")
def atc_ops() -> set[str]:
    return ATC_OPS


@pytest.fixture(scope="session")
def plan_of() -> Callable[..., GraphPlan]:
    """Plans a module of one input and one output: ``plan_of(module, channels, height, width)``."""

    def plan(module: nn.Module, *sizes: int) -> GraphPlan:
        randomise(module, seed=5)
        with torch.no_grad():
            output = module(torch.zeros(1, *sizes))
        return GraphPlan(
            name="test",
            module=module,
            inputs=(TensorEntry("x", "float32", ("B", *sizes)),),
            outputs=(TensorEntry("y", "float32", ("B", *output.shape[1:])),),
            tolerance={"y": 1e-4},
        )

    return plan


@pytest.fixture(scope="session")
def new_checkpoint() -> Callable[..., Path]:
    """Writes a checkpoint of one's own: ``new_checkpoint(folder, kind, change=function)``."""
    return write_checkpoint


CLIPS, FRAMES, SIDE_PX = 5, 12, 96


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def lip_contour(opening: float) -> np.ndarray:
    """Ellipses around the middle of the crop's lower half: float32 (40, 2)."""
    angle = np.pi + 2 * np.pi * np.arange(20) / 20
    rings = [(14.0, 6.0 + opening / 2), (9.0, opening / 2)]
    points = [np.stack([48 + wide * np.cos(angle), 54 + high * np.sin(angle)], 1) for wide, high in rings]
    return np.concatenate(points).astype(np.float32)


def face(random: np.random.Generator) -> np.ndarray:
    """Smooth shades and some grain: uint8 (96, 96, 3)."""
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX] / SIDE_PX
    waves = [np.cos(random.uniform(2, 6) * x + random.uniform(0, 6)) * np.cos(3 * y) for _ in range(3)]
    return np.clip(128 + 70 * np.stack(waves, 2) + random.normal(0, 4, (SIDE_PX, SIDE_PX, 1)), 0, 255).astype(np.uint8)


def clip(number: int) -> dict[str, bytes]:
    random = np.random.default_rng(number)
    time_s = np.arange(FRAMES * 640) / 16_000
    hum = np.sin(2 * np.pi * random.uniform(150, 300) * time_s) * (0.5 + 0.5 * np.sin(9 * time_s))
    samples = (hum * 12_000).astype("<i2")
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.tobytes())
    openings = np.array([0.5, 5.0, 11.0])
    pairs: dict[str, Any] = {
        "images": np.stack([face(random) for _ in openings]),
        "tracked": np.stack([lip_contour(opening) for opening in openings]),
        "target": np.stack([lip_contour(opening) for opening in openings]),
        "pairs": np.array([[0, 1], [0, 2], [1, 2]], np.int16),
        "flow": np.zeros((3, SIDE_PX, SIDE_PX, 2), np.float16),
        "visible": np.full((3, SIDE_PX, SIDE_PX), 255, np.uint8),
        "parts": np.zeros((3, 2 * SIDE_PX, 2 * SIDE_PX), np.uint8),
    }
    packed = io.BytesIO()
    np.savez(packed, **pairs)
    return {
        "wav": sound.getvalue(),
        "lips.npy": npy(np.zeros((FRAMES, 40, 3), np.float32)),
        "pairs.npz": packed.getvalue(),
        "frames.npy": npy(np.arange(FRAMES, dtype=np.int32)),
        "faces.npy": npy(np.stack([face(random).transpose(2, 0, 1) for _ in range(FRAMES)])),
        "mel.npy": npy(log_mel(samples.astype(np.float32) / np.float32(32768), MelSpec()).astype(np.float16)),
    }


def write_data(root: Path, **changes: Any) -> Path:
    root.mkdir(parents=True)
    write_shard(root / shard_name(0), ((f"clip-{number:08d}", clip(number)) for number in range(CLIPS)))
    description = {
        "generator": {"name": "tests"},
        "fps": 25,
        "crop": CropSpec().to_dict(),
        "lips": LipSpec().to_dict(),
        "mel": MelSpec().to_dict(),
        "faces": {"size_px": SIDE_PX},
        "mel_version": VALUES_VERSION,
        "shards": [{"name": shard_name(0), "samples": CLIPS}],
    }
    write_description(root, {key: value for key, value in (description | changes).items() if value is not None})
    return root


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good dataset, not to be changed."""
    return write_data(tmp_path_factory.mktemp("calibration") / "data set")


@pytest.fixture
def new_data(tmp_path: Path) -> Any:
    """Writes a dataset with another header: ``new_data(fps=50)``; None leaves a key out."""

    def write(**changes: Any) -> Path:
        return write_data(tmp_path / "other data", **changes)

    return write
