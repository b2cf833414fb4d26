"""Preprocessed video in the published layout -> shards of face clips, in parallel and resumable."""

from __future__ import annotations

import functools
import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lipforge.kernels.errors import InputError
from lipforge.kernels.spec import MelSpec
from lipforge.preprocess.face_samples import face_files, faces_header, to_int16
from lipforge.preprocess.published_layout import FPS, FrameFolder, look_at, read_lists, read_picture, scaled
from lipforge.preprocess.shards import is_whole, read_description, shard_name, write_description, write_shard
from lipforge.runtime.commands.progress import Show, progress_shown

LEAST_FRAMES = 5  # what the networks see at a time
DAMAGED_PICTURES = "pictures damaged (frames left out, not clips)"
Files = dict[str, bytes]


@dataclass(frozen=True)
class PackOptions:
    """How to pack.

    Attributes:
        filelists: folder of ``train.txt`` and ``val.txt``; None means ``filelists`` below the root.
        shard_clips: clips of the lists that one shard takes.
        workers: threads; they do not change the result.
    """

    filelists: Path | None = None
    shard_clips: int = 200
    workers: int = 1


@dataclass(frozen=True)
class PackOutcome:
    """What a dataset holds in the end: its clips, and how many were left out, by reason."""

    clips: int
    skipped: dict[str, int]


@dataclass
class _Shard:
    """One shard: which clips it takes; once it is whole, its entry in ``dataset.json``."""

    name: str
    split: str
    first: int
    clips: list[str]
    entry: dict[str, Any] | None = None
    skipped: Counter[str] = field(default_factory=Counter)


def pack(root: Path, out: Path, options: PackOptions) -> PackOutcome:
    """Write the dataset; shards that are already whole are kept. Nothing in ``root`` is changed.

    Clips that are of no use are left out and counted by reason.

    Raises:
        InputError: ``root`` is not in the published layout, or ``out`` holds another dataset.
    """
    names, fingerprint = read_lists(root, options.filelists)
    identity = {"lists": fingerprint, "shard_clips": options.shard_clips}
    generator = {"name": "pack", "version": metadata.version("lipforge"), **identity}
    shards = _plan(names, options.shard_clips)
    out.mkdir(parents=True, exist_ok=True)
    _take_up(out, shards, identity)

    def describe() -> None:
        entries = [shard.entry for shard in shards if shard.entry]
        mel = {"mel": MelSpec().to_dict()}
        write_description(out, {"generator": generator, "fps": FPS, **mel, **faces_header(), "shards": entries})

    describe()
    total, done = sum(len(s.clips) for s in shards), sum(len(s.clips) for s in shards if s.entry)
    with progress_shown("packing clips") as show, ThreadPoolExecutor(options.workers) as pool:
        show(done, total)
        for shard in (s for s in shards if s.entry is None):
            samples = _pack_shard(pool, options.workers, root, shard, _Counted(show, done, total))
            written = write_shard(out / shard.name, samples)
            shard.entry = {"name": shard.name, "samples": written, "split": shard.split, "skipped": dict(shard.skipped)}
            describe()
            done += len(shard.clips)
    return _outcome(out, shards)


def _plan(names: dict[str, list[str]], shard_clips: int) -> list[_Shard]:
    shards: list[_Shard] = []
    first = 0
    for split, clips in names.items():
        for start in range(0, len(clips), shard_clips):
            part = clips[start : start + shard_clips]
            shards.append(_Shard(shard_name(len(shards)), split, first + start, part))
        first += len(clips)
    return shards


def _take_up(out: Path, shards: list[_Shard], identity: dict[str, Any]) -> None:
    """Find the shards that an earlier run finished: listed and whole."""
    if not (out / "dataset.json").exists():
        return
    old = read_description(out)
    made_with = old.get("generator", {})
    if made_with.get("name") != "pack" or any(made_with.get(key) != value for key, value in identity.items()):
        raise InputError(f"{out} holds a dataset of other clips or with other options. Name another folder.")
    if any(old.get(key) != value for key, value in faces_header().items()):
        raise InputError(f"{out} was packed by another version of lipforge. Name another folder.")
    listed = {entry["name"]: entry for entry in old["shards"]}
    for shard in shards:
        if shard.name in listed and is_whole(out / shard.name, int(listed[shard.name]["samples"])):
            shard.entry = listed[shard.name]


