"""The generator's data and trainer, on clips in the published layout."""

from __future__ import annotations

import copy
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.kernels.mel import log_mel
from lipforge.kernels.spec import FaceBoxSpec, MelChunkSpec, MelSpec
from lipforge.train.checkpoint import load_checkpoint, load_training_state, save_checkpoint
from lipforge.train.cli import train
from lipforge.train.config import load_config
from lipforge.train.device import open_device
from lipforge.train.frame_folders import open_frame_folders
from lipforge.train.loop import Loop, RunOptions
from lipforge.train.models.syncnet import SyncNet
from lipforge.train.wav2lip_config import Wav2LipConfig, Wav2LipGanConfig
from lipforge.train.wav2lip_data import Wav2LipData
from lipforge.train.wav2lip_losses import SyncLoss
from lipforge.train.wav2lip_task import Wav2LipTask

CONFIG = Path(str(resources.files("lipforge.train") / "configs" / "wav2lip-tiny.yaml"))
QUICK = ["loop.steps=4", "loop.save_every=2", "loop.validate_every=2", "loop.image_every=2", "loop.log_every=2"]
# An untrained expert finds everything about equally likely: with this the sync loss counts from the first evaluation.
AT_ONCE = "loss.sync_threshold=100"


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def expert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with an untrained expert."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"face": [4, 4, 8, 8, 8, 8], "face_repeats": [0] * 5}
    sizes |= {"audio": [4, 4, 8, 8], "audio_repeats": [0] * 4, "embedding": 8}
    run = tmp_path_factory.mktemp("expert")
    specs = {"mel": MelSpec().to_dict(), "mel_chunk": MelChunkSpec().to_dict()}
    header = {"kind": "syncnet", "step": 1, "model": sizes, "specs": specs, "config": {}, "dataset": {"fps": 25.0}}
    save_checkpoint(run, header, SyncNet(**sizes).state_dict(), {})
    return run


def call(kind: str, root: Path, out: Path, *words: str) -> str:
    arguments = [kind, "--data_root", str(root), "--checkpoint_dir", str(out), "--device", "cpu", *words]
    return CliRunner().invoke(train, arguments, catch_exceptions=False).stdout


def make_task(root: Path, expert: Path, kind: type[Any] = Wav2LipConfig, *words: str) -> Wav2LipTask:
    config = load_config(kind, file=CONFIG, overrides=[f"loss.expert={expert}", *words])
    return Wav2LipTask(open_frame_folders(root), config)


