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

from lipforge.kernels.crop import crop_face
from lipforge.kernels.paste import PasteScratch, paste_face
from lipforge.runtime.inpaint_generator import mouth_mask
from lipforge.runtime.onnx_engine import OnnxEngine

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

SIZE_PX, FACE_PX = 96, 300
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


@pytest.fixture(scope="module", autouse=True)
def one_torch_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def networks(request) -> dict[str, Any]:
    from lipforge.train.config import load_config
    from lipforge.train.models.wav2lip import Wav2Lip
    from lipforge.train.wav2lip_config import Wav2LipConfig

    preset = Path(str(resources.files("lipforge.train") / "configs" / "wav2lip-student.yaml"))
    smoke = not request.config.getoption("benchmark_enable")
    sizes = {"published": {}, "student": vars(load_config(Wav2LipConfig, file=preset).model)}
    torch.manual_seed(0)
    made = {name: Wav2Lip(**(NARROW if smoke else arguments)) for name, arguments in sizes.items()}
    for network in made.values():
        settle(network)
    return made


def settle(network) -> None:
    """Give fresh norms the statistics of some noise: without, values fade to denormal numbers, which are slow."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.rand(4, 1, 80, 16) * 8 - 4, torch.rand(4, 6, SIZE_PX, SIZE_PX))
    network.eval()


@pytest.fixture(scope="module")
def graphs(networks, tmp_path_factory) -> dict[str, Path]:
    import onnx

    from lipforge.export.plan import GraphPlan, tensor
    from lipforge.export.trace import to_onnx
    from lipforge.export.wav2lip_graphs import InpaintGraph

    folder, picture = tmp_path_factory.mktemp("graphs"), (SIZE_PX, SIZE_PX, 3)
    inputs = (
        tensor("mel", "float32", 80, 16),
        tensor("face", "uint8", *picture),
        tensor("reference", "uint8", *picture),
    )
    for name, network in networks.items():
        module = InpaintGraph(network, SIZE_PX).eval()
        plan = GraphPlan(name, module, inputs, (tensor("image", "uint8", *picture),), {"image": 1.0})
        onnx.save_model(to_onnx(plan), str(folder / f"{name}.onnx"))
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
