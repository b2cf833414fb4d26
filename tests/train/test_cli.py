from __future__ import annotations

import signal
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.train.checkpoint import build_model, load_checkpoint, load_training_state
from lipforge.train.cli import train

CONFIGS = Path(str(resources.files("lipforge.train") / "configs"))
QUICK = ["loop.steps=6", "loop.save_every=3", "loop.validate_every=6", "loop.image_every=6", "loop.log_every=2"]


def call(kind: str, data: Path, out: Path, *words: str) -> str:
    config = str(CONFIGS / f"{kind}-tiny.yaml")
    arguments = [kind, "--data", str(data), "--out", str(out), "--config", config, "--device", "cpu", *words]
    return CliRunner().invoke(train, arguments, catch_exceptions=False).stdout


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("kind", ["audio2lips", "warp"])
def test_train_then_use(kind: str, data_root: Path, tmp_path: Path) -> None:
    said = call(kind, data_root, tmp_path / "a run", *QUICK)
    folder = tmp_path / "a run" / "step-00000006"
    assert said.split("\n")[-2] == str(folder)
    checkpoint = load_checkpoint(folder)
    assert (checkpoint.kind, checkpoint.step, checkpoint.dataset["fps"]) == (kind, 6, 25.0)
    assert checkpoint.config["loop"]["steps"] == 6
    build_model(checkpoint)


@pytest.mark.parametrize("kind", ["audio2lips", "warp"])
def test_resume_is_exact(kind: str, data_root: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    call(kind, data_root, run, *QUICK)
    whole = load_checkpoint(run), load_training_state(run / "step-00000006")
    (run / "last.json").write_text('{"checkpoint": "step-00000003"}')
    arguments = [kind, "--data", str(data_root), "--out", str(run), "--resume", "--device", "cpu"]
    result = CliRunner().invoke(train, arguments, catch_exceptions=False)  # settings come from the checkpoint
    assert result.exit_code == 0
    again = load_checkpoint(run), load_training_state(run / "step-00000006")
    assert again[0].config == whole[0].config
    for name, value in whole[0].state_dict.items():
        assert torch.equal(value, again[0].state_dict[name]), name
    first, second = (state["learners"][kind]["optimiser"]["state"] for _, state in (whole, again))
    assert all(torch.equal(first[key]["exp_avg_sq"], second[key]["exp_avg_sq"]) for key in first)


@pytest.mark.slow
def test_warp_learns_to_move(data_root: Path, tmp_path: Path) -> None:
    """On five drawn mouths the flow error falls well below that of no motion at all."""
    from lipforge.train.config import WarpConfig, load_config
    from lipforge.train.device import open_device
    from lipforge.train.loop import Loop, RunOptions
    from lipforge.train.shards import open_dataset
    from lipforge.train.warp_task import WarpTask

    settings = ["loop.steps=150", "loop.batch_size=8", "loop.ema_decay=0.9", "loop.image_every=0", "model.head=4"]
    config = load_config(WarpConfig, overrides=[*settings, "model.encoder=[8,8,16,16]", "model.decoder=[16,8,8]"])
    task, device = WarpTask(open_dataset(data_root), config), open_device("cpu")
    still = task.validate(task.networks["warp"].eval(), device)
    outcome = Loop(task, RunOptions(tmp_path), device).run()
    learnt = task.validate(build_model(load_checkpoint(outcome.checkpoint)), device)
    assert learnt["flow_error_px"] < 0.5 * still["flow_error_px"]


def test_errors_reach_the_caller(data_root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"did you mean loop\.steps"):
        call("warp", data_root, tmp_path, "loop.step=3")
    with pytest.raises(InputError, match="no such folder"):
        call("warp", tmp_path / "gone", tmp_path)
    with pytest.raises(ConfigError, match="no checkpoint to resume"):
        call("warp", data_root, tmp_path, "--resume")


def test_ctrl_c_from_a_shell(data_root: Path, tmp_path: Path) -> None:
    code = "from lipforge.train.cli import train; train()"
    words = [
        "audio2lips",
        "--data",
        str(data_root),
        "--out",
        str(tmp_path / "run"),
        "--threads",
        "1",
        "--device",
        "cpu",
    ]
    settings = ["loop.steps=1000000", "model.width=8", "loop.batch_size=2", "loop.save_every=5"]
    with subprocess.Popen([sys.executable, "-P", "-c", code, *words, *settings], stdout=subprocess.PIPE) as process:
        deadline = time.monotonic() + 120
        started = tmp_path / "run" / "last.json"
        while not started.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    newest = load_checkpoint(tmp_path / "run")
    assert str(newest.path) == output.decode().strip()
    assert newest.step % 5 or newest.step > 5
