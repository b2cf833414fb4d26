from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lipforge.kernels.errors import InputError
from lipforge.kernels.spec import LipSpec, MelSpec
from lipforge.train.checkpoint import (
    build_model,
    load_checkpoint,
    save_checkpoint,
)
from lipforge.train.models.audio2lips import Audio2Lips
from lipforge.train.run_folder import delete_old_checkpoints, newest_checkpoint

SIZES = {"width": 8, "hidden": 8, "components": 2}


def save(run: Path, step: int = 3) -> Path:
    torch.manual_seed(step)
    header = {
        "kind": "audio2lips",
        "step": step,
        "model": SIZES,
        "specs": {"mel": MelSpec().to_dict()},
        "config": {},
        "dataset": {"fps": 25.0},
    }
    return save_checkpoint(run, header, Audio2Lips(**SIZES).state_dict(), {"step": step})


def test_round_trip(tmp_path: Path) -> None:
    folder = save(tmp_path)
    checkpoint = load_checkpoint(folder)
    assert (checkpoint.kind, checkpoint.step, checkpoint.dataset["fps"]) == ("audio2lips", 3, 25.0)
    assert checkpoint.spec("mel", MelSpec) == MelSpec()
    assert set(checkpoint.versions) == {"lipforge", "python", "torch"}
    torch.manual_seed(3)
    expected, network = Audio2Lips(**SIZES).eval(), build_model(checkpoint)
    assert not network.training
    mel = torch.randn(2, 80, 32)
    assert torch.equal(network(mel), expected(mel))
    with pytest.raises(InputError, match="no spec 'lips'"):
        checkpoint.spec("lips", LipSpec)


def test_many_ways_to_name_it(tmp_path: Path) -> None:
    save(tmp_path, 1)
    folder = save(tmp_path, 2)
    for path in (tmp_path, folder, folder / "model.pt", folder / "checkpoint.json", str(tmp_path / "last.json")):
        assert load_checkpoint(path).step == 2
    assert load_checkpoint(tmp_path / "step-00000001").step == 1


def test_nothing_half_written_stays(tmp_path: Path) -> None:
    save(tmp_path)
    with pytest.raises(TypeError):
        save_checkpoint(tmp_path, {"step": 4, "kind": object()}, {}, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.json", "step-00000003"]
    assert newest_checkpoint(tmp_path) == tmp_path / "step-00000003"


def test_old_ones_go(tmp_path: Path) -> None:
    for step in (1, 2, 10):
        save(tmp_path, step)
    (tmp_path / "step-notes").mkdir()  # not ours
    delete_old_checkpoints(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.glob("step*")) == ["step-00000002", "step-00000010", "step-notes"]
    delete_old_checkpoints(tmp_path, 0)
    assert (tmp_path / "step-00000002").exists()


def test_what_is_no_checkpoint(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    for path, message in (
        (text, "is a file and no checkpoint"),
        (tmp_path / "x", "no such"),
        (tmp_path, "no last.json"),
    ):
        with pytest.raises(InputError, match=message):
            load_checkpoint(path)


@pytest.mark.parametrize("content", [b"hello", b"", b"\x80\x02."], ids=["text", "empty", "pickle"])
def test_weights_that_are_none(tmp_path: Path, content: bytes) -> None:
    folder = save(tmp_path)
    (folder / "model.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"model\.pt: not a file that torch saved"):
        load_checkpoint(folder)


def test_weights_cut_short(tmp_path: Path) -> None:
    folder = save(tmp_path)
    content = (folder / "model.pt").read_bytes()
    (folder / "model.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="damaged"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 9}, "schema 9, this version reads 1"),
        ({"specs": None}, "specs"),
        ({"model": {"width": 16}}, "do not fit"),
    ],
)
def test_header_from_elsewhere(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = save(tmp_path) / "checkpoint.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(InputError, match=message):
        build_model(load_checkpoint(tmp_path))


def test_last_points_nowhere(tmp_path: Path) -> None:
    save(tmp_path)
    (tmp_path / "last.json").write_text('{"checkpoint": "step-00000009"}')
    with pytest.raises(InputError, match="step-00000009, which is not there"):
        load_checkpoint(tmp_path)
