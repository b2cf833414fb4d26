"""Judging of many files: finds references and the expert, goes through the videos, collects a report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lipforge.kernels.errors import InputError
from lipforge.kernels.spec import CropSpec, LipSpec
from lipforge.runtime.bundle import Bundle, shipped_bundles
from lipforge.runtime.evaluate.closures import closures_of_phonemes
from lipforge.runtime.evaluate.judgement import Judgement, TimedClosures, judge_swapped, judge_video
from lipforge.runtime.evaluate.observation import MakeTracker, Observation, observe
from lipforge.runtime.evaluate.phoneme_times import align, truth_beside
from lipforge.runtime.evaluate.report import Report
from lipforge.runtime.evaluate.sync_expert import DEFAULT_EXPERT, Expert
from lipforge.runtime.evaluate.written_files import check_writable
from lipforge.runtime.media.container import check_file

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm", ".mpg", ".mpeg", ".ts", ".flv", ".wmv"})


@dataclass(frozen=True)
class Job:
    """What to judge.

    Attributes:
        videos: files, or folders of them.
        reference: one reference for all of them.
        reference_folder: or a folder with one for each.
        expert: folder or name of a bundle; None takes the shipped one, if there is one.
        threads: threads inside a network.
        transcript: what is said: words, a text file with them, or a folder with text files named as the videos.
    """

    videos: tuple[Path, ...]
    reference: Path | None = None
    reference_folder: Path | None = None
    expert: str | None = None
    threads: int = 1
    transcript: str | None = None

    def check_outputs(self, paths: list[Path], *, overwrite: bool) -> None:
        """Check the files that will be written at the end, before any work.

        Raises:
            InputError: one cannot be written.
        """
        for path in paths:
            check_writable(path, [*self.videos, *filter(None, [self.reference])], overwrite=overwrite)

    def pairs(self) -> list[tuple[Path, Path | None]]:
        """Return every video with its reference.

        Raises:
            InputError: a video or reference is missing, a folder holds no video, or both kinds of reference are given.
        """
        if self.reference is not None and self.reference_folder is not None:
            raise InputError("--reference and --reference-folder: give one of them.")
        if self.reference is not None:
            check_file(self.reference, "--reference")
        videos = [video for given in self.videos for video in _videos_of(given)]
        return [(video, self._reference_of(video)) for video in videos]

    def texts(self) -> dict[Path, str]:
        """Return what each video says, for those of which it is known.

        Raises:
            InputError: a transcript cannot be read.
        """
        if self.transcript is None:
            return {}
        videos, given = [video for video, _ in self.pairs()], Path(self.transcript)
        if given.is_dir():
            texts = {video: given / f"{video.stem}.txt" for video in videos}
            return {video: _read_text(path) for video, path in texts.items() if path.exists()}
        text = _read_text(given) if self.transcript.endswith(".txt") else self.transcript
        return dict.fromkeys(videos, text)

    def _reference_of(self, video: Path) -> Path | None:
        if self.reference_folder is None:
            return self.reference
        if not self.reference_folder.is_dir():
            raise InputError(f"--reference-folder {self.reference_folder}: no such folder.")
        found = [file for file in _videos_in(self.reference_folder) if file.stem == video.stem]
        if len(found) != 1:
            what = "no video" if not found else f"{len(found)} videos"
            raise InputError(
                f"--reference-folder {self.reference_folder}: holds {what} called {video.stem}.*, the reference of "
                f"{video}. A reference has the name of its video; only the ending may differ."
            )
        return found[0]


def run(
    job: Job,
    on_progress: Callable[[int, int], None],
    on_message: Callable[[str], None],
    make_tracker: MakeTracker | None = None,
) -> Report:
    """Judge the videos of a job, one after another.

    Of several videos, one that cannot be judged is reported and the others go on.

    Args:
        job: the files.
        on_progress: called with thousandths of the work that are done, and 1000.
        on_message: called with what the user should know.
        make_tracker: gives face trackers; the default ones fetch their models on first use.

    Raises:
        InputError: a file is not usable; of several videos, all are not.
        ConfigError: the expert is not one.
        BackendError: it cannot be run.
    """
    pairs = job.pairs()
    expert, said = load_expert(job)
    make = make_tracker or face_trackers(on_message)
    texts = job.texts()
    judgements: list[Judgement] = []
    faults: dict[str, str] = {}
    for number, (video, reference) in enumerate(pairs):

        def show(done: int, expected: int, number: int = number) -> None:
            share = min(done / expected, 1.0) if expected else 0.5
            on_progress(int(1000 * (number + share) / len(pairs)), 1000)

        try:
            seen = observe(video, reference, make, expert, show)
            judgements.append(judge_video(seen, _timed_closures(seen, texts.get(video))))
        except InputError as error:
            if len(pairs) == 1:
                raise
            faults[str(video)] = str(error)
    if not judgements:
        raise InputError(f"none of the {len(pairs)} videos could be judged: {next(iter(faults.values()))}")
    judge_swapped(judgements)
    return Report(judgements, said, faults)


def load_expert(job: Job) -> tuple[Expert | None, str]:
    """Return the expert and what a report says of it; None if none is named and none is shipped.

    Raises:
        InputError: there is no such bundle.
        ConfigError: it holds no expert.
        BackendError: it cannot be run.
    """
    named = job.expert or (DEFAULT_EXPERT if DEFAULT_EXPERT in shipped_bundles() else None)
    if named is None:
        return None, ""
    bundle = Bundle.load(named, option="--expert")
    where = "shipped" if named in shipped_bundles() else str(bundle.folder)
    return Expert(bundle, job.threads), f"{bundle.manifest.name} ({where})"


def face_trackers(on_message: Callable[[str], None]) -> MakeTracker:
    """Return what makes trackers; their models are fetched once, with a message."""
    from lipforge.runtime.faces import FaceTracker, face_models

    models = face_models(on_message)
    return lambda: FaceTracker(models, CropSpec(), LipSpec())


def _timed_closures(seen: Observation, text: str | None) -> TimedClosures | None:
    """Return when lips have to shut in a video, by what is known best; None leaves it to the reference's lips."""
    if text is not None:
        phonemes = align(seen.samples, text)
        return TimedClosures(closures_of_phonemes(phonemes), "transcript, aligned")
    true = truth_beside(seen.path)
    return None if true is None else TimedClosures(closures_of_phonemes(true), f"{seen.path.stem}.json")


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"--transcript {path}: no such file. It holds the words that the video says.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"--transcript {path}: is no text file.") from error


def _videos_of(given: Path) -> list[Path]:
    if not given.is_dir():
        return [check_file(given, "video")]
    found = _videos_in(given)
    if not found:
        raise InputError(f"{given}: holds no video ({', '.join(sorted(VIDEO_SUFFIXES))}).")
    return found


def _videos_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in VIDEO_SUFFIXES and file.is_file())
