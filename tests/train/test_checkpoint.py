from __future__ import annotations

import hashlib
import json
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from lipforge.kernels.errors import InputError, LipforgeError
from lipforge.kernels.spec import LipSpec, MelSpec
from lipforge.train.checkpoint import (
    build_model,
    load_checkpoint,
    load_training_state,
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
    assert set(checkpoint.versions) >= {"lipforge", "python", "torch"}
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
    files = [folder / name for name in FILES]
    for path in (tmp_path, folder, *files, str(tmp_path / "last.json")):
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


FILES = ("model.safetensors", "training.pt", "checkpoint.json")


def read_all(folder: Path) -> None:
    load_checkpoint(folder)
    load_training_state(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_cut_short(tmp_path: Path, name: str, share: float) -> None:
    save(tmp_path, 1)
    folder = save(tmp_path, 2)
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError) as caught:
        read_all(folder)
    said = str(caught.value)
    assert name in said
    assert "not readable as JSON" in said if name == "checkpoint.json" else f"instead of {len(whole)}" in said
    assert said.endswith("use another one: step-00000001.")
    assert "\n" not in said


@pytest.mark.parametrize("name", FILES[:2])
def test_one_wrong_bit(tmp_path: Path, name: str) -> None:
    folder = save(tmp_path)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: damaged, its checksum is another one; the checkpoint is damaged\."):
        read_all(folder)


@pytest.mark.parametrize("name", FILES[:2])
def test_missing_file(tmp_path: Path, name: str) -> None:
    folder = save(tmp_path)
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"{name}: missing, the checkpoint is incomplete"):
        read_all(folder)


def save_schema_1(run: Path) -> Path:
    """A checkpoint as version 0.1 wrote it before weights were safetensors."""
    folder = save(run)
    header = json.loads((folder / "checkpoint.json").read_text())
    torch.save(load_checkpoint(folder).state_dict, folder / "model.pt")
    (folder / "model.safetensors").unlink()
    header["schema"] = 1
    del header["files"]
    (folder / "checkpoint.json").write_text(json.dumps(header))
    return folder


def test_schema_1_is_still_read(tmp_path: Path) -> None:
    folder = save_schema_1(tmp_path / "old")
    new = load_checkpoint(save(tmp_path / "new"))
    old = load_checkpoint(folder)
    assert all(torch.equal(value, new.state_dict[key]) for key, value in old.state_dict.items())
    assert load_checkpoint(folder / "model.pt").step == 3
    assert load_training_state(folder) == {"step": 3}


@pytest.mark.parametrize("content", [b"hello", b"", b"\x80\x02."], ids=["text", "empty", "pickle"])
def test_weights_of_schema_1_that_are_none(tmp_path: Path, content: bytes) -> None:
    folder = save_schema_1(tmp_path)
    (folder / "model.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"model\.pt: not a file that torch saved"):
        load_checkpoint(folder)


def test_nothing_is_executed(tmp_path: Path) -> None:
    """Even with checksums that fit, a training state of Python objects is refused."""

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    folder = save(tmp_path)
    torch.save({"trap": Trap()}, folder / "training.pt")
    content = (folder / "training.pt").read_bytes()
    header = json.loads((folder / "checkpoint.json").read_text())
    header["files"]["training.pt"] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "checkpoint.json").write_text(json.dumps(header))
    with pytest.raises(InputError, match=r"training\.pt: not a file that torch saved, or damaged"):
        load_training_state(folder)
    assert not (tmp_path / "sprung").exists()


def test_tensors_that_share_memory_or_lie_otherwise(tmp_path: Path) -> None:
    whole = torch.arange(24.0).reshape(1, 2, 3, 4)
    weights = {
        "a": whole,
        "b": whole,
        "part": whole[..., 1:],
        "channels": whole.contiguous(memory_format=torch.channels_last),
        "wide": torch.ones(1).expand(5),
        "count": torch.tensor(3),
    }
    header = {"kind": "toy", "step": 1, "model": {}, "specs": {}, "config": {}}
    loaded = load_checkpoint(save_checkpoint(tmp_path, header, weights, {})).state_dict
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[name], value) for name, value in weights.items())


@contextmanager
def small_files() -> Iterator[None]:
    """Let the system refuse files above 20 kB, as a full disk does.

    No fixture: pytest reports between a test and its clean-up, and the file that it reports to may be longer.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize("large", ["weights", "training"])
def test_full_disk_is_one_line_and_leaves_the_older_one(tmp_path: Path, large: str) -> None:
    header = {"kind": "toy", "step": 1, "model": {}, "specs": {}, "config": {}}
    first = save_checkpoint(tmp_path, header, {"a": torch.ones(3)}, {})
    small, big = {"a": torch.zeros(3)}, {"a": torch.zeros(20_000)}
    refused = pytest.raises(LipforgeError, match=r"step-00000002 could not be written \(File too large\)")
    with refused as caught, small_files():
        save_checkpoint(tmp_path, {**header, "step": 2}, *((big, small) if large == "weights" else (small, big)))
    assert "step-00000001 is whole" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.json", "step-00000001"]
    assert load_checkpoint(tmp_path).path == first


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    header = {"kind": "toy", "step": 1, "model": {}, "specs": {}, "config": {}}
    with pytest.raises(LipforgeError, match=r"could not be written \(Not a directory\); there is no earlier one"):
        save_checkpoint(tmp_path / "file" / "run", header, {}, {})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 9}, "schema 9, this version reads 1 and 2"),
        ({"files": {}}, r"says nothing of model\.safetensors"),
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
