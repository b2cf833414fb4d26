"""Samples for the Wav2Lip trainers, one worker: the published ``__getitem__`` beside ours, on the same clips.

The peer does what the published data sets do for every item: list the folder, choose windows, read and scale 5 or 10
pictures, read the whole sound and make its whole spectrogram, all with their libraries (librosa) and number formats.
Ours makes whole batches, so that the copy into the batch, which the peer leaves to the collating, is in its time.

    taskset -c 1 pytest benchmarks/bench_loader.py --benchmark-enable --benchmark-only
    taskset -c 1 python benchmarks/bench_loader.py      # a table of paired rounds

With ``OMP_NUM_THREADS=1``; where other work disturbs, ``--benchmark-timer=time.process_time`` (the table has CPU time).
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from glob import glob
from os.path import dirname, isfile, join
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipforge.kernels.spec import MelChunkSpec
from lipforge.preprocess.face_samples import encode_wav
from lipforge.preprocess.pack import PackOptions, pack
from lipforge.train.face_clips import FaceSet, open_face_clips
from lipforge.train.sync_data import SyncData
from lipforge.train.wav2lip_data import Wav2LipData

CLIPS, FRAMES, SECONDS, ITEMS = 12, 125, 5, 16
PICTURES = {"syncnet": 5, "generator": 10}
WAYS = ("published", "folders", "packed")
MakeItems = Callable[[int], object]


def write_clips(root: Path) -> Path:
    """Write clips as a face detector leaves them: 125 JPEGs of 96 to 150 px, some 11 kB each, and 5 s of sound."""
    generator = np.random.default_rng(0)
    for number in range(CLIPS):
        folder = root / "main" / f"{number:03d}"
        folder.mkdir(parents=True)
        noise = generator.normal(0, 1, (170, 170, 3)).astype(np.float32)
        face = 128 + 250 * cv2.GaussianBlur(noise, (0, 0), 4.0) + 60 * cv2.GaussianBlur(noise, (0, 0), 0.8)
        for frame in range(FRAMES):
            width, height = 96 + (frame * 7 + number) % 40, 110 + (frame * 5 + number) % 40
            picture = np.clip(face[frame % 20 : frame % 20 + height, number : number + width], 0, 255)
            cv2.imwrite(str(folder / f"{frame}.jpg"), picture.astype(np.uint8))
        sound = (generator.normal(0, 4000, SECONDS * 16_000)).clip(-32768, 32767).astype(np.int16)
        (folder / "audio.wav").write_bytes(encode_wav(sound, 16_000))
    names = [f"main/{number:03d}\n" for number in range(CLIPS)]
    (root / "filelists").mkdir()
    (root / "filelists" / "train.txt").write_text("".join(names[:-1]))
    (root / "filelists" / "val.txt").write_text(names[-1])
    return root


class Published:
    """What the published data sets do for an item, in our words."""

    def __init__(self, root: Path) -> None:
        self._librosa = pytest.importorskip("librosa", reason="librosa is not installed; it is only a peer here")
        self._signal = pytest.importorskip("scipy.signal", reason="scipy is not installed; it is only a peer here")
        self._torch = pytest.importorskip("torch", reason="torch is not installed")
        self._folders = [str(folder) for folder in sorted((root / "main").iterdir())[:-1]]
        self._filters = self._librosa.filters.mel(sr=16_000, n_fft=800, n_mels=80, fmin=55, fmax=7600)

    def syncnet(self) -> object:
        while True:
            folder, start, other = self._choose()
            if other is None:
                continue
            matching = random.choice([True, False])
            window = self._read(start if matching else other)
            if window is None:
                continue
            mel = self._crop(self._mel(folder), self._number(start))
            if mel.shape[0] != 16:
                continue
            x = np.concatenate(window, axis=2) / 255.0
            x = x.transpose(2, 0, 1)[:, x.shape[0] // 2 :]
            tensor = self._torch.FloatTensor
            return tensor(x), tensor(mel.T).unsqueeze(0), self._torch.ones(1).float() * float(matching)

    def generator(self) -> object:
        while True:
            folder, start, other = self._choose()
            if other is None:
                continue
            window, wrong = self._read(start), self._read(other)
            if window is None or wrong is None:
                continue
            whole = self._mel(folder)
            mel, each = self._crop(whole, self._number(start)), self._segments(whole, self._number(start))
            if mel.shape[0] != 16 or each is None:
                continue
            truth, reference = (np.transpose(np.asarray(w) / 255.0, (3, 0, 1, 2)) for w in (window, wrong))
            y = truth.copy()
            truth[:, :, truth.shape[2] // 2 :] = 0.0
            tensor = self._torch.FloatTensor
            x = tensor(np.concatenate([truth, reference], axis=0))
            return x, tensor(each).unsqueeze(1), tensor(mel.T).unsqueeze(0), tensor(y)

    def _choose(self) -> tuple[str, str, str | None]:
        folder = self._folders[random.randint(0, len(self._folders) - 1)]
        pictures = list(glob(join(folder, "*.jpg")))
        if len(pictures) <= 3 * 5:
            return folder, "", None
        start = other = random.choice(pictures)
        while other == start:
            other = random.choice(pictures)
        return folder, start, other

    @staticmethod
    def _number(path: str) -> int:
        return int(path.rsplit("/", 1)[-1].split(".")[0])

    def _read(self, start: str) -> list[np.ndarray] | None:
        paths = [join(dirname(start), f"{self._number(start) + k}.jpg") for k in range(5)]
        if not all(isfile(path) for path in paths):
            return None
        return [cv2.resize(cv2.imread(path), (96, 96)) for path in paths]

    def _mel(self, folder: str) -> np.ndarray:
        audio = self._librosa.load(join(folder, "audio.wav"), sr=16_000)[0]
        spectrum = self._librosa.stft(
            y=self._signal.lfilter([1, -0.97], [1], audio), n_fft=800, hop_length=200, win_length=800
        )
        level = 20 * np.log10(np.maximum(1e-5, np.dot(self._filters, np.abs(spectrum)))) - 20
        return np.clip(8.0 * ((level + 100) / 100) - 4.0, -4.0, 4.0).T

    @staticmethod
    def _crop(mel: np.ndarray, frame: int) -> np.ndarray:
        first = int(80.0 * (frame / 25.0))
        return mel[first : first + 16]

    def _segments(self, mel: np.ndarray, frame: int) -> np.ndarray | None:
        if frame < 1:
            return None
        parts = [self._crop(mel, frame + 1 + k - 2) for k in range(5)]
        return np.asarray([part.T for part in parts]) if all(len(part) == 16 for part in parts) else None


@dataclass(frozen=True)
class Ours:
    """Both kinds of batches from one set of clips."""

    faces: FaceSet

    def make(self, kind: str) -> MakeItems:
        settings = {"batch_size": ITEMS, "seed": 0}
        recipe = self.faces.training, self.faces.mel
        if kind == "syncnet":
            return SyncData(*recipe, MelChunkSpec(), self.faces.fps, **settings).batch
        chunks = MelChunkSpec(offset_frames=-1), MelChunkSpec()
        return Wav2LipData(*recipe, self.faces.fps, *chunks, size_px=96, **settings).batch


def item_makers(folder: Path) -> dict[tuple[str, str], MakeItems]:
    """Return functions that make ``ITEMS`` items, by (kind, way)."""
    root = write_clips(folder / "preprocessed")
    pack(root, folder / "packed", PackOptions())
    peer, opened = Published(root), {"folders": open_face_clips(root), "packed": open_face_clips(folder / "packed")}
    makers: dict[tuple[str, str], MakeItems] = {}
    for kind in PICTURES:
        item = getattr(peer, kind)
        makers[kind, "published"] = lambda _, item=item: [item() for _ in range(ITEMS)]  # type: ignore[misc]
        for way, faces in opened.items():
            makers[kind, way] = Ours(faces).make(kind)
    for make in makers.values():
        for step in range(3):  # spectrograms are made once, and files come from memory for everyone
            make(step)
    return makers


@pytest.fixture(scope="module")
def makers(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], MakeItems]:
    return item_makers(tmp_path_factory.mktemp("loader"))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", PICTURES)
def bench_items(benchmark, makers, kind: str, way: str) -> None:
    benchmark.group = f"{ITEMS} {kind} items"
    benchmark.extra_info["pictures an item"] = PICTURES[kind]
    step = iter(range(10**9))
    benchmark(lambda: makers[kind, way](next(step)))


def print_table(rounds: int) -> None:
    """Measure in turns and print CPU time, rates and how often ours is faster: medians over paired rounds."""
    with tempfile.TemporaryDirectory() as folder:
        cv2.setNumThreads(1)
        makers = item_makers(Path(folder))
        print("| item | way | ms | items/s | pictures/s | against published: median (least) |\n|-|-|-|-|-|-|")
        for kind, pictures in PICTURES.items():
            times: dict[str, list[float]] = {way: [] for way in WAYS}
            for step in range(rounds):
                for way in WAYS:
                    started = time.process_time()
                    makers[kind, way](step)
                    times[way].append((time.process_time() - started) / ITEMS)
            for way in WAYS:
                rate = 1.0 / statistics.median(times[way])
                ratios = [peer / own for peer, own in zip(times["published"], times[way], strict=True)]
                gain = f"{statistics.median(ratios):.1f}x ({min(ratios):.1f}x)"
                print(f"| {kind} | {way} | {1e3 / rate:.2f} | {rate:.0f} | {rate * pictures:.0f} | {gain} |")


if __name__ == "__main__":
    print_table(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
