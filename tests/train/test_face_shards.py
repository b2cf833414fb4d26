"""Packed shards: the same samples as from the folders they were packed from, and clear words about damage."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.kernels.mel import VALUES_VERSION
from lipforge.kernels.spec import FaceBoxSpec, MelChunkSpec, MelSpec
from lipforge.preprocess.pack import PackOptions, pack
from lipforge.preprocess.shards import write_shard
from lipforge.train.checkpoint import load_checkpoint
from lipforge.train.cli import train
from lipforge.train.face_clips import FaceSet, open_face_clips
from lipforge.train.shards import open_dataset
from lipforge.train.sync_data import SyncData, mismatches
from lipforge.train.wav2lip_data import Wav2LipData

Files = dict[str, bytes]
MakeData = Callable[..., Any]


@pytest.fixture(scope="session")
def packed_root(frame_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clips of ``frame_root`` in shards, not to be changed."""
    root = tmp_path_factory.mktemp("packed") / "data"
    pack(frame_root, root, PackOptions(shard_clips=4))
    return root


@pytest.fixture
def packed(packed_root: Path, tmp_path: Path) -> Path:
    """A copy to be changed."""
    return Path(shutil.copytree(packed_root, tmp_path / "packed"))


def sync_data(faces: FaceSet, **more: Any) -> SyncData:
    settings = {"batch_size": 8, "seed": 3} | more
    return SyncData(faces.training, faces.mel, MelChunkSpec(), faces.fps, **settings)


def generator_data(faces: FaceSet, **more: Any) -> Wav2LipData:
    settings = {"batch_size": 8, "seed": 3, "size_px": 96} | more
    chunks = MelChunkSpec(offset_frames=-1), MelChunkSpec()
    return Wav2LipData(faces.training, faces.mel, faces.fps, *chunks, **settings)


KINDS = pytest.mark.parametrize("make", [sync_data, generator_data])


@KINDS
def test_samples_are_those_of_the_folders(make: MakeData, frame_root: Path, packed_root: Path) -> None:
    folders, shards = open_face_clips(frame_root), open_face_clips(packed_root)
    for first, second in zip((*folders.training, *folders.held_out), (*shards.training, *shards.held_out), strict=True):
        assert first.frames.tolist() == second.frames.tolist()
        assert first.seconds == pytest.approx(second.seconds, abs=0.0126)  # whole columns
        np.testing.assert_array_equal(first.read_frames(14, 5, 96), second.read_frames(14, 5, 96))
    # Only one clip's sound is resampled; there rounding to 16 bits moves quiet columns by a little.
    for number, (first, second) in enumerate(zip(folders.training, shards.training, strict=True)):
        tolerance = 0.05 if number == 1 else 0.0
        np.testing.assert_allclose(first.read_mel(folders.mel), second.read_mel(shards.mel), atol=tolerance, rtol=0)
    one, other = make(folders), make(shards)
    for step in (0, 5):
        batch, again = one.batch(step), other.batch(step)
        assert all(torch.allclose(batch[name], again[name], atol=0.05) for name in batch)
        pictures = "frames" if "frames" in batch else "face"
        assert torch.equal(batch[pictures], again[pictures])


@KINDS
def test_a_rank_takes_its_part_of_the_same_batch(make: MakeData, packed_root: Path) -> None:
    for more in [{}, {"windows_a_clip": 2}] if make is sync_data else [{}]:
        whole = make(open_face_clips(packed_root), **more).batch(7)
        parts = [make(open_face_clips(packed_root), **more).batch(7, part) for part in (slice(0, 4), slice(4, 8))]
        assert all(torch.equal(value, torch.cat([part[name] for part in parts])) for name, value in whole.items())


@KINDS
def test_threads_and_history_change_nothing_but_seed_and_step_do(make: MakeData, frame_root: Path) -> None:
    faces = open_face_clips(frame_root)
    first, second = make(faces), make(faces)
    first.batch(0)
    with ThreadPoolExecutor(3) as pool:
        for step, made in enumerate(pool.map(second.batch, range(6))):
            assert all(torch.equal(value, made[name]) for name, value in first.batch(step).items())
    batch = first.batch(4)
    for other in (first.batch(5), make(faces, seed=4).batch(4)):
        assert not all(torch.equal(value, other[name]) for name, value in batch.items())


