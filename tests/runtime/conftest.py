"""Made-up media, a tiny bundle and a face tracker for drawn faces, so that nothing here needs a download."""

from __future__ import annotations

import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lipforge.kernels.spec import AudioWindowSpec, CropSpec, FaceBoxSpec, LipSpec, MelChunkSpec, MelSpec, Spec, WarpSpec
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.faces import Face, HeadPose
from lipforge.runtime.faces.points import lip_indices
from lipforge.runtime.live import Avatar
from lipforge.runtime.live_bench.material import Material
from lipforge.runtime.manifest import GraphEntry, Manifest, ParityEntry, TensorEntry, sha256_of
from lipforge.runtime.picture import Picture

Image = NDArray[np.uint8]

DISC_BGR = (60, 160, 250)
PUBLISHED_BOX = FaceBoxSpec()


def draw_scene(width: int, height: int, index: int, *, face: bool = True) -> Image:
    """A grey gradient with a bright disc (the "face") that wanders; different in every frame."""
    image = np.empty((height, width, 3), np.uint8)
    image[:] = np.linspace(40, 120, width, dtype=np.float32)[None, :, None]
    image[: height // 8, : width // 8] = (index * 37) % 200
    if face:
        radius = height // 4
        centre = (round(width / 2 + 6 * np.sin(index / 5)), round(height / 2 + 4 * np.cos(index / 7)))
        cv2.circle(image, centre, radius, DISC_BGR, -1, cv2.LINE_AA)
        cv2.line(
            image,
            (centre[0] - radius // 2, centre[1] + radius // 3),
            (centre[0] + radius // 2, centre[1] + radius // 3),
            (20, 20, 120),
            2,
        )
    return image


class DiscTracker:
    """Finds the drawn disc by its colour and calls it a face."""

    def __init__(self, crop: CropSpec, lips: LipSpec) -> None:
        self._crop, self._lips = crop, lips
        self.tracked = 0

    def reset(self) -> None:
        self.tracked = 0

    def track(self, picture: Picture) -> Face | None:
        self.tracked += 1
        image_bgr = picture.resized(picture.whole, picture.width, picture.height)
        seen = np.argwhere((image_bgr[..., 2] > 200) & (image_bgr[..., 0] < 120))
        if len(seen) < 50:
            return None
        y, x = seen.mean(axis=0)
        radius = np.sqrt(len(seen) / np.pi)
        size = self._crop.size_px
        scale = size / (3.0 * radius)
        transform = np.array([[scale, 0.0, size / 2 - scale * x], [0.0, scale, size / 2 - scale * y]])
        lips = self._contours(size)
        pose = HeadPose(rotation=np.eye(3), scale=1 / scale, origin=np.array([x, y, 0.0]))
        landmarks = np.zeros((468, 3), np.float32)
        landmarks[list(lip_indices(self._lips)), :2] = (lips - transform[:, 2]) / scale
        return Face(landmarks=landmarks, score=1.0, transform=transform, pose=pose, lips=lips.astype(np.float32))

    def _contours(self, size: int) -> NDArray[np.float64]:
        rings = []
        for points, width, height in ((self._lips.outer_points, 14.0, 6.0), (self._lips.inner_points, 9.0, 1.0)):
            angle = np.pi + 2 * np.pi * np.arange(points) / points
            rings.append(np.stack([size / 2 + width * np.cos(angle), 0.6 * size + height * np.sin(angle)], axis=1))
        return np.concatenate(rings)


@pytest.fixture
def scene() -> Callable[..., Image]:
    return draw_scene


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """An image of the drawn scene."""
    path = tmp_path / "face.png"
    cv2.imwrite(str(path), draw_scene(160, 120, 3))
    return path


@pytest.fixture
def disc_tracker() -> DiscTracker:
    return DiscTracker(CropSpec(), LipSpec())


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a video of the drawn scene; ``faces(i)`` says whether frame i has a face."""

    def make(
        name: str = "clip.mp4",
        frames: int = 30,
        size: tuple[int, int] = (160, 120),
        fps: Fraction | int = 25,
        codec: str = "libx264",
        pixel_format: str = "yuv420p",
        faces: Callable[[int], bool] = lambda _: True,
        times: list[Fraction] | None = None,
        options: dict[str, str] | None = None,
        rotation: int = 0,
        sound: NDArray[np.float32] | None = None,
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=fps, options=options or {})
            stream.width, stream.height, stream.pix_fmt = size[0], size[1], pixel_format
            stream.codec_context.time_base = Fraction(1, 90_000) if times else 1 / Fraction(fps)
            if rotation:
                stream.set_display_rotation(rotation)
            track = container.add_stream("aac", rate=48_000, layout="mono") if sound is not None else None
            for index in range(frames):
                picture = draw_scene(*size, index, face=faces(index))
                frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
                frame.pts = round(times[index] * 90_000) if times else index
                frame.time_base = stream.codec_context.time_base
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
            if track is not None and sound is not None:
                heard = av.AudioFrame.from_ndarray(sound[np.newaxis], format="fltp", layout="mono")
                heard.sample_rate, heard.pts = 48_000, 0
                heard.time_base = Fraction(1, 48_000)
                container.mux(track.encode(heard))
                container.mux(track.encode(None))
        return path

    return make


@pytest.fixture
def make_wav(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a 16-bit wav: bursts of tone, so that mel and mouth change all the time."""

    def make(
        name: str = "voice.wav", seconds: float = 1.0, rate_hz: int = 16_000, channels: int = 1, samples: object = None
    ) -> Path:
        if samples is None:
            samples = np.repeat(tone_bursts(round(seconds * rate_hz), rate_hz)[:, None], channels, axis=1)
        path = tmp_path / name
        with wave.open(str(path), "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(2)
            file.setframerate(rate_hz)
            file.writeframes((np.asarray(samples) * 32767).astype("<i2").tobytes())
        return path

    return make


def tone_bursts(count: int, rate_hz: int) -> NDArray[np.float32]:
    t = np.arange(count) / rate_hz
    return (0.5 * np.sin(2 * np.pi * 300 * t) * (np.sin(2 * np.pi * 3 * t) > 0)).astype(np.float32)


@pytest.fixture
def voice() -> Callable[[int, int], NDArray[np.float32]]:
    return tone_bursts


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole bundle with hand-made graphs: loud audio drops the lower lip, the drop moves pixels down."""
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    folder.mkdir()
    mel, window, crop, lips = MelSpec(), AudioWindowSpec(), CropSpec(), LipSpec()
    graphs = {
        "audio2lips": _save(_audio_graph(mel, window, lips), folder / "audio2lips.onnx"),
        "warp": _save(_warp_graph(crop), folder / "warp.onnx"),
    }
    Manifest(
        name="tiny",
        generator="warp",
        fps=25.0,
        specs={"mel": mel, "window": window, "crop": crop, "lips": lips, "warp": WarpSpec()},
        graphs=graphs,
        source={"made": "by hand"},
    ).write(folder)
    return folder


@pytest.fixture
def bundle(bundle_folder: Path) -> Bundle:
    return Bundle.load(bundle_folder)


@pytest.fixture
def inpaint_bundle(tmp_path: Path) -> Callable[..., Bundle]:
    """Makes bundles with a hand-made inpaint graph: the reference, its lower half one colour by how loud the mel is.

    ``inpaint_bundle(offset_frames=-1, face_box=None)``; without a box the tracker's crop is what is cut out.
    """

    def make(offset_frames: int = 0, face_box: FaceBoxSpec | None = PUBLISHED_BOX, paint: bool = True) -> Bundle:
        folder = tmp_path / f"inpaint{offset_frames}{paint}{face_box and face_box.anchor}"
        folder.mkdir()
        crop, chunk = CropSpec(), MelChunkSpec(offset_frames=offset_frames)
        size = crop.size_px if face_box is None else face_box.size_px
        specs: dict[str, Spec] = {"mel": MelSpec(), "mel_chunk": chunk, "crop": crop, "lips": LipSpec()}
        Manifest(
            name="tiny inpaint",
            generator="inpaint",
            fps=25.0,
            specs=specs if face_box is None else specs | {"face_box": face_box},
            graphs={"wav2lip": _save(_inpaint_graph(size, chunk, paint), folder / "wav2lip.onnx")},
            source={"made": "by hand"},
        ).write(folder)
        return Bundle.load(folder)

    return make


@pytest.fixture
def bundle_copy(bundle_folder: Path, tmp_path: Path) -> Path:
    """A copy of the bundle that a test may damage."""
    copy = tmp_path / "bundle copy"
    copy.mkdir()
    for file in bundle_folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


def _audio_graph(mel: MelSpec, window: AudioWindowSpec, lips: LipSpec) -> onnx.ModelProto:
    # Loudness 0..8 times a drop of the lower halves of both contours.
    drop = np.zeros((1, lips.points, 3), np.float32)
    outer, inner = lips.outer_points, lips.inner_points
    drop[0, outer // 2 + 1 : outer, 1] = 1.5
    drop[0, outer + inner // 2 + 1 :, 1] = 1.5
    nodes = [
        helper.make_node("ReduceMean", ["mel", "axes"], ["mean"], keepdims=1),
        helper.make_node("Add", ["mean", "level"], ["loud"]),
        helper.make_node("Mul", ["loud", "drop"], ["lips"]),
    ]
    constants = {"axes": np.array([1, 2], np.int64), "level": np.float32([[[4.0]]]), "drop": drop}
    inputs = [("mel", "float32", ("B", mel.n_mels, window.columns))]
    return _model(nodes, constants, inputs, [("lips", "float32", ("B", lips.points, 3))])


def _warp_graph(crop: CropSpec) -> onnx.ModelProto:
    # flow y = -6 px where the target's outer contour is new; half of the new mouth opening is dark.
    size = crop.size_px
    cast = [
        helper.make_node("Cast", [name], [f"{name}_f"], to=TensorProto.FLOAT)
        for name in ("reference", "reference_lips", "target_lips")
    ]
    nodes = [
        *cast,
        helper.make_node("Sub", ["target_lips_f", "reference_lips_f"], ["difference"]),
        helper.make_node("Relu", ["difference"], ["grown"]),
        helper.make_node("Split", ["grown"], ["outer", "inner"], axis=1, num_outputs=2),
        helper.make_node("Mul", ["outer", "flow_gain"], ["flow"]),
        helper.make_node("Mul", ["inner", "mask_gain"], ["mask"]),
        helper.make_node("Transpose", ["reference_f"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["planes", "colour_gain"], ["colour"]),
    ]
    constants = {
        "flow_gain": np.float32([[[[0.0]], [[-6.0 / 255]]]]).reshape(1, 2, 1, 1),
        "mask_gain": np.full((1, 1, 1, 1), 0.5 / 255, np.float32),
        "colour_gain": np.full((1, 1, 1, 1), 0.2 / 255, np.float32),
    }
    inputs = [
        ("reference", "uint8", ("B", size, size, 3)),
        ("reference_lips", "uint8", ("B", 2, size, size)),
        ("target_lips", "uint8", ("B", 2, size, size)),
    ]
    outputs = [
        ("flow", "float32", ("B", 2, size, size)),
        ("mask", "float32", ("B", 1, size, size)),
        ("colour", "float32", ("B", 3, size, size)),
    ]
    return _model(nodes, constants, inputs, outputs)


def _inpaint_graph(size: int, chunk: MelChunkSpec, paint: bool) -> onnx.ModelProto:
    # Green of the lower half: 30 levels for each unit of mean mel above silence. ``face`` counts for nothing.
    nodes = [
        *(helper.make_node("Cast", [name], [f"{name}_f"], to=TensorProto.FLOAT) for name in ("face", "reference")),
        helper.make_node("Mul", ["face_f", "nothing"], ["ignored"]),
        helper.make_node("Mul", ["reference_f", "kept"], ["upper"]),
        helper.make_node("ReduceMean", ["mel", "axes"], ["mean"], keepdims=1),
        helper.make_node("Add", ["mean", "level"], ["loud"]),
        helper.make_node("Unsqueeze", ["loud", "last"], ["loud_pixel"]),
        helper.make_node("Mul", ["loud_pixel", "painted"], ["lower"]),
        helper.make_node("Sum", ["ignored", "upper", "lower", "half"], ["levels"]),
        helper.make_node("Cast", ["levels"], ["image"], to=TensorProto.UINT8),
    ]
    kept = np.ones((1, size, 1, 1), np.float32)
    painted = np.zeros((1, size, 1, 3), np.float32)
    if paint:
        kept[:, size // 2 :] = 0.0
        painted[:, size // 2 :, :, 1] = 30.0
    constants = {
        "nothing": np.zeros((1, 1, 1, 1), np.float32),
        "kept": kept,
        "painted": painted,
        "axes": np.array([1, 2], np.int64),
        "last": np.array([3], np.int64),
        "level": np.float32([[[4.0]]]),
        "half": np.full((1, 1, 1, 1), 0.5, np.float32),
    }
    picture = ("B", size, size, 3)
    inputs = [("mel", "float32", ("B", 80, chunk.columns)), ("face", "uint8", picture), ("reference", "uint8", picture)]
    return _model(nodes, constants, inputs, [("image", "uint8", picture)])


Port = tuple[str, str, tuple[int | str, ...]]


def _model(
    nodes: list[onnx.NodeProto], constants: dict[str, NDArray[np.generic]], inputs: list[Port], outputs: list[Port]
) -> onnx.ModelProto:
    kinds = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8}

    def infos(ports: list[Port]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, kinds[dtype], shape) for name, dtype, shape in ports]

    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "by_hand", infos(inputs), infos(outputs), initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def _save(model: onnx.ModelProto, path: Path) -> GraphEntry:
    onnx.save(model, str(path))

    def entries(values: object) -> tuple[TensorEntry, ...]:
        kinds = {TensorProto.FLOAT: "float32", TensorProto.UINT8: "uint8"}
        return tuple(
            TensorEntry(
                value.name,
                kinds[value.type.tensor_type.elem_type],
                tuple(size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim),
            )
            for value in values
        )

    names = [output.name for output in model.graph.output]
    ops: dict[str, int] = {}
    for node in model.graph.node:
        ops[node.op_type] = ops.get(node.op_type, 0) + 1
    return GraphEntry(
        file=path.name,
        sha256=sha256_of(path),
        opset=18,
        inputs=entries(model.graph.input),
        outputs=entries(model.graph.output),
        ops=ops,
        parity=ParityEntry(max_abs=dict.fromkeys(names, 0.0), tolerance=dict.fromkeys(names, 1e-4)),
    )


@pytest.fixture
def avatar(picture: Path, bundle: Bundle, disc_tracker: object) -> Avatar:
    return Avatar.prepare(picture, bundle, tracker=disc_tracker)


@pytest.fixture
def material(bundle: Bundle, avatar: Avatar) -> Material:
    made = Material(bundle.sharing(), seconds=4.0)
    made.__dict__["avatar"] = avatar  # so that no face model is needed
    return made
