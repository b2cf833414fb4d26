"""A narrow generator that learns from a wider one, whose own weights never move."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.kernels.spec import MelChunkSpec, MelSpec
from lipforge.train.checkpoint import load_checkpoint, load_training_state, save_checkpoint
from lipforge.train.cli import train
from lipforge.train.config import load_config
from lipforge.train.device import open_device
from lipforge.train.distillation import ADAPTERS, Adapters, Distillation, map_distance
from lipforge.train.frame_folders import open_frame_folders
from lipforge.train.loop import Loop, RunOptions
from lipforge.train.models.syncnet import SyncNet
from lipforge.train.models.wav2lip import Wav2Lip
from lipforge.train.pth_exchange import export_pth
from lipforge.train.wav2lip_config import DistillationConfig, Wav2LipConfig, Wav2LipGanConfig
from lipforge.train.wav2lip_task import Wav2LipTask

CONFIGS = Path(str(resources.files("lipforge.train") / "configs"))
TINY = CONFIGS / "wav2lip-tiny.yaml"
TEACHER_SIZES: dict[str, Any] = {
    "face": [4, 6, 8, 8, 12, 12, 12],
    "face_repeats": [0, 0, 0, 0, 0],
    "audio": [4, 4, 8, 8],
    "audio_repeats": [0, 0, 0, 0],
    "audio_embedding": 12,
    "decoder": [12, 12, 16, 12, 8, 6, 6],
    "decoder_repeats": [0, 0, 0, 0, 0, 0],
    "head": 6,
}
EXPERT_SIZES: dict[str, Any] = {
    "face": [4, 4, 8, 8, 8, 8],
    "face_repeats": [0] * 5,
    "audio": [4, 4, 8, 8],
    "audio_repeats": [0] * 4,
    "embedding": 8,
}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def save(run: Path, kind: str, network: nn.Module, sizes: dict[str, Any], chunk: MelChunkSpec, mel: MelSpec) -> Path:
    specs = {"mel": mel.to_dict(), "mel_chunk": chunk.to_dict()}
    header = {"kind": kind, "step": 1, "model": sizes, "specs": specs, "config": {}, "dataset": {"fps": 25.0}}
    return save_checkpoint(run, header, network.state_dict(), {})


def save_teacher(run: Path, offset_frames: int = -1, mel: MelSpec | None = None, **sizes: Any) -> Path:
    torch.manual_seed(3)
    arguments = TEACHER_SIZES | sizes
    network = Wav2Lip(**arguments)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # so that eval mode differs from train mode
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.1)
    return save(run, "wav2lip", network, arguments, MelChunkSpec(offset_frames=offset_frames), mel or MelSpec())


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_teacher(tmp_path_factory.mktemp("teacher"))


@pytest.fixture(scope="module")
def expert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return save(
        tmp_path_factory.mktemp("expert"), "syncnet", SyncNet(**EXPERT_SIZES), EXPERT_SIZES, MelChunkSpec(), MelSpec()
    )


def make_task(root: Path, teacher: Path, *words: str, kind: type[Any] = Wav2LipConfig) -> Wav2LipTask:
    config = load_config(kind, file=TINY, overrides=[f"distillation.teacher={teacher}", *words])
    return Wav2LipTask(open_frame_folders(root), config)


def test_loss_falls_and_the_teacher_stays_bit_for_bit(frame_root: Path, teacher: Path, tmp_path: Path) -> None:
    words = ["loop.steps=15", "loop.batch_size=2", "loop.validate_every=0", "loop.save_every=0"]
    words += ["loop.learning_rate=0.01"]
    task = make_task(frame_root, teacher, *words)
    distillation = task._distillation
    assert distillation is not None
    before, stored = copy.deepcopy(distillation.teacher.state_dict()), load_checkpoint(teacher).state_dict
    batch = task.batch(0)
    start = next(task.losses(task.networks, batch))
    adapters = [p.detach().clone() for p in task.networks[ADAPTERS].parameters()]
    Loop(task, RunOptions(tmp_path), open_device("cpu")).run()
    end = next(task.losses(task.networks, batch))
    assert end.total < 0.8 * start.total
    for part in ("to_teacher", "to_teacher_maps", "picture"):
        assert end.parts[part] < start.parts[part], part
    after = distillation.teacher.state_dict()
    for key, value in before.items():
        assert torch.equal(after[key], value)
        assert torch.equal(after[key], stored[key])
    assert not any(module.training for module in distillation.teacher.modules())
    assert all(p.grad is None for p in distillation.teacher.parameters())
    moved = zip(task.networks[ADAPTERS].parameters(), adapters, strict=True)
    assert all(not torch.equal(now, then) for now, then in moved)


def test_the_product_is_the_student_alone(frame_root: Path, teacher: Path, tmp_path: Path) -> None:
    task = make_task(frame_root, teacher, "loop.steps=1", "loop.validate_every=0")
    outcome = Loop(task, RunOptions(tmp_path), open_device("cpu")).run()
    saved = load_checkpoint(outcome.checkpoint)
    assert set(saved.state_dict) == set(Wav2Lip(**task.model_args).state_dict())
    assert saved.model_args == task.model_args
    assert saved.config["distillation"]["teacher"] == str(teacher)
    assert set(load_training_state(outcome.checkpoint)["learners"]) == {"wav2lip", ADAPTERS}


def test_terms_have_the_weights_of_the_configuration(frame_root: Path, teacher: Path, expert: Path) -> None:
    words = [f"loss.expert={expert}", "loss.sync=0.25", "loss.sync_threshold=100"]
    words += ["distillation.output=0.5", "distillation.features=2"]
    task = make_task(frame_root, teacher, *words)
    metrics = task.validate(task.networks["wav2lip"].eval(), open_device("cpu"))
    assert set(metrics) == {"picture", "sync", "real_sync", "mismatch_sync", "teacher", "sync_share"}
    student, own = list(task.losses(task.networks, task.batch(0)))
    parts = student.parts
    wanted = 0.75 * parts["picture"] + 0.25 * parts["sync"] + 0.5 * parts["to_teacher"] + 2 * parts["to_teacher_maps"]
    torch.testing.assert_close(student.total, wanted)
    assert own.network == ADAPTERS
    torch.testing.assert_close(own.total, parts["to_teacher_maps"])
    student.total.backward()
    assert all(p.grad is not None for p in task.networks["wav2lip"].parameters())


def test_adapters_move_no_student_and_pictures_alone_need_none(frame_root: Path, teacher: Path) -> None:
    task = make_task(frame_root, teacher)
    *_, own = task.losses(task.networks, task.batch(0))
    own.total.backward()
    assert all(p.grad is None for p in task.networks["wav2lip"].parameters())
    assert all(p.grad is not None for p in task.networks[ADAPTERS].parameters())
    plain = make_task(frame_root, teacher, "distillation.features=0")
    assert set(plain.networks) == {"wav2lip"}
    (loss,) = plain.losses(plain.networks, plain.batch(0))
    torch.testing.assert_close(loss.total, loss.parts["picture"] + loss.parts["to_teacher"])


def test_a_critic_may_watch_too(frame_root: Path, teacher: Path, expert: Path) -> None:
    task = make_task(frame_root, teacher, f"loss.expert={expert}", kind=Wav2LipGanConfig)
    losses = list(task.losses(task.networks, task.batch(0)))
    assert [loss.network for loss in losses] == ["wav2lip", "wav2lip-disc", ADAPTERS]
    assert {"picture", "sync", "adversary", "to_teacher", "to_teacher_maps"} < set(losses[0].parts)


def test_a_teacher_of_itself_has_nothing_to_teach(frame_root: Path, teacher: Path) -> None:
    """The student's maps and pictures are compared with the right ones: with equal weights no difference is left."""
    config = DistillationConfig(stages=(1, 3, 6))
    network = Wav2Lip(**TEACHER_SIZES)
    network.load_state_dict(load_checkpoint(teacher).state_dict)
    distillation = Distillation(copy.deepcopy(network), config)
    adapters = Adapters([12, 12, 6], [12, 12, 6])
    for layer in adapters.layers:
        nn.init.dirac_(layer.weight)
        nn.init.zeros_(layer.bias)
    batch = {"mels": torch.rand(2, 5, 1, 80, 16) * 8 - 4, "face": torch.rand(2, 6, 5, 96, 96)}
    with torch.no_grad():
        taught = distillation.compare(network.eval(), adapters, batch)
    assert float(taught.total) == pytest.approx(0.0, abs=1e-10)
    assert [tuple(found.shape[1:]) for found in taught.wanted] == [(12, 3, 3), (12, 12, 12), (6, 96, 96)]
    assert taught.drawn.shape == (2, 3, 5, 96, 96)


