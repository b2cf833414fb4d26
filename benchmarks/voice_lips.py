"""How well a bundle's audio network makes lips follow voices: ``python benchmarks/voice_lips.py CLIPS... DATASETS...``.

**Clips of real speakers.** Every clip is driven with its own sound, and the opening of the predicted inner lips is
compared with what the face tracker sees in the clip (mesh points 13 and 14 over the distance of the outer eye corners),
on frames of speech only: pauses make any two voices agree. The same figure for other clips' sound and for the own sound
moved by more than a second says what chance gives. With --videos FOLDER the lips of rendered videos, FOLDER/<clip>.mp4
made by ``lipforge sync``, take the place of the network's; rendered videos of swapped voices are
FOLDER/<clip>@<other>.mp4.

**Datasets of ``lipforge preprocess synth``** have exact truth: correlation of opening and width over all frames, lag,
how many of the /p b m/ that are shut come out shut within a frame, and the motion in pauses against the true one.

Intervals are 95 %, by the bootstrap over clips.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lipforge.kernels.mel import log_mel
from lipforge.kernels.spec import CropSpec, LipSpec, MelSpec
from lipforge.preprocess.synth.speech import resample
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.faces import FaceTracker
from lipforge.runtime.media.audio_reader import AudioReader
from lipforge.train.clips import read_wave
from lipforge.train.shards import open_dataset

UPPER_LIP, LOWER_LIP, RIGHT_EYE, LEFT_EYE, RIGHT_CORNER, LEFT_CORNER = 13, 14, 33, 263, 78, 308
SPEECH_LEVEL = 0.3  # of the way from a clip's 5th to its 95th percentile of level
SPEECH_COLUMNS = 8  # on each side of a frame: the level is that of 200 ms
LARGEST_LAG = 8
SHORTEST_SHIFT_S = 1.0
REPEATS = 2000
BILABIALS = "pbm"
TRULY_SHUT, SHUT = 0.6, 1.2  # head units, of which 40 lie between the eye corners

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RealClip:
    """A clip as the comparison needs it.

    Attributes:
        gap, width: float64 (T,), over the eye distance; nan where no face was found.
        mel: float32 (M, C) of its sound.
        speech: bool (T,), frames in which somebody speaks.
    """

    name: str
    fps: float
    gap: F64
    width: F64
    mel: npt.NDArray[np.float32]
    speech: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Figures:
    """Correlations of one clip on its frames of speech; ``lag`` in frames, positive where the real lips are ahead."""

    clip: str
    speech_frames: int
    own: float
    best: float
    lag: int
    width: float
    loudness: float
    swapped: float
    shifted: float


def main() -> None:
    """Print a table, and JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", type=Path, help="videos with their own sound, or folders of datasets")
    parser.add_argument("--model", default="synth-warp", help="bundle, by name or folder")
    parser.add_argument("--cache", type=Path, help="folder that keeps the tracked lips")
    parser.add_argument("--videos", type=Path, help="folder of rendered videos to measure in place of the network")
    parser.add_argument("--json", type=Path, help="also write the figures of the clips here")
    arguments = parser.parse_args()
    network = LipNetwork(arguments.model)
    for folder in (path for path in arguments.sources if path.is_dir()):
        print(f"{folder.name}: " + ", ".join(f"{k} {v:.3f}" for k, v in of_dataset(folder, network).items()))
    clips = [load_clip(path, arguments.cache) for path in arguments.sources if not path.is_dir()]
    if not clips:
        return
    if arguments.videos:
        figures = [_of_videos(clip, clips, arguments.videos, arguments.cache) for clip in clips]
    else:
        figures = [measure(clip, clips, network) for clip in clips]
    _tell(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(one) for one in figures], indent=1) + "\n")