def test_each_sound_has_all_other_mouths_of_its_clip(packed_root: Path) -> None:
    data = sync_data(open_face_clips(packed_root), batch_size=24, windows_a_clip=4)
    batch = data.batch(2)
    assert batch["matching"].min() == 1.0
    clips, starts = batch["window"].T
    assert all(len(set(group.tolist())) == 1 for group in clips.split(4)), "four windows of one clip side by side"
    assert len(set(starts.tolist())) > 6
    wrong = mismatches(batch["window"])
    for i in range(24):
        for j in range(24):
            assert wrong[i, j] == (clips[i] == clips[j] and abs(starts[i] - starts[j]) >= 2)
    with pytest.raises(ConfigError, match=r"data\.windows_a_clip=5; loop\.batch_size=24 must be a multiple"):
        sync_data(open_face_clips(packed_root), batch_size=24, windows_a_clip=5)


def test_shards_without_a_split_hold_out_their_last_clips(packed: Path) -> None:
    change_header(packed, lambda header: [shard.pop("split") for shard in header["shards"]])
    faces = open_face_clips(packed, validation_share=0.4)
    assert (len(faces.training), len(faces.held_out)) == (5, 3)
    assert faces.held_out[-1].name.endswith("clip-00000007")


def test_spectrograms_of_another_version_or_recipe_are_made_again(packed: Path) -> None:
    kept = open_face_clips(packed).training[0].read_mel(MelSpec())
    low = open_face_clips(packed).training[0].read_mel(MelSpec(fmin_hz=300.0))
    assert not np.array_equal(kept, low)
    rewrite(packed, "shard-000000.tar", lambda files: files.update({"mel.npy": npy(np.zeros(kept.shape, np.float16))}))
    assert not open_face_clips(packed).training[0].read_mel(MelSpec()).any()
    change_header(packed, lambda header: header.update(mel_version=VALUES_VERSION - 1))
    faces = open_face_clips(packed)
    assert "another version" in faces.notes[0]
    np.testing.assert_array_equal(faces.training[0].read_mel(MelSpec()), kept)


@pytest.mark.parametrize("kind", ["syncnet", "wav2lip"])
def test_trainers_take_them(kind: str, packed_root: Path, frame_root: Path, tmp_path: Path) -> None:
    def call(kind: str, root: Path, name: str, *words: str) -> Path:
        config = Path(str(resources.files("lipforge.train") / "configs" / f"{kind}-tiny.yaml"))
        arguments = [
            kind,
            "--data",
            str(root),
            "--out",
            str(tmp_path / name),
            "--device",
            "cpu",
            "--config",
            str(config),
        ]
        more = ["loop.steps=2", "loop.validate_every=2", "loop.image_every=0", "--device", "cpu"]
        CliRunner().invoke(train, [*arguments, *words, *more], catch_exceptions=False)
        return tmp_path / name

    expert = call("syncnet", packed_root, "expert", "data.windows_a_clip=2")
    words = [] if kind == "syncnet" else ["--syncnet-checkpoint-path", str(expert)]
    packed, folders = call(kind, packed_root, "packed", *words), call(kind, frame_root, "folders", *words)
    first, second = (load_checkpoint(run).state_dict for run in (packed, folders))
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], atol=0.02, rtol=0.02)
    assert load_checkpoint(packed).dataset["samples"] == 8


def test_packed_faces_are_cut_out_as_the_header_says(packed: Path) -> None:
    assert open_face_clips(packed).face_box == FaceBoxSpec(pads_px=(0, 0, 0, 0))
    other = FaceBoxSpec(anchor="alignment", box=(0.1, 0.2, 0.9, 0.8), pads_px=(1, 2, 3, 4))
    change_header(packed, lambda header: header.update(face_box=other.to_dict()))
    assert open_face_clips(packed).face_box == other


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def change_header(root: Path, change: Callable[[dict[str, Any]], object]) -> None:
    header = json.loads((root / "dataset.json").read_text())
    change(header)
    (root / "dataset.json").write_text(json.dumps(header))


