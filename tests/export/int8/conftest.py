"""A dataset whose clips serve both kinds of generator."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipforge.kernels.mel import VALUES_VERSION, log_mel
from lipforge.kernels.spec import CropSpec, LipSpec, MelSpec
from lipforge.preprocess.shards import shard_name, write_description, write_shard

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