class LipNetwork:
    """The audio network of a bundle: mel -> opening and width of the inner lips, head units."""

    def __init__(self, model: str) -> None:
        bundle = Bundle.load(model)
        self._manifest = bundle.manifest
        self._engine = bundle.engine("audio2lips")

    def __call__(self, mel: npt.NDArray[np.float32], fps: float, frames: int) -> tuple[F64, F64]:
        """Return opening and width of every frame, float64 (frames,)."""
        spec, window, lips = self._manifest.mel, self._manifest.window, self._manifest.lips
        sides = (window.past_columns + 1, window.columns)
        padded = np.pad(mel, ((0, 0), sides), constant_values=-spec.max_abs)
        first = [window.first_column(Fraction(i) / Fraction(fps).limit_denominator(1001), spec) for i in range(frames)]
        starts = np.clip(np.array(first) + sides[0], 0, padded.shape[1] - window.columns)
        windows = np.stack([padded[:, start : start + window.columns] for start in starts])
        moved = np.concatenate([self._run(windows[k : k + 1]) for k in range(frames)])
        return opening_and_width(moved, lips)

    def _run(self, window: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        lips = np.zeros((1, self._manifest.lips.points, 3), np.float32)
        self._engine.bind({"mel": window, "lips": lips})()
        return lips


def of_dataset(folder: Path, network: LipNetwork) -> dict[str, float]:
    """Compare all clips of a dataset with the network's lips; lengths in head units, the lag in frames."""
    dataset = open_dataset(folder)
    gaps, widths, lags, shut, moved = [], [], [], [], []
    for sample in dataset.read({".json", ".wav", ".lips.npy"}):
        told = json.loads(sample.files[".json"])
        truth = np.load(io.BytesIO(sample.files[".lips.npy"]))
        sound = read_wave(sample.key, sample.files[".wav"], dataset.mel.sample_rate_hz).astype(np.float32) / 32768
        gap, width = network(log_mel(sound, dataset.mel), dataset.fps, len(truth))
        true_gap, true_width = opening_and_width(truth, dataset.lips)
        gaps.append((gap, true_gap))
        widths.append((width, true_width))
        lags.append(max(range(-LARGEST_LAG, LARGEST_LAG + 1), key=lambda k: _moved_correlation(gap, true_gap, k)))
        shut += _closures(told["phonemes"], gap, true_gap, dataset.fps)
        pause = _pauses(told["phonemes"], len(gap), dataset.fps)
        moved.append([np.abs(np.diff(values))[pause[1:]].sum() for values in (gap, true_gap)])
    motion, true_motion = np.sum(moved, 0)
    return {
        "opening": float(np.corrcoef(*np.concatenate(gaps, 1))[0, 1]),
        "width": float(np.corrcoef(*np.concatenate(widths, 1))[0, 1]),
        "median lag": float(np.median(lags)),
        "closures shut": float(np.mean(shut)),
        "closures": float(len(shut)),
        "motion in pauses": float(motion / true_motion),
    }


def opening_and_width(lips: npt.NDArray[np.float32], spec: LipSpec) -> tuple[F64, F64]:
    """Return the opening in the middle, not below 0, and the change of width of lips (T, N, 3), float64 (T,)."""
    inner = lips[:, spec.outer_points :].astype(np.float64)
    half = spec.inner_points // 2
    opening = inner[:, half + half // 2, 1] - inner[:, half // 2, 1]
    return np.maximum(opening, 0.0), inner[:, half, 0] - inner[:, 0, 0]


def _moved_correlation(gap: F64, truth: F64, frames: int) -> float:
    inside = slice(LARGEST_LAG, -LARGEST_LAG)
    a, b = np.roll(gap, -frames)[inside], truth[inside]
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 1e-9 and b.std() > 1e-9 else 0.0


def _closures(phonemes: list[tuple[str, float, float]], gap: F64, truth: F64, fps: float) -> list[bool]:
    """Of every bilabial that is truly shut in some frame: whether it is, within one frame."""
    found = []
    for ipa, start, end in phonemes:
        if any(letter in ipa for letter in BILABIALS):
            first, last = max(0, int(start * fps)), min(len(gap), int(end * fps) + 2)
            if last > first and truth[first:last].min() < TRULY_SHUT:
                found.append(bool(gap[max(0, first - 1) : last + 1].min() < SHUT))
    return found


def _pauses(phonemes: list[tuple[str, float, float]], frames: int, fps: float) -> npt.NDArray[np.bool_]:
    """Frames in which nothing is said, bool (frames,)."""
    pause = np.ones(frames, bool)
    for ipa, start, end in phonemes:
        if ipa.strip("_ :|"):
            pause[int(start * fps) : int(np.ceil(end * fps))] = False
    return pause


def load_clip(path: Path, cache: Path | None) -> RealClip:
    """Track a clip's lips, or take them from the cache, and hear where it speaks."""
    key = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    kept = cache / f"{path.stem}-{key}.npz" if cache else None
    if kept and kept.exists():
        with np.load(kept) as arrays:
            gap, width, fps, sound = arrays["gap"], arrays["width"], float(arrays["fps"]), arrays["sound"]
    else:
        gap, width, fps = _track(path)
        sound = _listen(path)
        if kept and cache:
            cache.mkdir(parents=True, exist_ok=True)
            np.savez(kept, gap=gap, width=width, fps=fps, sound=sound)
    mel = log_mel(sound, MelSpec())
    return RealClip(path.stem, fps, gap, width, mel, _speech(mel, fps, len(gap)) & ~np.isnan(gap))


def _track(path: Path) -> tuple[F64, F64, float]:
    import cv2

    tracker = FaceTracker(None, CropSpec(), LipSpec())
    video = cv2.VideoCapture(str(path))
    fps = float(video.get(cv2.CAP_PROP_FPS))
    rows = []
    while True:
        there, picture = video.read()
        if not there:
            break
        face = tracker.track(picture)
        if face is None:
            rows.append((np.nan, np.nan))
            continue
        points = face.landmarks[:, :2]
        eyes = np.linalg.norm(points[RIGHT_EYE] - points[LEFT_EYE])
        gap = np.linalg.norm(points[UPPER_LIP] - points[LOWER_LIP])
        rows.append((gap / eyes, np.linalg.norm(points[RIGHT_CORNER] - points[LEFT_CORNER]) / eyes))
    gaps, widths = np.array(rows, np.float64).T
    return gaps, widths, fps


def _listen(path: Path) -> npt.NDArray[np.float32]:
    with AudioReader(path) as reader:
        sound = np.concatenate(list(reader.blocks())).mean(1).astype(np.float32)
        return resample(sound, reader.info.sample_rate_hz, MelSpec().sample_rate_hz)


def _level(mel: npt.NDArray[np.float32], fps: float, frames: int) -> F64:
    """Mean of the mel over 200 ms around each frame, float64 (frames,)."""
    padded = np.pad(mel.mean(0), SPEECH_COLUMNS, mode="edge")
    columns = [min(int(i * MelSpec().columns_per_second / fps), mel.shape[1] - 1) for i in range(frames)]
    return np.array([padded[c : c + 2 * SPEECH_COLUMNS].mean() for c in columns], np.float64)


def _speech(mel: npt.NDArray[np.float32], fps: float, frames: int) -> npt.NDArray[np.bool_]:
    level = _level(mel, fps, frames)
    low, high = np.percentile(level, [5, 95])
    return np.asarray(level > low + SPEECH_LEVEL * (high - low))


def measure(clip: RealClip, clips: list[RealClip], network: LipNetwork) -> Figures:
    """Compare one clip with what the network makes of its own and of the other clips' sound."""
    gap, width = network(clip.mel, clip.fps, len(clip.gap))
    others = [_heard(clip, other, network) for other in clips if other.name != clip.name]
    return _figures(clip, gap, width, others)


def _heard(clip: RealClip, other: RealClip, network: LipNetwork) -> F64:
    frames = min(len(clip.gap), int(other.mel.shape[1] / MelSpec().columns_per_second * clip.fps))
    return network(other.mel, clip.fps, frames)[0]


def _of_videos(clip: RealClip, clips: list[RealClip], folder: Path, cache: Path | None) -> Figures:
    own = load_clip(folder / f"{clip.name}.mp4", cache)
    swapped = [folder / f"{clip.name}@{other.name}.mp4" for other in clips]
    others = [load_clip(path, cache).gap for path in swapped if path.exists()]
    frames = min(len(own.gap), len(clip.gap))
    return _figures(clip, own.gap[:frames], own.width[:frames], others)


def _figures(clip: RealClip, gap: F64, width: F64, others: list[F64]) -> Figures:
    shortest = int(np.ceil(SHORTEST_SHIFT_S * clip.fps)) + 1
    lags = {k: _correlation(clip, np.roll(gap, -k)) for k in range(-LARGEST_LAG, LARGEST_LAG + 1)}
    best = max(lags, key=lambda k: lags[k])
    shifts = range(shortest, len(gap) - shortest + 1)
    return Figures(
        clip.name,
        int(clip.speech.sum()),
        own=lags[0],
        best=lags[best],
        lag=best,
        width=_correlation(clip, width, clip.width),
        loudness=_correlation(clip, _level(clip.mel, clip.fps, len(clip.gap))),
        swapped=float(np.mean([_correlation(clip, other) for other in others])) if others else float("nan"),
        shifted=float(np.mean([_correlation(clip, np.roll(gap, k)) for k in shifts])),
    )


def _correlation(clip: RealClip, values: F64, truth: F64 | None = None) -> float:
    """Pearson's correlation on frames of speech that both have."""
    truth = clip.gap if truth is None else truth
    frames = min(len(values), len(truth))
    there = clip.speech[:frames] & ~np.isnan(values[:frames])
    a, b = values[:frames][there], truth[:frames][there]
    if len(a) < 10 or a.std() < 1e-9 or b.std() < 1e-9:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _tell(figures: list[Figures]) -> None:
    columns = ("own", "best", "lag", "width", "loudness", "swapped", "shifted")
    print(f"{'clip':28s} {'speech':>6s} " + " ".join(f"{name:>8s}" for name in columns))
    for one in figures:
        values = " ".join(f"{getattr(one, name):8.2f}" for name in columns)
        print(f"{one.clip:28s} {one.speech_frames:6d} {values}")
    for name, group in (("grid_*", [f for f in figures if f.clip.startswith("grid_")]), ("all", figures)):
        if group:
            print(f"{name:28s} {len(group):6d} " + " ".join(f"{_mean(group, c)[0]:8.2f}" for c in columns))
            print(f"  own {_shown(_mean(group, 'own'))}")
            if not any(np.isnan(one.swapped) for one in group):
                print(f"  own minus swapped {_shown(_interval([one.own - one.swapped for one in group]))}")


def _mean(group: list[Figures], name: str) -> tuple[float, float, float]:
    return _interval([getattr(one, name) for one in group])


def _interval(values: list[Any]) -> tuple[float, float, float]:
    array = np.array(values, np.float64)
    means = array[np.random.default_rng(0).integers(0, len(array), (REPEATS, len(array)))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(array.mean()), float(low), float(high)


def _shown(estimate: tuple[float, float, float]) -> str:
    return f"{estimate[0]:.2f} [{estimate[1]:.2f}, {estimate[2]:.2f}]"


if __name__ == "__main__":
    main()