def rewrite(root: Path, name: str, change: Callable[[Files], object]) -> None:
    """Change the files of the first sample of a shard."""
    samples: dict[str, Files] = {}
    with tarfile.open(root / name) as tar:
        for member in tar:
            key, _, suffix = member.name.partition(".")
            samples.setdefault(key, {})[suffix] = tar.extractfile(member).read()  # type: ignore[union-attr]
    change(next(iter(samples.values())))
    write_shard(root / name, samples.items())


def cut(root: Path, share: float) -> None:
    shard = root / "shard-000000.tar"
    shard.write_bytes(shard.read_bytes()[: int(share * shard.stat().st_size)])


def in_first(change: Callable[[Files], object]) -> Callable[[Path], None]:
    return lambda root: rewrite(root, "shard-000000.tar", change)


def in_header(**values: object) -> Callable[[Path], None]:
    return lambda root: change_header(root, lambda header: header.update(values))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: cut(root, 0.99), r"shard-000000\.tar: cut short|holds \d samples|damaged"),
        (lambda root: cut(root, 0.6), r"shard-000000\.tar: (cut short|damaged)"),
        (lambda root: cut(root, 0.0), r"shard-000000\.tar: damaged"),
        (lambda root: (root / "shard-000000.tar").write_bytes(b"hello" * 500), r"shard-000000\.tar: damaged"),
        (lambda root: (root / "shard-000001.tar").unlink(), r"shard-000001\.tar: missing"),
        (in_first(lambda files: files.pop("faces.npy")), r"clip-00000000: \.faces\.npy missing"),
        (in_first(lambda files: files.update({"mel.npy": b"hello"})), r"clip-00000000\.mel\.npy: damaged"),
        (in_first(lambda files: files.update({"mel.npy": files["mel.npy"][:-9]})), r"mel\.npy: damaged \(wrong length"),
        (
            in_first(lambda files: files.update({"faces.npy": npy(np.zeros((9, 3, 96, 96), np.float32))})),
            r"faces\.npy: float32 \(9, 3, 96, 96\), expected uint8 \(30, 3, 96, 96\)",
        ),
        (
            in_first(lambda files: files.update({"frames.npy": npy(np.zeros(30, np.int32))})),
            "frame numbers do not ascend",
        ),
        (in_header(fps=30), "30 frames a second; the Wav2Lip networks are made for 25"),
        (in_header(faces={}), "key missing or of the wrong type"),
        (in_header(schema=9), "has schema 9"),
        (in_header(shards=[{"name": "shard-000000.tar", "samples": 4, "split": "test"}]), "split 'test'"),
        (in_header(shards=[{"name": "shard-000000.tar", "samples": 4, "split": "train"}]), "4 clips for training, 0"),
    ],
)
def test_damage_is_named(packed: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(packed)
    with pytest.raises(InputError, match=message):
        open_face_clips(packed)


def test_other_datasets_are_told_apart(data_root: Path, packed_root: Path) -> None:
    with pytest.raises(InputError, match="no pictures of faces; `lipforge preprocess pack` writes"):
        open_face_clips(data_root)
    with pytest.raises(InputError, match="key missing"):
        open_dataset(packed_root)


def test_frames_that_are_not_there(packed_root: Path) -> None:
    clip = open_face_clips(packed_root).training[2]  # frame 12 is missing
    with pytest.raises(InputError, match="has no frames 10 to 14 in a row"):
        clip.read_frames(10, 5, 96)
    with pytest.raises(InputError, match="has no frames 27 to 31 in a row"):
        clip.read_frames(27, 5, 96)
    with pytest.raises(InputError, match="crops of 96 px, the networks take 128"):
        clip.read_frames(0, 5, 128)