def test_stages_count_alike_whatever_their_size() -> None:
    truth = [torch.rand(3, 4, 6, 6), 100.0 * torch.rand(3, 2, 12, 12)]
    nothing = [torch.zeros_like(found) for found in truth]
    torch.testing.assert_close(map_distance(nothing, truth), torch.tensor(1.0))
    half = [truth[0], nothing[1]]
    torch.testing.assert_close(map_distance(half, truth), torch.tensor(0.5))
    assert map_distance([torch.ones(1, 1, 2, 2)], [torch.zeros(1, 1, 2, 2)]).isfinite()


def call(root: Path, out: Path, *words: str) -> str:
    arguments = ["wav2lip", "--data_root", str(root), "--checkpoint_dir", str(out), "--device", "cpu", *words]
    return CliRunner().invoke(train, arguments, catch_exceptions=False).stdout


def test_resume_is_exact_with_adapters(frame_root: Path, teacher: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    quick = ["loop.steps=4", "loop.save_every=2", "loop.validate_every=2", "loop.log_every=2"]
    call(frame_root, run, "--teacher", str(teacher), "--config", str(TINY), *quick)
    whole = load_training_state(run / "step-00000004")["learners"]
    (run / "last.json").write_text('{"checkpoint": "step-00000002"}')
    call(frame_root, run, "--resume")
    again = load_training_state(run / "step-00000004")["learners"]
    assert set(whole) == set(again) == {"wav2lip", ADAPTERS}
    for name, learner in whole.items():
        assert all(torch.equal(value, again[name]["network"][key]) for key, value in learner["network"].items()), name


def test_a_published_file_may_teach(frame_root: Path, teacher: Path, tmp_path: Path) -> None:
    export_pth(teacher, tmp_path / "teacher.pth")
    task = make_task(frame_root, tmp_path / "teacher.pth")
    assert task._distillation is not None
    weights = load_checkpoint(teacher).state_dict
    assert all(torch.equal(value, weights[key]) for key, value in task._distillation.teacher.state_dict().items())


def test_a_teacher_that_does_not_fit_is_refused(frame_root: Path, expert: Path, tmp_path: Path) -> None:
    larger = {"face": [4] * 8, "face_repeats": [0] * 6, "decoder": [4] * 8, "decoder_repeats": [0] * 7}
    cases: list[tuple[Callable[[], Path], str]] = [
        (lambda: save_teacher(tmp_path / "large", **larger), "draws faces of 192 px, this run's student of 96"),
        (lambda: save_teacher(tmp_path / "late", 0), r"offset of 0 frames.*set data\.mel_offset_frames=0"),
        (
            lambda: save_teacher(tmp_path / "mel", mel=replace(MelSpec(), padding="constant")),
            "hears another mel than this run's data has: padding constant instead of reflect",
        ),
    ]
    for make, message in cases:
        with pytest.raises(ConfigError, match=message) as caught:
            make_task(frame_root, make())
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="a Wav2Lip generator is wanted here"):
        make_task(frame_root, expert)
    with pytest.raises(InputError, match="no such file"):
        make_task(frame_root, tmp_path / "gone")