def test_samples_are_the_published_ones(frame_root: Path) -> None:
    """Against the published ``__getitem__`` in its own words; its windows of single frames start one frame early."""
    folders = open_frame_folders(frame_root)
    data = Wav2LipData(
        folders.training, MelSpec(), 25.0, MelChunkSpec(16, -1), MelChunkSpec(), size_px=96, batch_size=4, seed=0
    )
    clip, row = folders.training[0], 6
    start = 1 + row  # frame 0 has no window
    batch = data.assemble(np.array([row]), np.random.default_rng(0))
    window = [cv2.resize(cv2.imread(str(clip.folder / f"{start + k}.jpg")), (96, 96)) for k in range(5)]
    y = np.transpose(np.asarray(window) / 255.0, (3, 0, 1, 2))
    np.testing.assert_allclose(batch["target"][0].numpy(), y, atol=1e-6)
    masked = y.copy()
    masked[:, :, 96 // 2 :] = 0.0
    np.testing.assert_allclose(batch["face"][0, :3].numpy(), masked, atol=1e-6)
    spec = log_mel(clip.read_sound(16_000), MelSpec()).T
    np.testing.assert_allclose(batch["expert_mel"][0, 0].numpy(), spec[int(80.0 * start / 25.0) :][:16].T, atol=2e-3)
    for place, i in enumerate(range(start + 1, start + 6)):  # the published loop counts from 1
        first = int(80.0 * (i - 2) / 25.0)
        np.testing.assert_allclose(batch["mels"][0, place, 0].numpy(), spec[first : first + 16].T, atol=2e-3)


def test_batches_depend_on_seed_and_step_only(frame_root: Path, expert: Path) -> None:
    first, second = make_task(frame_root, expert), make_task(frame_root, expert)
    first.batch(0)
    batch, again = first.batch(2), second.batch(2)
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    assert all(torch.equal(value, batch[name][1:3]) for name, value in first.rows_of_batch(2, slice(1, 3)).items())
    assert batch["face"].shape == (4, 6, 5, 96, 96)
    assert batch["mels"].shape == (4, 5, 1, 80, 16)
    assert not torch.equal(batch["face"][:, 3:], batch["target"])


def test_expert_counts_only_from_an_evaluation_on(frame_root: Path, expert: Path) -> None:
    task = make_task(frame_root, expert, Wav2LipConfig, AT_ONCE, "loss.sync=0.5")
    batch, generator = task.batch(0), task.networks["wav2lip"]
    (before,) = task.losses(task.networks, batch)
    torch.testing.assert_close(before.total, before.parts["picture"])
    metrics = task.validate(generator.eval(), open_device("cpu"))
    assert metrics["sync_share"] == 0.5
    assert metrics["real_sync"] > 0
    assert metrics["mismatch_sync"] != metrics["sync"]
    (after,) = task.losses(task.networks, batch)
    torch.testing.assert_close(after.total, 0.5 * after.parts["picture"] + 0.5 * after.parts["sync"])
    resumed = make_task(frame_root, expert, Wav2LipConfig, "loss.sync=0.5")
    resumed.load_state(copy.deepcopy(task.state()))
    assert next(resumed.losses(resumed.networks, batch)).total != before.total


def test_one_step_for_generator_and_critic_each(frame_root: Path, expert: Path) -> None:
    task = make_task(frame_root, expert, Wav2LipGanConfig)
    losses = list(task.losses(task.networks, task.batch(0)))
    assert [loss.network for loss in losses] == ["wav2lip", "wav2lip-disc"]
    parts = losses[0].parts
    torch.testing.assert_close(losses[0].total, 0.93 * parts["picture"] + 0.07 * parts["adversary"])
    torch.testing.assert_close(losses[1].total, losses[1].parts["critic_real"] + losses[1].parts["critic_drawn"])
    for parameter in task.networks["wav2lip"].parameters():
        parameter.grad = None
    losses[1].total.backward()
    assert all(parameter.grad is None for parameter in task.networks["wav2lip"].parameters())


@pytest.mark.parametrize("kind", ["wav2lip", "wav2lip-gan"])
def test_train_and_resume_exactly(kind: str, frame_root: Path, expert: Path, tmp_path: Path) -> None:
    """The sync weight is switched on by the evaluation at step 2 and has to be on after a resume from there."""
    run = tmp_path / "run"
    options = ["--syncnet_checkpoint_path", str(expert), "--config", str(CONFIG), *QUICK, AT_ONCE, "loss.sync=0.4"]
    said = call(kind, frame_root, run, *options, "loss.adversary=0.07" if kind == "wav2lip-gan" else "loss.adversary=0")
    assert said.split("\n")[-2] == str(run / "step-00000004")
    whole = load_checkpoint(run), load_training_state(run / "step-00000004")
    assert whole[0].spec("mel_chunk", MelChunkSpec).offset_frames == -1
    assert set(whole[1]["learners"]) == {"wav2lip"} | ({"wav2lip-disc"} if kind == "wav2lip-gan" else set())
    assert load_training_state(run / "step-00000002")["task"] == {"sync_weight": {"active": True}}
    (run / "last.json").write_text('{"checkpoint": "step-00000002"}')
    call(kind, frame_root, run, "--resume")
    again = load_checkpoint(run), load_training_state(run / "step-00000004")
    for name, learner in whole[1]["learners"].items():
        weights = again[1]["learners"][name]["network"]
        assert all(torch.equal(value, weights[key]) for key, value in learner["network"].items()), name
    assert again[0].config == whole[0].config


def test_picture_gets_better_and_the_expert_stays(frame_root: Path, expert: Path, tmp_path: Path) -> None:
    words = ["loop.steps=40", "loop.validate_every=0", "loop.save_every=0", "loop.learning_rate=0.005"]
    task = make_task(frame_root, expert, Wav2LipConfig, *words)
    device = open_device("cpu")
    before = copy.deepcopy(task._sync_loss.expert.state_dict())
    batch = task.batch(0)
    start = next(task.losses(task.networks, batch)).parts["picture"].detach()
    Loop(task, RunOptions(tmp_path), device).run()
    assert next(task.losses(task.networks, batch)).parts["picture"] < 0.7 * start
    assert isinstance(task._sync_loss, SyncLoss)
    after = task._sync_loss.expert.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


def test_what_cannot_be_trained(frame_root: Path, expert: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name a trained one with --syncnet-checkpoint-path"):
        call("wav2lip", frame_root, tmp_path / "a")
    with pytest.raises(InputError, match="no such file"):
        call("wav2lip", frame_root, tmp_path / "a", "--syncnet-checkpoint-path", str(tmp_path / "gone"))
    with pytest.raises(ConfigError, match="the expert judges 96 px"):
        make_task(
            frame_root,
            expert,
            Wav2LipConfig,
            "model.face=[4,4,4]",
            "model.face_repeats=[0]",
            "model.decoder=[4,4,4]",
            "model.decoder_repeats=[0,0]",
        )
    with pytest.raises(ConfigError, match="sum at most 1"):
        make_task(frame_root, expert, Wav2LipGanConfig, "loss.sync=0.99")


def test_shares_rates_and_betas_are_the_published_ones() -> None:
    plain, gan = Wav2LipConfig(), Wav2LipGanConfig()
    assert (plain.loss.sync, plain.loss.adversary, plain.loss.sync_threshold) == (0.01, 0.0, 0.75)
    assert (gan.loss.sync, gan.loss.adversary, gan.loss.sync_threshold) == (0.03, 0.07, 0.75)
    assert (plain.loop.betas, gan.loop.betas) == ((0.9, 0.999), (0.5, 0.999))
    for loop in (plain.loop, gan.loop):
        assert (loop.learning_rate, loop.batch_size, loop.weight_decay, loop.warmup_steps) == (1e-4, 16, 0.0, 0)
        assert (loop.validate_every, loop.save_every, loop.ema_decay) == (3000, 3000, 0.0)


def test_generator_and_critic_make_one_step_a_batch(frame_root: Path, expert: Path, tmp_path: Path) -> None:
    """The critic sees real and drawn faces, two passes, and its optimiser steps once for both."""
    words = ["loop.steps=3", "loop.validate_every=0", "loop.save_every=0", "loop.batch_size=2"]
    task = make_task(frame_root, expert, Wav2LipGanConfig, *words)
    outcome = Loop(task, RunOptions(tmp_path), open_device("cpu")).run()
    learners = load_training_state(outcome.checkpoint)["learners"]
    for kind in ("wav2lip", "wav2lip-disc"):
        counts = {int(state["step"]) for state in learners[kind]["optimiser"]["state"].values()}
        assert counts == {3}, kind
        assert {tuple(group["betas"]) for group in learners[kind]["optimiser"]["param_groups"]} == {(0.5, 0.999)}


def test_the_checkpoint_says_how_its_faces_were_cut(frame_root: Path, expert: Path) -> None:
    """Faces of the published layout are detector boxes without pads; the published inference adds some."""
    specs = make_task(frame_root, expert).specs
    assert specs["face_box"] == FaceBoxSpec(size_px=96, anchor="landmarks", pads_px=(0, 0, 0, 0))
