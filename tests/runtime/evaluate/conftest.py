"""Faces whose lips do what a test says, as landmarks and as small moving pictures."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lipforge.kernels.spec import CropSpec, LipSpec, MelChunkSpec, MelSpec
from lipforge.runtime.faces import Face, HeadPose
from lipforge.runtime.faces.points import INNER, MESH_POINTS, OUTER, lip_indices
from lipforge.runtime.manifest import GraphEntry, Manifest, ParityEntry, TensorEntry, sha256_of
from lipforge.runtime.picture import Picture

F64 = NDArray[np.float64]
FPS = 25.0
SCALE, CENTRE = 2.0, (30.0, 40.0)  # image px per crop px, and where the crop's corner lies


def talking(frames: int = 100, seed: int = 0) -> F64:
    """Openings in eye distances, as speech has them: smooth, closed now and then."""
    random = np.random.default_rng(seed)
    steps = np.convolve(random.normal(size=frames + 8), np.hanning(9), "valid")
    return np.clip(0.12 + 0.12 * steps / steps.std(), 0.0, 0.3)


def face_of(opening: F64, width: F64 | float = 0.5) -> NDArray[np.float32]:
    """Landmarks float32 (T, 468, 3), image px, of a face that looks ahead; 40 crop px between the outer eye corners."""
    frames = len(opening)
    points = np.random.default_rng(1).uniform(20, 76, (MESH_POINTS, 2))
    faces = np.repeat(points[None], frames, axis=0)
    for index, place in zip((33, 133, 362, 263, 2), CropSpec().template, strict=True):
        faces[:, index] = place
    faces[:, 263, 0] = 68.0
    faces[:, 152] = (48, 67)
    angle = np.pi + 2 * np.pi * np.arange(LipSpec().outer_points) / LipSpec().outer_points
    wide = np.broadcast_to(np.asarray(width, np.float64), (frames,)) * 20
    for ring, shrink, lip in ((OUTER, 1.0, 4.0), (INNER, 0.8, 0.0)):
        faces[:, list(ring), 0] = 48 + shrink * wide[:, None] * np.cos(angle)
        faces[:, list(ring), 1] = 50 + (20 * opening[:, None] + lip) * np.sin(angle)
    image = faces * SCALE + np.array(CENTRE)
    return np.concatenate([image, np.zeros((frames, MESH_POINTS, 1))], axis=2).astype(np.float32)


def textured(height: int = 288, width: int = 360, seed: int = 0) -> NDArray[np.uint8]:
    """Grey levels uint8 (H, W) with detail of every size, 30 to 220."""
    random = np.random.default_rng(seed)
    whole = np.zeros((height, width))
    for size in (1, 2, 5, 12, 30):
        coarse = random.normal(size=(height // size + 2, width // size + 2))
        whole += size**0.5 * np.kron(coarse, np.ones((size, size)))[:height, :width]
    whole = (whole - whole.min()) / np.ptp(whole)
    return np.asarray(30 + 190 * whole, np.uint8)


@lru_cache
def backdrop() -> NDArray[np.uint8]:
    picture = cv2.cvtColor(textured(), cv2.COLOR_GRAY2BGR)
    return np.asarray(picture, np.uint8)


def picture_of(opening: float, *, face: bool = True) -> NDArray[np.uint8]:
    """A textured picture uint8 (288, 360, 3) BGR with a black mouth, 10 px high for each tenth of an eye distance."""
    picture = backdrop().copy()
    if not face:
        return picture
    middle = (126, 140)
    cv2.circle(picture, middle, 52, (150, 150, 150), -1)
    cv2.circle(picture, middle, 46, (200, 200, 200), -1)
    picture[middle[1] - 40 : middle[1] + 40, middle[0] - 30 : middle[0] + 30] = 200
    high = round(100 * opening)
    picture[middle[1] - high // 2 : middle[1] - high // 2 + high, middle[0] - 14 : middle[0] + 14] = 5
    return picture


class MouthTracker:
    """Finds the mouth of ``picture_of`` by its black, and no face where there is no light disc around it."""

    def reset(self) -> None:
        pass

    def track(self, picture: Picture) -> Face | None:
        image = picture.resized(picture.whole, picture.width, picture.height)
        scale = picture.width / 360
        column = image[:, round(126 * scale), 0]
        if not 180 < column[round(182 * scale)] < 220 > column[round(98 * scale)] > 180:
            return None
        opening = float((column[round(90 * scale) : round(190 * scale)] < 90).sum()) / 100 / scale
        landmarks = face_of(np.array([opening]))[0]
        landmarks[:, :2] *= scale
        transform = np.array([[1 / SCALE, 0, -CENTRE[0] / SCALE], [0, 1 / SCALE, -CENTRE[1] / SCALE]])
        transform[:, :2] /= scale
        lips = landmarks[list(lip_indices(LipSpec())), :2] @ transform[:, :2].T + transform[:, 2]
        pose = HeadPose(np.eye(3), SCALE * scale, np.array([126.0, 80.0, 0.0]))
        return Face(landmarks, 1.0, transform, pose, lips.astype(np.float32))


def voice_of(opening: F64, fps: float, shift_s: float = 0.0) -> NDArray[np.float32]:
    """Noise at 16 kHz, the louder the wider the mouth, ``shift_s`` late."""
    count = round(len(opening) / fps * 16_000)
    at = (np.arange(count) / 16_000 - shift_s) * fps
    level = np.interp(at, np.arange(len(opening)) + 0.5, opening)
    noise = np.random.default_rng(round(1000 * opening.sum())).normal(size=count)  # every text its own recording
    return np.asarray(0.2 * noise * np.where(level > 0.02, 10 ** (4 * level - 1.2), 1e-3), np.float32)


def write_video(
    path: Path,
    opening: F64,
    *,
    fps: int = 25,
    sound: NDArray[np.float32] | None = None,
    sound_start_s: float = 0.0,
    change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] = lambda picture: picture,
    faceless: frozenset[int] = frozenset(),
) -> Path:
    """Write ``picture_of`` every opening, with sound."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=fps, options={"crf": "12", "preset": "ultrafast"})
        # AAC puts up to 64 ms of priming before the sound; exact starts need a codec without.
        codec, layout = ("pcm_f32le", "flt") if path.suffix == ".mkv" else ("aac", "fltp")
        track = None if sound is None else container.add_stream(codec, rate=16_000)
        first = change(picture_of(0.0))
        video.width, video.height, video.pix_fmt = first.shape[1], first.shape[0], "yuv420p"
        for number, gap in enumerate(opening):
            frame = av.VideoFrame.from_ndarray(change(picture_of(gap, face=number not in faceless)), format="bgr24")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if track is not None and sound is not None:
            heard = av.AudioFrame.from_ndarray(sound[np.newaxis], format=layout, layout="mono")
            heard.sample_rate, heard.time_base = 16_000, Fraction(1, 16_000)
            heard.pts = round(sound_start_s * 16_000)
            container.mux(track.encode(heard))
            container.mux(track.encode(None))
    return path


