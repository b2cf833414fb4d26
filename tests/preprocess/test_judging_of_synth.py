"""A rendered clip under the judge: what the real face tracker sees agrees with the renderer's truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lipforge.preprocess.synth.scene import Studio
from lipforge.preprocess.synth.talking_video import render_video
from lipforge.preprocess.synth.visemes import unit_curves
from lipforge.runtime.evaluate.lip_agreement import best_lag, correlation
from lipforge.runtime.evaluate.lip_curves import aperture
from lipforge.runtime.evaluate.run import Job, run
from lipforge.runtime.wheel_assets import FACES, locate

pytestmark = pytest.mark.network
SECONDS, FPS = 2.4, 25
PHONEMES = (
    ("b", 0.28, 0.36),
    ("ɑ", 0.36, 0.66),
    ("m", 0.66, 0.78),
    ("a", 0.78, 1.10),
    ("s", 1.10, 1.20),
    ("ɛ", 1.20, 1.44),
    ("p", 1.44, 1.54),
    ("a", 1.54, 1.90),
)


def voice() -> np.ndarray:
    """Noise where a vowel sounds."""
    samples = np.zeros(round(SECONDS * 16_000), np.float32)
    for sound, start, end in PHONEMES:
        gain = 0.3 if sound in "ɑaɛ" else 0.05
        part = slice(round(start * 16_000), round(end * 16_000))
        samples[part] = gain * np.random.default_rng(0).normal(size=part.stop - part.start)
    return samples


def test_judge_sees_what_was_rendered(studio: Studio, tmp_path: Path) -> None:
    if locate(FACES) is None:
        pytest.skip("the face models are not there: `lipforge models fetch faces` (done by `make test`)")
    scene = studio.sample_scene(np.random.default_rng(3))
    units = unit_curves(PHONEMES, SECONDS, FPS, 0.9)
    files = render_video(studio, scene, units, voice(), FPS, np.random.default_rng(0))
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(files["mp4"])
    clip.with_suffix(".json").write_text(json.dumps({"phonemes": PHONEMES}))
    (tmp_path / "clip.track.npz").write_bytes(files["track.npz"])
    with np.load(tmp_path / "clip.track.npz") as track:
        lips = track["landmarks"]
    upper, lower = studio.lip_spec.outer_points + np.array([1, 3]) * studio.lip_spec.inner_points // 4
    true_gap = np.linalg.norm(lips[:, upper] - lips[:, lower], axis=1)

    report = run(Job((clip,), reference=clip), lambda done, all_: None, print)
    found = report.judgements[0]
    seen = aperture(found.observation.video.landmarks)
    assert found.values["face_share"] == 1.0
    assert correlation(seen, true_gap) > 0.9
    assert abs(best_lag(seen, true_gap, FPS).seconds) < 0.5 / FPS
    assert found.closure_source == "clip.json"
    assert (found.values["closures"], found.values["closure_rate"]) == (3.0, 1.0)
    assert found.values["closure_chance"] < 0.8
    # Against itself nothing differs.
    assert found.values["aperture_corr"] == pytest.approx(1.0)
    assert found.values["sharpness"] == pytest.approx(1.0)
    assert found.values["cheek_change"] == found.values["seam"] == found.values["landmark_distance"] == 0.0