def _pack_shard(
    pool: ThreadPoolExecutor, workers: int, root: Path, shard: _Shard, tell: Callable[[], None]
) -> Iterator[tuple[str, Files]]:
    jobs = (functools.partial(pack_clip, root, name) for name in shard.clips)
    for place, (files, reasons) in enumerate(_ahead(pool, jobs, 2 * workers)):
        shard.skipped.update(reasons)
        if files is not None:
            yield f"clip-{shard.first + place:08d}", files
        tell()


def _ahead(
    pool: ThreadPoolExecutor, jobs: Iterable[Callable[[], tuple[Files | None, Counter[str]]]], depth: int
) -> Iterator[tuple[Files | None, Counter[str]]]:
    """Yield results in order, with no more than ``depth`` jobs ahead of the reader: a clip has megabytes."""
    waiting: deque[Future[tuple[Files | None, Counter[str]]]] = deque()
    for job in jobs:
        waiting.append(pool.submit(job))
        if len(waiting) >= depth:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def pack_clip(root: Path, name: str) -> tuple[Files | None, Counter[str]]:
    """Return a clip's files by suffix, or None, and what was left out, by reason."""
    clip = look_at(root / name)
    if isinstance(clip, str):
        return None, Counter({clip: 1})
    mel, skipped = MelSpec(), Counter[str]()
    try:
        samples = to_int16(clip.read_sound(mel.sample_rate_hz))
    except InputError:
        return None, Counter({"sound damaged": 1})
    faces, frames = _read_faces(clip)
    if len(frames) < len(clip.frames):
        skipped[DAMAGED_PICTURES] += len(clip.frames) - len(frames)
    if not _has_a_window(frames) or len(samples) <= mel.n_fft:
        return None, skipped + Counter({f"less than {LEAST_FRAMES} frames in a row": 1})
    meta = {"schema": 1, "fps": FPS, "frames": int(frames[-1]) + 1, "source": name}
    return {"json": json.dumps(meta).encode(), **face_files(faces, frames, samples, mel)}, skipped


def _read_faces(clip: FrameFolder) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """Return the pictures that can be decoded, uint8 (K, S, S, 3) RGB, and their numbers."""
    size = int(faces_header()["faces"]["size_px"])
    pictures, numbers = [], []
    for number in clip.frames.tolist():
        picture = read_picture(clip.folder / f"{number}.jpg")
        if picture is not None:
            pictures.append(scaled(picture, size)[..., ::-1])
            numbers.append(number)
    empty = np.zeros((0, size, size, 3), np.uint8)
    return np.stack(pictures) if pictures else empty, np.array(numbers, np.int32)


def _has_a_window(frames: npt.NDArray[np.int32]) -> bool:
    last = LEAST_FRAMES - 1
    return len(frames) > last and bool((frames[last:] - frames[:-last] == last).any())


class _Counted:
    """Shows one clip more each time it is called."""

    def __init__(self, show: Show, done: int, total: int) -> None:
        self._show, self._done, self._total = show, done, total

    def __call__(self) -> None:
        self._done += 1
        self._show(self._done, self._total)


def _outcome(out: Path, shards: list[_Shard]) -> PackOutcome:
    skipped, counts = Counter[str](), Counter[str]()
    for shard in shards:
        assert shard.entry is not None
        counts[shard.split] += shard.entry["samples"]
        skipped.update(shard.entry["skipped"])
    for split in ("train", "val"):
        if not counts[split]:
            raise InputError(f"{out}: none of the clips of {split}.txt is usable ({dict(skipped)}).")
    return PackOutcome(sum(counts.values()), dict(skipped))