def expert_graph(mel: MelSpec, chunk: MelChunkSpec) -> onnx.ModelProto:
    """Sound: the level in five places of the window. Mouths: how dark the five faces are. Less their mean, length 1."""
    constants = {
        "bands": np.array([1], np.int64),
        "pixels": np.array([2, 3, 4], np.int64),
        "row": np.array([1], np.int64),
        "places": np.array([0, 3, 6, 10, 13], np.int64),
        "minus": np.float32([-1.0]),
        "least": np.float32([1e-6]),
    }
    nodes = [
        helper.make_node("ReduceMean", ["mel", "bands"], ["level"], keepdims=0),
        helper.make_node("Gather", ["level", "places"], ["sound_raw"], axis=1),
        helper.make_node("Cast", ["faces"], ["faces_f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["faces_f", "pixels"], ["light"], keepdims=0),
        helper.make_node("Mul", ["light", "minus"], ["mouths_raw"]),
    ]
    for side in ("sound", "mouths"):
        nodes += [
            helper.make_node("ReduceMean", [f"{side}_raw", "row"], [f"{side}_mean"], keepdims=1),
            helper.make_node("Sub", [f"{side}_raw", f"{side}_mean"], [f"{side}_flat"]),
            helper.make_node("ReduceL2", [f"{side}_flat", "row"], [f"{side}_length"], keepdims=1),
            helper.make_node("Max", [f"{side}_length", "least"], [f"{side}_safe"]),
            helper.make_node("Div", [f"{side}_flat", f"{side}_safe"], [side]),
        ]
    ports = [
        ("mel", TensorProto.FLOAT, ["B", mel.n_mels, chunk.columns]),
        ("faces", TensorProto.UINT8, ["B", 5, 96, 96, 3]),
    ]
    outputs = [(side, TensorProto.FLOAT, ["B", 5]) for side in ("sound", "mouths")]
    infos = [[helper.make_tensor_value_info(*port) for port in group] for group in (ports, outputs)]
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "by_hand", *infos, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.fixture(scope="session")
def expert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a sync expert whose verdict can be worked out by hand."""
    folder = tmp_path_factory.mktemp("experts") / "by-hand"
    folder.mkdir()
    mel, chunk = MelSpec(), MelChunkSpec()
    path = folder / "syncnet.onnx"
    onnx.save(expert_graph(mel, chunk), str(path))
    shapes = {"mel": ("float32", (80, 16)), "faces": ("uint8", (5, 96, 96, 3)), "sound": ("float32", (5,))}
    shapes["mouths"] = shapes["sound"]
    inputs, outputs = (
        tuple(TensorEntry(name, shapes[name][0], ("B", *shapes[name][1])) for name in names)
        for names in (("mel", "faces"), ("sound", "mouths"))
    )
    graph = GraphEntry(path.name, sha256_of(path), 18, inputs, outputs, {}, ParityEntry({}, {}))
    specs = {"mel": mel, "mel_chunk": chunk, "crop": CropSpec()}
    Manifest("by hand", "none", 25.0, specs, {"syncnet": graph}, {"made": "by hand"}).write(folder)
    return folder


@pytest.fixture
def truth() -> SimpleNamespace:
    """The functions above, because test modules cannot import this file."""
    transform = np.array([[1 / SCALE, 0, -CENTRE[0] / SCALE], [0, 1 / SCALE, -CENTRE[1] / SCALE]])
    functions = {"talking": talking, "face_of": face_of, "textured": textured, "voice_of": voice_of}
    return SimpleNamespace(**functions, write_video=write_video, tracker=MouthTracker, fps=FPS, transform=transform)
