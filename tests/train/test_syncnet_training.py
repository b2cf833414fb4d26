"""The sync expert's data and trainer, on clips in the published layout."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.kernels.mel import log_mel
from lipforge.kernels.spec import FaceBoxSpec, MelChunkSpec, MelSpec
from lipforge.train.checkpoint import build_model, load_checkpoint, load_training_state
from lipforge.train.cli import train
from lipforge.train.clip_windows import usable_starts
from lipforge.train.config import load_config
from lipforge.train.device import open_device
from lipforge.train.frame_folders import FolderClip, open_frame_folders
from lipforge.train.loop import Loop, RunOptions
from lipforge.train.pth_exchange import export_pth
from lipforge.train.sync_data import SyncData
from lipforge.train.syncnet_task import SyncNetTask, compare_all
from lipforge.train.wav2lip_config import SyncNetConfig

CONFIG = Path(str(resources.files("lipforge.train") / "configs" / "syncnet-tiny.yaml"))
QUICK = ["loop.steps=6", "loop.save_every=3", "loop.validate_every=6", "loop.log_every=2"]
CHUNK = MelChunkSpec()


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def open_data(root: Path, *, batch_size: int = 32) -> SyncData:
    folders = open_frame_folders(root)
    return SyncData(folders.training, folders.mel, CHUNK, folders.fps, batch_size=batch_size, seed=0)


def call(root: Path, out: Path, *words: str) -> str:
    arguments = ["syncnet", "--data_root", str(root), "--checkpoint_dir", str(out), "--device", "cpu", *words]
    return CliRunner().invoke(train, arguments, catch_exceptions=False).stdout


def clip_of(frames: list[int], seconds: float = 9.0) -> FolderClip:
    return FolderClip(Path("clip"), np.array(frames, np.int64), seconds)


def test_lists_and_clips_are_read(frame_root: Path) -> None:
    folders = open_frame_folders(frame_root)
    assert [len(folders.training), len(folders.held_out), folders.skipped] == [6, 2, {}]
    assert len(folders.training[2].frames) == 29
    sounds = [clip.read_sound(16_000) for clip in folders.training[:2]]
    assert len(sounds[0]) == 19_200
    assert abs(len(sounds[1]) - 19_200) <= 32  # resampled from 44.1 kHz, two channels
    assert 0.2 < np.abs(sounds[1]).max() < 0.5


def test_windows_have_all_frames_and_all_sound() -> None:
    def starts(clip: FolderClip) -> list[int]:
        return usable_starts(clip, MelSpec(), CHUNK, 25.0).tolist()

    assert starts(clip_of(list(range(8)))) == [0, 1, 2, 3]
    assert starts(clip_of([0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12])) == [0, 1, 7, 8]
    assert starts(clip_of(list(range(20)), seconds=0.5)) == [0, 1, 2, 3, 4, 5, 6, 7]  # 40 columns: 16 from 3.2 i on
    assert starts(clip_of(list(range(6)))) == []  # two windows, one frame apart: no mismatch to show
    assert starts(clip_of(list(range(7)))) == [0, 2]
    assert starts(clip_of([0, 1, 2])) == starts(clip_of([])) == []


def test_samples_are_the_published_ones(frame_root: Path) -> None:
    """Against the published ``__getitem__`` in its own words, for a matching window."""
    folders = open_frame_folders(frame_root)
    data = open_data(frame_root)
    clip = folders.training[0]
    start = int(usable_starts(clip, MelSpec(), CHUNK, 25.0)[7])
    batch = data.assemble(np.array([7]), np.array([True]), np.random.default_rng(0))
    window = [cv2.resize(cv2.imread(str(clip.folder / f"{start + k}.jpg")), (96, 96)) for k in range(5)]
    x = (np.concatenate(window, axis=2) / 255.0).transpose(2, 0, 1)[:, 96 // 2 :]
    np.testing.assert_allclose(batch["frames"][0].numpy(), x, atol=1e-6)
    mel = log_mel(clip.read_sound(16_000), MelSpec())[:, int(80.0 * start / 25.0) :][:, :16]
    np.testing.assert_allclose(batch["mel"][0, 0].numpy(), mel, atol=2e-3)  # kept as float16


def test_batches_depend_on_seed_and_step_only(frame_root: Path) -> None:
    first, second = open_data(frame_root), open_data(frame_root)
    first.batch(0)
    batch, again = first.batch(3), second.batch(3)
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    assert batch["mel"].shape == (32, 1, 80, 16)
    assert batch["frames"].shape == (32, 15, 48, 96)
    assert 0 < batch["matching"].sum() < 32


def test_mismatches_are_never_within_one_frame(frame_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, shown = open_data(frame_root), list[int]()

    def read_frames(clip: FolderClip, first: int, count: int, size_px: int) -> np.ndarray:
        shown.append(first)
        return np.zeros((count, 3, size_px, size_px), np.uint8)

    monkeypatch.setattr(FolderClip, "read_frames", read_frames)
    rows = np.arange(len(data))
    for match in (True, False):
        data.assemble(rows, np.full(len(rows), match), np.random.default_rng(0))
    true, other = np.split(np.array(shown), 2)
    assert np.abs(true - other).min() >= 2
    assert (other > true).any()
    assert (other < true).any()


def test_unusable_clips_are_counted(frame_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(frame_root, root)
    (root / "main" / "000" / "audio.wav").unlink()
    (root / "main" / "001" / "audio.wav").write_bytes(b"RIFF")
    for path in (root / "main" / "003").glob("*.jpg"):
        path.unlink()
    with (root / "filelists" / "train.txt").open("a") as file:
        file.write("main/gone\n")
    folders = open_frame_folders(root)
    assert folders.skipped == {"no readable audio.wav": 2, "no folder": 1}
    data = SyncData(folders.training, folders.mel, CHUNK, 25.0, batch_size=2, seed=0)
    assert data.unused_clips == 1
    task = SyncNetTask(folders, load_config(SyncNetConfig, file=CONFIG))
    assert set(task.notes) == {
        "2 clips skipped: no readable audio.wav",
        "1 clips skipped: no folder",
        "1 clips skipped: too short",
    }
    (root / "main" / "002" / "5.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"002/5\.jpg: missing or damaged"):
        folders.training[0].read_frames(3, 5, 96)


def test_folders_that_are_none(frame_root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        open_frame_folders(tmp_path / "gone")
    with pytest.raises(InputError, match=r"train\.txt: no such list"):
        open_frame_folders(tmp_path)
    lists = tmp_path / "lists"
    lists.mkdir()
    for name in ("train.txt", "val.txt"):
        (lists / name).write_text("main/999\n")
    with pytest.raises(InputError, match=r"none of its 1 clips is usable \({'no folder': 1}\)"):
        open_frame_folders(frame_root, lists)
    short = FolderClip(frame_root / "x", np.arange(6), 1.0)
    with pytest.raises(InputError, match=r"none of 1 clips, such as .*x, has two windows"):
        SyncData([short], MelSpec(), CHUNK, 25.0, batch_size=2, seed=0)


def test_train_use_and_exchange(frame_root: Path, tmp_path: Path) -> None:
    said = call(frame_root, tmp_path / "run", "--config", str(CONFIG), *QUICK)
    folder = tmp_path / "run" / "step-00000006"
    assert said.split("\n")[-2] == str(folder)
    checkpoint = load_checkpoint(folder)
    assert (checkpoint.kind, checkpoint.step, checkpoint.dataset["samples"]) == ("syncnet", 6, 8)
    assert checkpoint.spec("mel_chunk", MelChunkSpec).offset_frames == 0
    assert checkpoint.spec("face_box", FaceBoxSpec).pads_px == (0, 0, 0, 0)  # who judges with it has to cut the same
    export_pth(folder, tmp_path / "expert.pth")
    words = ["--checkpoint_path", str(tmp_path / "expert.pth"), "loop.steps=1", "loop.learning_rate=1e-12"]
    call(frame_root, tmp_path / "more", "--config", str(CONFIG), *words)
    # One step that moves nothing: the weights are those of the file.
    now, before = build_model(load_checkpoint(tmp_path / "more")), build_model(checkpoint)
    for first, second in zip(now.parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(first, second, atol=1e-6, rtol=0)
    with pytest.raises(ConfigError, match="other sizes"):
        call(frame_root, tmp_path / "wide", *words, "model.embedding=24", "loop.batch_size=2")


def test_resume_is_exact(frame_root: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    call(frame_root, run, "--config", str(CONFIG), *QUICK)
    whole = load_checkpoint(run), load_training_state(run / "step-00000006")
    (run / "last.json").write_text('{"checkpoint": "step-00000003"}')
    call(frame_root, run, "--resume")
    again = load_checkpoint(run), load_training_state(run / "step-00000006")
    assert all(torch.equal(value, again[0].state_dict[name]) for name, value in whole[0].state_dict.items())
    first, second = (state["learners"]["syncnet"]["optimiser"]["state"] for _, state in (whole, again))
    assert all(torch.equal(first[key]["exp_avg_sq"], second[key]["exp_avg_sq"]) for key in first)
    with pytest.raises(ConfigError, match="exclude each other"):
        call(frame_root, run, "--resume", "--checkpoint-path", str(run))


def test_validation_and_rows_are_the_same_every_time(frame_root: Path) -> None:

    task = SyncNetTask(open_frame_folders(frame_root), load_config(SyncNetConfig, file=CONFIG))
    network = task.networks["syncnet"].eval()
    whole = task.batch(3)
    assert all(torch.equal(value, whole[name][2:5]) for name, value in task.rows_of_batch(3, slice(2, 5)).items())
    metrics = task.validate(network, open_device("cpu"))
    assert metrics == task.validate(network, open_device("cpu"))
    assert metrics["loss"] == pytest.approx((metrics["matching_loss"] + metrics["mismatch_loss"]) / 2, abs=1e-5)
    assert metrics["loss"].low <= metrics["loss"] <= metrics["loss"].high


def test_all_sounds_with_all_mouths_of_their_clips() -> None:
    """Against a loop over pairs, each by the published loss."""
    torch.manual_seed(0)
    sounds, mouths = (torch.nn.functional.normalize(torch.rand(6, 8), dim=1) for _ in range(2))
    windows = torch.tensor([[0, 0], [0, 1], [0, 5], [3, 0], [3, 2], [3, 2]])
    parts = compare_all(sounds, mouths, windows, scale=16.0)
    cosine = sounds @ mouths.T
    wrong = {(0, 2), (1, 2), (2, 0), (2, 1), (3, 4), (3, 5), (4, 3), (5, 3)}
    true = torch.stack([-cosine[i, i].log() for i in range(6)]).mean()
    false = torch.stack([-(1 - cosine[i, j]).log() for i, j in wrong]).mean()
    torch.testing.assert_close(parts["loss"], (true + false) / 2)
    losses = []
    for i in range(6):
        others = [j for j in range(6) if (i, j) in wrong]
        for scores in (cosine[i], cosine[:, i]):
            losses.append(-torch.log_softmax(16.0 * torch.stack([scores[i], *(scores[j] for j in others)]), 0)[0])
    torch.testing.assert_close(parts["contrast"], torch.stack(losses).mean())


def test_several_windows_a_clip_train(frame_root: Path, tmp_path: Path) -> None:
    more = ["data.windows_a_clip=4", "loss.contrast=1.0"]
    call(frame_root, tmp_path / "run", "--config", str(CONFIG), *QUICK, *more)
    assert load_checkpoint(tmp_path / "run").config["loss"] == {"contrast": 1.0, "contrast_scale": 16.0}
    with pytest.raises(ConfigError, match=r"loss\.contrast needs data\.windows_a_clip above 1"):
        call(frame_root, tmp_path / "other", "--config", str(CONFIG), "loss.contrast=1.0")


@pytest.mark.slow
def test_expert_learns_what_belongs_together(frame_root: Path, tmp_path: Path) -> None:
    """Mouths that open with the hum: a network of a few thousand weights gets well below chance (0.69)."""

    words = ["loop.steps=300", "loop.batch_size=16", "loop.learning_rate=0.003", "loop.validate_every=0"]
    config = load_config(SyncNetConfig, file=CONFIG, overrides=[*words, "loop.save_every=0"])
    task, device = SyncNetTask(open_frame_folders(frame_root), config), open_device("cpu")
    outcome = Loop(task, RunOptions(tmp_path), device).run()
    assert task.validate(build_model(load_checkpoint(outcome.checkpoint)), device)["loss"] < 0.6
