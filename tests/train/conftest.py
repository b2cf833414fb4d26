"""A dataset of drawn mouths and humming voices, small enough to be written for every session."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
import tarfile
import wave
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from lipforge.kernels.spec import CropSpec, LipSpec, MelSpec

FPS, FRAMES, CLIPS, CLIPS_A_SHARD = 25, 25, 5, 3
OPENINGS_PX = (0.0, 5.0, 9.0)
LIPS, CROP = LipSpec(), CropSpec()


def lip_points(opening_px: float) -> np.ndarray:
    """Draw a mouth in LipSpec order; opening 0 is shut."""
    rings = []
    for count, width, height in (
        (LIPS.outer_points, 13.0, 5.0 + opening_px / 2),
        (LIPS.inner_points, 10.0, opening_px / 2),
    ):
        angle = 2 * np.pi * np.arange(count) / count
        rings.append(np.stack([48 - width * np.cos(angle), 54 - height * np.sin(angle)], 1))
    return np.concatenate(rings).astype(np.float32)


def make_pairs(random: np.random.Generator) -> dict[str, np.ndarray]:
    """Make three mouths of one head: what is below the mouth's middle moves down by the opening."""
    size = CROP.size_px
    base = cv2.GaussianBlur(random.uniform(0, 255, (size, size, 3)).astype(np.float32), (0, 0), 3.0)
    base = np.clip((base - base.mean()) * 6 + 128, 0, 255)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    near = np.exp(-(((x - 48) / 20) ** 4) - ((y - 58) / 20) ** 4)
    images, flows = [], []
    for opening in OPENINGS_PX:
        flow = np.stack([np.zeros_like(x), -0.5 * opening * near], -1).astype(np.float32)
        flows.append(flow)
        images.append(
            cv2.remap(base, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        )
    points = np.stack([lip_points(opening) for opening in OPENINGS_PX])
    tracked = points + random.normal(0, 0.2, points.shape).astype(np.float32)
    return {
        "images": np.round(images).astype(np.uint8),
        "tracked": tracked,
        "target": points,
        "units": np.zeros((len(images), 12), np.float32),
        "parts": np.zeros((len(images), 2 * size, 2 * size), np.uint8),
        "pairs": np.array([[0, 1], [0, 2], [0, 0]], np.int16),
        "flow": np.stack([flows[1], flows[2], flows[0]]).astype(np.float16),
        "visible": np.full((3, size, size), 255, np.uint8),
    }


def make_speech(random: np.random.Generator) -> tuple[bytes, np.ndarray]:
    """Make a hum whose loudness opens the mouth: wav file and true lips."""
    frame = np.arange(FRAMES)
    loudness = np.clip(np.sin(2 * np.pi * frame / FRAMES * random.uniform(1, 4) + random.uniform(0, 6)), 0, 1)
    time_s = np.arange(FRAMES * 16_000 // FPS) / 16_000
    hum = np.interp(time_s * FPS, frame, loudness) * np.sin(2 * np.pi * random.uniform(150, 300) * time_s)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((hum * 12_000).astype("<i2").tobytes())
    shut = lip_points(0.0)
    lips = np.zeros((FRAMES, LIPS.points, 3), np.float32)
    lips[:, :, :2] = [lip_points(8.0 * value) - shut for value in loudness]
    return buffer.getvalue(), lips


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def write_shard(path: Path, samples: dict[str, dict[str, bytes]]) -> None:
    with tarfile.open(path, "w") as archive:
        for key, files in samples.items():
            for extension, content in files.items():
                member = tarfile.TarInfo(key + extension)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def dataset_header(shards: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "schema": 1,
        "kind": "lipforge-dataset",
        "generator": {"name": "tests"},
        "fps": FPS,
        "crop": CROP.to_dict(),
        "lips": LIPS.to_dict(),
        "mel": MelSpec().to_dict(),
        "shards": shards,
    }


def write_dataset(
    root: Path, *, clips: int = CLIPS, change: Callable[[dict[str, np.ndarray]], None] | None = None
) -> Path:
    """Write a dataset; ``change`` may spoil the pairs of the first clip."""
    root.mkdir(parents=True, exist_ok=True)
    shards = []
    for first in range(0, clips, CLIPS_A_SHARD):
        samples = {}
        for number in range(first, min(clips, first + CLIPS_A_SHARD)):
            random = np.random.default_rng(number)
            sound, lips = make_speech(random)
            pairs = make_pairs(random)
            if change is not None and number == 0:
                change(pairs)
            facts = {"schema": 1, "fps": FPS, "frames": FRAMES, "seed": number}
            files = {
                ".json": json.dumps(facts).encode(),
                ".wav": sound,
                ".lips.npy": npy(lips),
                ".pairs.npz": npz(pairs),
            }
            samples[f"clip-{number:08d}"] = files
        name = f"shard-{first // CLIPS_A_SHARD:06d}.tar"
        write_shard(root / name, samples)
        shards.append({"name": name, "samples": len(samples)})
    (root / "dataset.json").write_text(json.dumps(dataset_header(shards)))
    return root


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good dataset, not to be changed."""
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture
def new_dataset(tmp_path: Path) -> Callable[..., Path]:
    """Writes a dataset of one's own: ``new_dataset(clips=3, change=function)``."""

    def write(**options: Any) -> Path:
        return write_dataset(tmp_path / "data", **options)

    return write


def write_talking_clip(
    folder: Path,
    seed: int,
    *,
    frames: int = 30,
    rate_hz: int = 16_000,
    channels: int = 1,
    missing: tuple[int, ...] = (),
) -> None:
    """Write a clip in the published layout: a dark mouth that is open where the hum is loud."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    loudness = np.repeat(random.random(-(-frames // 5)) > 0.5, 5)[:frames]  # bursts of 0.2 s
    skin = random.uniform(90, 200, 3)
    for frame in set(range(frames)) - set(missing):
        picture = np.full((110, 100, 3), skin, np.uint8)
        cv2.ellipse(picture, (50, 82), (20, 14 if loudness[frame] else 3), 0, 0, 360, (20, 20, 60), -1)
        cv2.imwrite(str(folder / f"{frame}.jpg"), picture)
    time_s = np.arange(frames * rate_hz // FPS) / rate_hz
    loud = loudness[np.minimum((time_s * FPS).astype(int), frames - 1)]
    hum = (12_000 * loud * np.sin(2 * np.pi * random.uniform(150, 300) * time_s)).astype("<i2")
    with wave.open(str(folder / "audio.wav"), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.repeat(hum, channels).tobytes())


@pytest.fixture(scope="session")
def frame_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips in the published layout, not to be changed: six for training, two held out."""
    root = tmp_path_factory.mktemp("frames") / "lrs2_preprocessed"
    for number in range(8):
        stereo = {"rate_hz": 44_100, "channels": 2} if number == 1 else {}
        write_talking_clip(root / "main" / f"{number:03d}", number, missing=(12,) if number == 2 else (), **stereo)
    (root / "filelists").mkdir()
    (root / "filelists" / "train.txt").write_text("".join(f"main/{n:03d} MV\n" for n in range(6)))
    (root / "filelists" / "val.txt").write_text("main/006\nmain/007\n\n")
    return root


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    """The module of the toy trainer, which tests in other processes use too."""
    path = Path(__file__).with_name("processes") / "toy_task.py"
    spec = importlib.util.spec_from_file_location("toy_task", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["toy_task"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


GOLDEN = Path(__file__).parents[1] / "golden"
PUBLISHED = {"wav2lip": "wav2lip", "syncnet": "syncnet_color", "wav2lip-disc": "wav2lip_disc_qual"}
"""Kinds of checkpoint and the names that the golden files give to the networks."""


@pytest.fixture(scope="session")
def published_shapes() -> dict[str, dict[str, list[int]]]:
    """Keys and shapes of the published networks by kind of checkpoint."""
    shapes = json.loads((GOLDEN / "wav2lip_state_dict_shapes.json").read_text())
    return {kind: shapes[name] for kind, name in PUBLISHED.items()}
