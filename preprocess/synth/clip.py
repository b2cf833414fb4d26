"""One sample of the dataset: a person speaking a text, with the truth about every frame."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from lipforge.kernels.spec import CropSpec, LipSpec, MelSpec
from lipforge.preprocess.face_samples import encode_npy, encode_wav, face_files, to_int16
from lipforge.preprocess.synth.babble import babble
from lipforge.preprocess.synth.effort import speaking_effort
from lipforge.preprocess.synth.espeak import ESPEAK
from lipforge.preprocess.synth.face_boxes import render_faces
from lipforge.preprocess.synth.head_data import F32, HeadData
from lipforge.preprocess.synth.landmarks import average_lip_motion, average_unit_mm
from lipforge.preprocess.synth.motion_truth import flow_between, mouth_parts
from lipforge.preprocess.synth.mouths import choose_mouths, choose_pairs
from lipforge.preprocess.synth.scene import (
    CANVAS_LEFT,
    CANVAS_TOP,
    OVERSAMPLING,
    Capture,
    Scene,
    Studio,
    canvas_picture,
    crop_picture,
)
from lipforge.preprocess.synth.speech import Speech, VoiceChoice
from lipforge.preprocess.synth.talking_video import render_video
from lipforge.preprocess.synth.visemes import unit_curves
from lipforge.preprocess.synth.voices import Speaker

SAMPLE_RATE_HZ = MelSpec().sample_rate_hz
#: Finds lip points, float32 (N, 2) in pixels, in an RGB picture uint8 (H, W, 3); None where it sees no face.
LipFinder = Callable[[npt.NDArray[np.uint8]], F32 | None]


@dataclass(frozen=True)
class ClipOptions:
    """What to make of every clip: length, frame rate, how many still mouths and pairs, video, faces for Wav2Lip.

    ``voices`` says who speaks (``VoiceSet``). Without pairs, video and faces nothing is rendered. With no voice at all
    the mouths are those of babble, and there are pairs alone, in a third of the time: the warp trainer needs no more.
    """

    seconds: float = 4.0
    fps: int = 25
    mouths: int = 6
    pairs: int = 8
    video: bool = False
    faces: bool = False
    voices: str = ESPEAK

    @property
    def renders(self) -> bool:
        """Whether anything is to be seen of a clip."""
        return bool(self.pairs or self.video or self.faces)


class ClipMaker:
    """Makes the samples of one dataset; a sample depends on (seed, index) alone, not on the order or the worker."""

    def __init__(
        self, head: HeadData, speaker: Speaker | None, find_lips: LipFinder, seed: int, options: ClipOptions
    ) -> None:
        self.studio = Studio(head, CropSpec(), LipSpec())
        self._speaker, self._find_lips, self._seed, self._options = speaker, find_lips, seed, options
        marks, spec = self.studio.landmarks, self.studio.lip_spec
        self._motion = average_lip_motion(head, self.studio.expression, marks, spec)
        self._unit_mm = average_unit_mm(head, marks, spec)

    def make(self, index: int) -> dict[str, bytes]:
        """Return the files of sample ``index`` by suffix (``docs/formats.md`` section 1)."""
        rng = np.random.default_rng([self._seed, index])
        if self._speaker is None:
            return self._silent(index, rng)
        options = self._options
        text, voice, speech = self._speak(self._speaker, rng)
        energy = float(rng.uniform(0.8, 1.05))
        effort = speaking_effort(speech.samples, SAMPLE_RATE_HZ)
        units = unit_curves(speech.phonemes, options.seconds, options.fps, energy, effort)
        meta = {
            "schema": 1,
            "fps": options.fps,
            "frames": len(units),
            "seed": [self._seed, index],
            "voice": asdict(voice),
            "energy": energy,
            "unit_mm": round(self._unit_mm, 4),
            "text": text,
            "phonemes": [[ipa, round(start, 4), round(end, 4)] for ipa, start, end in speech.phonemes],
            "video": options.video,
        }
        samples = to_int16(speech.samples)
        files = {
            "json": json.dumps(meta, ensure_ascii=False).encode(),
            "wav": encode_wav(samples, SAMPLE_RATE_HZ),
            "lips.npy": encode_npy(np.tensordot(units, self._motion, 1).astype(np.float32)),
            "units.npy": encode_npy(units),
        }
        if not options.renders:
            return files
        scene = self.studio.sample_scene(rng)
        if options.pairs:
            files["pairs.npz"] = self._pairs(scene, units, rng)
        if options.video:
            files |= render_video(self.studio, scene, units, speech.samples, options.fps, rng)
        if options.faces:
            faces = render_faces(self.studio, scene, units, options.fps, rng)
            files |= face_files(faces, np.arange(len(faces), dtype=np.int32), samples, MelSpec())
        return files

    def _silent(self, index: int, rng: np.random.Generator) -> dict[str, bytes]:
        """A person who moves the mouth without a sound: pairs and what is known of them."""
        options, energy = self._options, float(rng.uniform(0.65, 1.0))
        units = unit_curves(babble(options.seconds, rng), options.seconds, options.fps, energy)
        meta = {"schema": 1, "fps": options.fps, "seed": [self._seed, index], "energy": energy, "video": False}
        pairs = self._pairs(self.studio.sample_scene(rng), units, rng)
        return {"json": json.dumps(meta).encode(), "pairs.npz": pairs}

    def _speak(self, speaker: Speaker, rng: np.random.Generator) -> tuple[str, VoiceChoice, Speech]:
        seconds = self._options.seconds
        # A fast voice says four words a second. The sync expert is to hear speech to the end: in silence there is
        # nothing that it could tell.
        words = int(seconds * (4 if self._options.faces else 3)) + 2
        text, voice, spoken = speaker.say_anything(rng, words)
        lead = float(rng.uniform(0.1, 0.6))
        samples = np.zeros(round(seconds * SAMPLE_RATE_HZ), np.float32)
        start = round(lead * SAMPLE_RATE_HZ)
        kept = spoken.samples[: max(len(samples) - start, 0)]
        gain = rng.uniform(0.3, 0.95) / max(float(np.abs(kept).max(initial=0)), 1e-3)
        samples[start : start + len(kept)] = kept * gain
        phonemes = tuple((p, a + lead, min(b + lead, seconds)) for p, a, b in spoken.phonemes if a + lead < seconds)
        return text, voice, Speech(samples, phonemes)

    def _pairs(self, scene: Scene, units: F32, rng: np.random.Generator) -> bytes:
        mouths = choose_mouths(self._options.mouths, units, rng)
        scenes = self.studio.moments(scene, len(mouths), rng)
        captures = [self.studio.capture(one, mouth) for one, mouth in zip(scenes, mouths, strict=True)]
        tracked = np.stack([self._track(capture) for capture in captures])
        lips = np.stack([capture.lips for capture in captures])
        target = tracked[0] + lips - lips[0]
        chosen = choose_pairs(lips, self._options.pairs, self.studio.lip_spec, rng)
        truth = [
            flow_between(captures[ref], captures[tgt], self.studio.head.faces, self.studio.crop) for ref, tgt in chosen
        ]
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            images=np.stack([crop_picture(capture, self.studio.crop) for capture in captures]),
            tracked=tracked.astype(np.float32),
            target=target.astype(np.float32),
            units=np.stack(mouths),
            pairs=np.array(chosen, np.int16),
            parts=np.stack([mouth_parts(capture, self.studio.head, self.studio.crop) for capture in captures]),
            flow=np.stack([flow for flow, _ in truth]),
            visible=np.stack([visible for _, visible in truth]),
        )
        return buffer.getvalue()

    def _track(self, capture: Capture) -> npt.NDArray[np.float64]:
        found = self._find_lips(canvas_picture(capture))
        if found is None:
            return np.full((self.studio.lip_spec.points, 2), np.nan)
        return np.asarray((found + 0.5) / OVERSAMPLING - 0.5 - [CANVAS_LEFT, CANVAS_TOP], np.float64)
