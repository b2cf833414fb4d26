"""From what was seen and heard to measures: values with intervals, and for each absent one the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lipforge.runtime.evaluate.closures import Closure, ShutLevels, closure_rate, closures_of_lips
from lipforge.runtime.evaluate.interval import Estimate, mean_of_frames, ratio_of_frames
from lipforge.runtime.evaluate.jitter import jitter
from lipforge.runtime.evaluate.lip_agreement import best_lag, estimate_correlation, landmark_distance
from lipforge.runtime.evaluate.lip_curves import aperture, at_times, lip_outlines, mouth_width
from lipforge.runtime.evaluate.observation import Observation
from lipforge.runtime.evaluate.own_voice import SpokenLips, own_correlation, shifted_correlation, swapped_correlation
from lipforge.runtime.evaluate.pixel_findings import PixelFindings
from lipforge.runtime.evaluate.rest_motion import rest_motion
from lipforge.runtime.evaluate.same_recording import same_recording
from lipforge.runtime.evaluate.speech_frames import loudness, rest_frames, speech_frames
from lipforge.runtime.evaluate.sync_expert import Verdict, judge

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class TimedClosures:
    """When lips have to be shut, and who says so."""

    closures: Sequence[Closure]
    source: str


@dataclass
class Judgement:
    """The measures of one video.

    Attributes:
        observation: what they come from.
        values: by name, see ``catalogue.MEASURES``.
        absent: why a measure has no value, by name.
        curves: what a page draws, float64 (T,) each: ``times``, ``opening``, ``width`` and, where they can be known,
            ``loudness``, ``true_opening`` and ``true_width`` (of the reference) and ``landmark_distance``.
        speech: bool (T,), where somebody speaks; None without sound.
        verdict: the expert's.
        closure_source: who said when lips have to be shut.
    """

    observation: Observation
    values: dict[str, Estimate] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    curves: dict[str, F64] = field(default_factory=dict)
    speech: Mask | None = None
    verdict: Verdict | None = None
    closure_source: str = ""

    def put(self, name: str, value: float | Estimate, why_nan: str) -> None:
        """Note a value, or why there is none."""
        estimate = value if isinstance(value, Estimate) else Estimate(float(value))
        if np.isfinite(estimate):
            self.values[name] = estimate
        else:
            self.absent[name] = why_nan

    def miss(self, names: str, why: str) -> None:
        """Note why some measures (names with spaces between) have no value."""
        self.absent.update(dict.fromkeys(names.split(), why))


NO_REFERENCE = "no reference was given"
NO_SOUND = "the video has no sound"
NO_EXPERT = "no expert was given (--expert BUNDLE) and none is shipped"


def judge_video(seen: Observation, closures: TimedClosures | None = None) -> Judgement:
    """Compute the measures of one video.

    Args:
        seen: the video.
        closures: when lips have to be shut; by default the reference's own closures.
    """
    found = Judgement(seen)
    times = seen.video.times
    found.curves["times"] = times
    found.curves["opening"], found.curves["width"] = aperture(seen.video.landmarks), mouth_width(seen.video.landmarks)
    outlines = lip_outlines(seen.video.landmarks)
    found.put("face_share", float(np.isfinite(found.curves["opening"]).mean()), "no frames")
    if len(seen.samples):
        found.curves["loudness"] = loudness(seen.samples, times)
        found.speech = speech_frames(found.curves["loudness"])
        found.put("sound_start_ms", 1000 * seen.starts.sound_after_picture_s, NO_SOUND)
    else:
        found.miss("sound_start_ms", NO_SOUND)
    found.put("jitter", jitter(outlines), "too few frames with a face in a row")
    _hear_expert(found)
    _compare_lips(found, outlines)
    _look_at_rest(found)
    _look_at_closures(found, closures)
    _compare_pixels(found, seen.pixels)
    return found


def judge_swapped(judgements: Sequence[Judgement]) -> None:
    """Add to each of several videos what it has in common with the voices and lips of the others.

    Videos that carry the same voice, such as the results of several models on one clip, are no others to each other.
    """
    alone = "it needs a second video with another voice"
    for found in judgements:
        heard = found.observation.samples
        others = [other for other in judgements if not same_recording(heard, other.observation.samples)]
        others = [other for other in others if other is not found]  # silence is not even like itself
        mine, theirs = spoken_lips(found), [lips for other in others if (lips := spoken_lips(other)) is not None]
        if mine is not None:
            why = "too few speech frames in common" if theirs else f"{alone} and a reference"
            found.put("swapped_corr", swapped_correlation(mine, theirs), why)
        embedded = found.observation.embedded
        if embedded is not None:
            voices = [other.observation.embedded.sounds for other in others if other.observation.embedded is not None]
            confidences = np.array([judge(embedded, sounds).confidence for sounds in voices])
            known = confidences[np.isfinite(confidences)]
            found.put("swapped_lse_c", float(known.mean()) if len(known) else float("nan"), alone)


def spoken_lips(found: Judgement) -> SpokenLips | None:
    """Return a video's lips beside its reference's, or None without reference or sound."""
    if "true_opening" not in found.curves or found.speech is None:
        return None
    fps = found.observation.video.fps
    return SpokenLips(found.curves["opening"], found.curves["true_opening"], found.speech, fps)


def _hear_expert(found: Judgement) -> None:
    seen, names = found.observation, "lse_d lse_c offset_ms swapped_lse_c"
    if seen.embedded is None:
        found.miss(names, seen.notes.get("expert", NO_SOUND if not len(seen.samples) else NO_EXPERT))
        return
    found.verdict = judge(seen.embedded)
    why = f"only {len(seen.embedded.starts)} windows of five frames with a face"
    found.put("lse_d", found.verdict.distance, why)
    found.put("lse_c", found.verdict.confidence, why)
    found.put("offset_ms", found.verdict.offset_ms, why)
    found.miss("swapped_lse_c", "it needs a second video with another voice")


def _compare_lips(found: Judgement, outlines: F64) -> None:
    seen, curves = found.observation, found.curves
    if seen.reference is None:
        names = "aperture_corr aperture_lag_ms width_corr width_lag_ms landmark_distance own_corr shifted_corr"
        found.miss(f"{names} swapped_corr jitter_ratio", NO_REFERENCE)
        return
    times, fps, true = seen.video.times, seen.video.fps, seen.reference
    true_outlines = lip_outlines(true.landmarks)
    for mine, name, of in (("opening", "aperture", aperture), ("width", "width", mouth_width)):
        curves[f"true_{mine}"] = at_times(of(true.landmarks), true.times, times)
        still = "the lips of the video or its reference do not move, or too few frames have a face"
        found.put(f"{name}_corr", estimate_correlation(curves[mine], curves[f"true_{mine}"], fps), still)
        found.put(f"{name}_lag_ms", 1000 * best_lag(curves[mine], curves[f"true_{mine}"], fps).seconds, still)
    apart = landmark_distance(outlines, at_times(true_outlines, true.times, times))
    curves["landmark_distance"] = apart
    found.put("landmark_distance", mean_of_frames(apart, fps), "no frame has a face in both")
    found.put(
        "jitter_ratio",
        jitter(outlines) / max(jitter(true_outlines), 1e-9),
        "too few frames with a face in a row",
    )
    spoken = spoken_lips(found)
    if spoken is None:
        found.miss("own_corr shifted_corr swapped_corr", NO_SOUND)
        return
    few = "fewer than 12 speech frames with a face in both, or lips that do not move"
    found.put("own_corr", own_correlation(spoken), few)
    found.put("shifted_corr", shifted_correlation(spoken), few)
    found.miss("swapped_corr", "it needs a second video with another voice and a reference")


def _look_at_rest(found: Judgement) -> None:
    if found.speech is None:
        found.miss("rest_motion rest_motion_ratio", NO_SOUND)
        return
    fps = found.observation.video.fps
    rest = rest_frames(found.speech, fps)
    mine = rest_motion(found.curves["opening"], rest, fps)
    found.put("rest_motion", mine, "the sound has no pause that is long enough")
    if "true_opening" not in found.curves:
        found.miss("rest_motion_ratio", NO_REFERENCE)
        return
    true = rest_motion(found.curves["true_opening"], rest, fps)
    found.put("rest_motion_ratio", mine / true if true else float("nan"), "the sound has no pause that is long enough")


def _look_at_closures(found: Judgement, closures: TimedClosures | None) -> None:
    names = "closure_rate closure_chance closures"
    times, fps, mine = found.curves["times"], found.observation.video.fps, found.curves["opening"]
    # The reference says how far this speaker's lips open; without one the video has to say it itself.
    true = found.curves.get("true_opening", mine)
    levels = ShutLevels.of(true)
    if levels is None:
        found.miss(names, "the lips hardly move, or too few frames have a face")
        return
    if closures is None:
        if "true_opening" not in found.curves or found.speech is None:
            found.miss(names, "it needs phoneme times, a transcript, or a reference with sound")
            return
        own = closures_of_lips(true, times, found.speech, levels)
        closures = TimedClosures(own, "the reference's own lips")
    found.closure_source = closures.source
    rate = closure_rate(closures.closures, mine, times, fps, levels)
    found.put("closure_rate", rate.rate, f"no closure was found (source: {closures.source})")
    found.put("closure_chance", rate.chance, "no closure was found, or the video is too short")
    found.put("closures", float(rate.count), "")


def _compare_pixels(found: Judgement, pixels: PixelFindings | None) -> None:
    names = "sharpness eye_sharpness cheek_change picture_change seam"
    if pixels is None:
        found.miss(names, found.observation.notes.get("pixels", NO_REFERENCE))
        return
    none = "no frame of the reference has a face"
    fps = found.observation.video.fps
    found.put("sharpness", ratio_of_frames(pixels.mouth_detail, fps), none)
    found.put("eye_sharpness", ratio_of_frames(pixels.eye_detail, fps), none)
    for name, rows in (("cheek_change", pixels.cheek_change), ("picture_change", pixels.picture_change)):
        found.put(name, mean_of_frames(rows, fps), "the face fills the picture" if len(rows) else none)
    found.put("seam", pixels.seam, none)
