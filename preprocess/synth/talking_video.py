"""The talking head as a video with a slowly moving head, and the true alignment of every frame."""

from __future__ import annotations

import io
import tempfile
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from lipforge.kernels.spec import MelSpec
from lipforge.preprocess.synth.camera import F64, head_sway
from lipforge.preprocess.synth.eyes import eye_motion
from lipforge.preprocess.synth.head_data import F32
from lipforge.preprocess.synth.scene import CANVAS_LEFT, CANVAS_TOP, OVERSAMPLING, Scene, Studio, canvas_picture
from lipforge.runtime.faces.similarity import compose_affine, invert_similarity


def render_video(
    studio: Studio, scene: Scene, units: F32, samples: F32, fps: int, rng: np.random.Generator
) -> dict[str, bytes]:
    """Return ``mp4`` (H.264 and AAC) and ``track.npz`` of a clip; one frame per row of ``units``."""
    motion = head_sway(len(units), fps, rng)
    frames, transforms, landmarks = [], [], []
    for mouth, turn, eyes in zip(units, motion, eye_motion(len(units), fps, rng), strict=True):
        moved = replace(scene, pose=scene.pose.turned(turn), eyes=eyes)
        capture = studio.capture(moved, mouth)
        frames.append(canvas_picture(capture))
        transforms.append(_image_to_crop(studio, moved))
        landmarks.append((capture.lips + [CANVAS_LEFT, CANVAS_TOP] + 0.5) * OVERSAMPLING - 0.5)
    track = io.BytesIO()
    np.savez(track, transform=np.array(transforms, np.float32), landmarks=np.array(landmarks, np.float32))
    return {"mp4": _encode(frames, samples, fps), "track.npz": track.getvalue()}


def _image_to_crop(studio: Studio, scene: Scene) -> F64:
    """The exact alignment of one frame: canvas pixels -> view -> crop pixels."""
    view_to_crop = studio.align(scene.person, scene.pose, scene.centre)
    shift = np.array([CANVAS_LEFT, CANVAS_TOP])
    linear = scene.transform[:, :2] * OVERSAMPLING
    offset = (scene.transform[:, 2] + shift + 0.5) * OVERSAMPLING - 0.5
    return compose_affine(view_to_crop, invert_similarity(np.column_stack([linear, offset])))


def _encode(frames: list[npt.NDArray[np.uint8]], samples: F32, fps: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        with av.open(str(path), "w") as container:
            video = container.add_stream("libx264", rate=fps, options={"crf": "16", "preset": "veryfast"})
            video.height, video.width = frames[0].shape[:2]
            video.pix_fmt = "yuv420p"
            audio = container.add_stream("aac", rate=MelSpec().sample_rate_hz, layout="mono")
            for frame in frames:
                container.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(video.encode(None))
            sound = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            sound.sample_rate = MelSpec().sample_rate_hz
            container.mux(audio.encode(sound))
            container.mux(audio.encode(None))
        return path.read_bytes()
