"""Every command that a configuration or the documentation shows, at sizes that take a second."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from omegaconf import OmegaConf

from lipforge.kernels.errors import ConfigError
from lipforge.kernels.spec import MelChunkSpec, MelSpec
from lipforge.train.checkpoint import load_checkpoint, load_training_state, save_checkpoint
from lipforge.train.cli import train
from lipforge.train.models.syncnet import SyncNet
from lipforge.train.models.wav2lip import Wav2Lip

CONFIGS = Path(str(resources.files("lipforge.train") / "configs"))
SHIPPED = sorted(CONFIGS.glob("*.yaml"))
SHORT = ["loop.steps=2", "loop.batch_size=8", "loop.warmup_steps=0", "loop.validate_every=0"]
PUBLISHED = {  # what each published trainer takes and does
    "syncnet": ("--data_root --checkpoint_dir --checkpoint_path", 64, 10_000, (0.9, 0.999)),
    "wav2lip": ("--data_root --checkpoint_dir --syncnet_checkpoint_path --checkpoint_path", 16, 3000, (0.9, 0.999)),
    "wav2lip-gan": (
        "--data_root --checkpoint_dir --syncnet_checkpoint_path --checkpoint_path --disc_checkpoint_path",
        16,
        3000,
        (0.5, 0.999),
    ),
}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def expert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained("syncnet", SyncNet, MelChunkSpec(), tmp_path_factory.mktemp("expert"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained("wav2lip", Wav2Lip, MelChunkSpec(offset_frames=-1), tmp_path_factory.mktemp("teacher"))


def untrained(kind: str, network: type[torch.nn.Module], chunk: MelChunkSpec, run: Path) -> Path:
    """Return a run folder with an untrained network of the tiny configuration."""
    sizes: dict[str, Any] = OmegaConf.to_container(OmegaConf.load(CONFIGS / f"{kind}-tiny.yaml"))["model"]  # type: ignore
    specs = {"mel": MelSpec().to_dict(), "mel_chunk": chunk.to_dict()}
    header = {"kind": kind, "step": 1, "model": sizes, "specs": specs, "config": {}, "dataset": {"fps": 25.0}}
    save_checkpoint(run, header, network(**sizes).state_dict(), {})
    return run


def call(*words: str) -> None:
    result = CliRunner().invoke(train, [*words, "--device", "cpu"], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def narrow(kind: str) -> list[str]:
    """Return the sizes of a kind's tiny configuration as settings."""
    tiny = OmegaConf.load(CONFIGS / f"{kind.removesuffix('-gan')}-tiny.yaml")
    sections = {name: values for name, values in tiny.items() if name != "loop"}
    return [f"{section}.{key}={value}" for section, values in sections.items() for key, value in flat(values)]


def flat(values: Any) -> list[tuple[str, str]]:
    pairs = []
    for key, value in values.items():
        inner = flat(value) if OmegaConf.is_dict(value) else None
        pairs += [(f"{key}.{k}", v) for k, v in inner] if inner else [(str(key), str(value).replace(" ", ""))]
    return pairs


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_the_command_in_a_configuration_runs(
    file: Path, data_root: Path, frame_root: Path, expert: Path, teacher: Path, tmp_path: Path
) -> None:
    words = shlex.split(file.read_text().splitlines()[0].removeprefix("# lipforge train "))
    kind, options = words[0], dict(zip(words[1::2], words[2::2], strict=True))
    assert options.pop("--config") == f"train/configs/{file.name}"
    stand_ins = {
        "--data": data_root if options["--data"] == "data/synth" else frame_root,
        "--out": tmp_path / "run",
        "--syncnet-checkpoint-path": expert,
        "--teacher": teacher,
    }
    given = [word for name in options for word in (name, str(stand_ins[name]))]
    call(kind, *given, "--config", str(file), *SHORT, *narrow(kind))
    checkpoint = load_checkpoint(tmp_path / "run")
    assert checkpoint.step == 2
    assert checkpoint.metrics
    written = OmegaConf.to_container(OmegaConf.load(file))
    assert checkpoint.config["loop"]["learning_rate"] == written["loop"].get(  # type: ignore[index, call-overload]
        "learning_rate", checkpoint.config["loop"]["learning_rate"]
    )