def test_settings_that_make_no_sense(frame_root: Path, teacher: Path) -> None:
    for words, message in (
        (["distillation.stages=[2,7]"], "allowed are different numbers from 0 to 6"),
        (["distillation.stages=[2,2]"], "allowed are different numbers"),
        (["distillation.stages=[]"], "features need stages"),
        (["distillation.output=-1"], "must be 0 or more"),
    ):
        with pytest.raises(ConfigError, match=message):
            make_task(frame_root, teacher, *words)


def test_an_expert_with_another_ear_is_refused(frame_root: Path, teacher: Path, tmp_path: Path) -> None:
    odd = save(
        tmp_path, "syncnet", SyncNet(**EXPERT_SIZES), EXPERT_SIZES, MelChunkSpec(), replace(MelSpec(), fmin_hz=90.0)
    )
    with pytest.raises(ConfigError, match="was trained on another mel"):
        make_task(frame_root, teacher, f"loss.expert={odd}")


def test_the_preset_is_a_tenth_of_the_work() -> None:
    config = load_config(Wav2LipConfig, file=CONFIGS / "wav2lip-student.yaml")
    assert operations(Wav2Lip(**vars(config.model))) < 0.1 * operations(Wav2Lip())


def operations(network: Wav2Lip) -> float:
    """Multiply-adds of the convolutions for one face."""
    counts: list[float] = []

    def count(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        spread = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        counts.append(float(spread.shape[2] * spread.shape[3] * layer.weight.numel()))

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(count)
    with torch.no_grad():
        network.eval()(torch.zeros(1, 1, 80, 16), torch.zeros(1, 6, 96, 96))
    return sum(counts)
