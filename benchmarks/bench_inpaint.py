"""Wav2Lip's generator a frame at a time: the published size in torch and as our graph, and the preset student.

In a smoke run the networks are narrow; with ``--benchmark-enable`` they have their sizes.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fresh_generator import NARROW, SIZE_PX, fresh_generator, plan_of

from lipforge.kernels.crop import crop_face
from lipforge.kernels.paste import PasteScratch, paste_face
from lipforge.runtime.inpaint_generator import mouth_mask
from lipforge.runtime.onnx_engine import OnnxEngine

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

FACE_PX = 300


@pytest.fixture(scope="module", autouse=True)
def one_torch_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def networks(request) -> dict[str, Any]:
    from lipforge.train.config import load_config
    from lipforge.train.wav2lip_config import Wav2LipConfig

    preset = Path(str(resources.files("lipforge.train") / "configs" / "wav2lip-student.yaml"))
    smoke = not request.config.getoption("benchmark_enable")
    sizes = {"published": {}, "student": vars(load_config(Wav2LipConfig, file=preset).model)}
    return {name: fresh_generator(NARROW if smoke else arguments) for name, arguments in sizes.items()}


@pytest.fixture(scope="module")
def graphs(networks, tmp_path_factory) -> dict[str, Path]:
    import onnx

    from lipforge.export.trace import to_onnx

    folder = tmp_path_factory.mktemp("graphs")
    for name, network in networks.items():
        onnx.save_model(to_onnx(plan_of(name, network)), str(folder / f"{name}.onnx"))
    return {name: folder / f"{name}.onnx" for name in networks}


@pytest.mark.benchmark(group="wav2lip, one frame, one thread")
@pytest.mark.parametrize("channels_last", [False, True], ids=["plain", "channels_last"])
def test_torch_published(benchmark, networks, channels_last):
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = networks["published"].to(memory_format=layout)
    mel, face = torch.zeros(1, 1, 80, 16), torch.rand(1, 6, SIZE_PX, SIZE_PX).to(memory_format=layout)
    with torch.inference_mode():
        benchmark(network, mel, face)


@pytest.mark.benchmark(group="wav2lip, one frame, one thread")
@pytest.mark.parametrize("name", ["published", "student"])
def test_lipforge_graph(benchmark, graphs, name):
    arrays = {
        "mel": np.zeros((1, 80, 16), np.float32),
        "face": np.random.default_rng(0).integers(0, 256, (1, SIZE_PX, SIZE_PX, 3), np.uint8),
        "image": np.zeros((1, SIZE_PX, SIZE_PX, 3), np.uint8),
    }
    benchmark(OnnxEngine(graphs[name]).bind(arrays | {"reference": arrays["face"]}))


@pytest.mark.benchmark(group="wav2lip, face of 300 px cut out and pasted back")
def test_lipforge_pixels(benchmark, frame):
    image, crop = frame.copy(), np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8)
    scratch, mask, scale = PasteScratch(), mouth_mask(SIZE_PX), SIZE_PX / FACE_PX
    transform = np.array([[scale, 0.0, -100.0 * scale], [0.0, scale, -100.0 * scale]])

    def run() -> None:
        crop_face(image, transform, SIZE_PX, out=crop)
        paste_face(image, scratch, transform, crop, mask)

    benchmark(run)


@pytest.mark.benchmark(group="wav2lip, face of 300 px cut out and pasted back")
def test_published_chain(benchmark, frame):
    """Slice, resize, blank, join, scale; then scale, cut off, resize, overwrite a copy of the frame."""
    image, box = frame.copy(), (slice(100, 100 + FACE_PX), slice(100, 100 + FACE_PX))

    def run() -> np.ndarray:
        face = cv2.resize(image[box], (SIZE_PX, SIZE_PX))
        faces = np.asarray([face])
        masked = faces.copy()
        masked[:, SIZE_PX // 2 :] = 0
        inputs = np.transpose(np.concatenate((masked, faces), axis=3) / 255.0, (0, 3, 1, 2)).astype(np.float32)
        drawn = inputs[0, 3:].transpose(1, 2, 0) * 255.0
        out = image.copy()
        out[box] = cv2.resize(drawn.astype(np.uint8), (FACE_PX, FACE_PX))
        return out

    benchmark(run)