@pytest.mark.parametrize("kind", PUBLISHED)
def test_published_options_and_values(kind: str, frame_root: Path, expert: Path, tmp_path: Path) -> None:
    """Under the published names; what the run stores are the published values, but for those that were given."""
    names, batch_size, every, betas = PUBLISHED[kind]
    known = {name for parameter in train.commands[kind].params for name in parameter.opts}
    assert set(names.split()) | {name.replace("_", "-") for name in names.split()} <= known
    call(
        kind, *published(kind, frame_root, tmp_path / "run", expert), "loop.steps=1", "loop.batch_size=2", *narrow(kind)
    )
    loop = load_checkpoint(tmp_path / "run").config["loop"]
    expected = {"learning_rate": 1e-4, "betas": list(betas), "schedule": "constant", "optimiser": "adam"}
    expected |= {"validate_every": every, "save_every": every, "weight_decay": 0.0, "clip_norm": 0.0, "ema_decay": 0.0}
    assert {name: loop[name] for name in expected} == expected
    from lipforge.train import wav2lip_config

    configs = {"syncnet": "SyncNetConfig", "wav2lip": "Wav2LipConfig", "wav2lip-gan": "Wav2LipGanConfig"}
    assert getattr(wav2lip_config, configs[kind])().loop.batch_size == batch_size


def published(kind: str, data: Path, out: Path, expert: Path) -> list[str]:
    words = ["--data_root", str(data), "--checkpoint_dir", str(out)]
    return words + ([] if kind == "syncnet" else ["--syncnet_checkpoint_path", str(expert)])


def test_critic_is_taken_along(frame_root: Path, expert: Path, tmp_path: Path) -> None:
    """From a run's own checkpoint, whose product is the generator."""
    words = [*narrow("wav2lip-gan"), "loop.steps=1", "loop.batch_size=2"]
    call("wav2lip-gan", *published("wav2lip-gan", frame_root, tmp_path / "a", expert), *words)
    folder = tmp_path / "a" / "step-00000001"
    again = published("wav2lip-gan", frame_root, tmp_path / "b", expert)
    still = [*words, "loop.learning_rate=1e-12"]
    call("wav2lip-gan", *again, *still, "--disc_checkpoint_path", str(folder), "--checkpoint_path", str(folder))
    old, new = (load_training_state(tmp_path / run / "step-00000001")["learners"] for run in "ab")
    for name in ("wav2lip", "wav2lip-disc"):
        for key, value in old[name]["network"].items():
            if not key.endswith(("running_mean", "running_var", "num_batches_tracked")):
                torch.testing.assert_close(new[name]["network"][key], value, atol=1e-6, rtol=0)
    other = published("wav2lip-gan", frame_root, tmp_path / "c", expert)
    with pytest.raises(ConfigError, match="there is no critic"):
        call("wav2lip-gan", *other, *words, "loss.adversary=0", "--disc-checkpoint-path", str(folder))
    with pytest.raises(ConfigError, match="has other sizes"):
        call("wav2lip-gan", *other, *words, "critic.widths=[4,4,8,8,8,8,16]", "--disc-checkpoint-path", str(folder))
    with pytest.raises(ConfigError, match="exclude each other"):
        call("wav2lip-gan", *again, *words, "--disc-checkpoint-path", str(folder), "--resume")


@pytest.mark.parametrize("kind", ["audio2lips", "warp", "syncnet", "wav2lip", "wav2lip-gan"])
def test_help_explains_every_option_and_ends_with_a_command_that_parses(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = train.commands[kind]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    assert all(len(getattr(option, "help", "") or "") > 20 for option in options)
    said = CliRunner().invoke(train, [kind, "--help"], terminal_width=200).output
    example = said.split("Example:\n")[1].splitlines()[0].strip()
    assert example.startswith(f"lipforge train {kind} ")
    parsed = command.make_context(kind, shlex.split(example)[3:])
    assert {"data", "out"} <= set(parsed.params)
    assert "torchrun --standalone --nproc-per-node 8 --no-python lipforge train" in said


@pytest.mark.slow
def test_torchrun_trains_two_ranks(frame_root: Path, tmp_path: Path) -> None:
    """The documented command; the module stands for the installed script, which may not be on the path here."""
    program = [sys.executable, "-P", "-m", "lipforge.runtime.cli", "train", "syncnet"]
    settings = ["--config", str(CONFIGS / "syncnet-tiny.yaml"), "--device", "cpu", "loop.steps=4", "loop.batch_size=4"]

    def launch(ranks: int, out: Path, *words: str) -> subprocess.CompletedProcess[str]:
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
        command = [*torchrun, "--no-python", *program, "--data", str(frame_root), "--out", str(out), *settings, *words]
        environment = {**os.environ, "PYTHONSAFEPATH": "1"}
        return subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment, check=False)

    done = launch(2, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "two" / "step-00000004")  # from rank 0 alone
    assert "on cpu x 2, 8 clips" in done.stderr
    assert len(load_training_state(tmp_path / "two" / "step-00000004")["random"]) == 2
    refused = launch(2, tmp_path / "bad", "loop.steps=0")
    assert refused.returncode != 0
    assert refused.stderr.count("Error: loop.steps=0; it must be greater than 0.") == 1
