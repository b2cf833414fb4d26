"""Published checkpoints in and out. Files are made here from the golden keys; none of them is anybody's weights."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.kernels.spec import MelChunkSpec, MelSpec
from lipforge.runtime.cli import main
from lipforge.train.checkpoint import build_model, load_checkpoint
from lipforge.train.cli import train
from lipforge.train.models import build_network
from lipforge.train.pth_exchange import export_pth, import_pth
from lipforge.train.pth_file import read_pth
from lipforge.train.published import read_published, to_envelope

NARROW: dict[str, dict[str, Any]] = {
    "wav2lip": {
        "face": [4] * 7,
        "face_repeats": [0] * 5,
        "audio": [4] * 4,
        "audio_repeats": [0] * 4,
        "audio_embedding": 8,
        "decoder": [4] * 7,
        "decoder_repeats": [0] * 6,
        "head": 4,
    },
    "syncnet": {"face": [4] * 6, "face_repeats": [0] * 5, "audio": [4] * 4, "audio_repeats": [0] * 4, "embedding": 8},
    "wav2lip-disc": {"widths": [4] * 7, "repeats": [0] * 5},
}
OFFSETS = {"wav2lip": -1, "syncnet": 0, "wav2lip-disc": None}
Shapes = dict[str, dict[str, list[int]]]


def published_state(shapes: dict[str, list[int]]) -> OrderedDict[str, torch.Tensor]:
    """Full-size weights that take no room: one number for each tensor, repeated."""
    state = OrderedDict()
    for number, (key, shape) in enumerate(shapes.items()):
        whole = key.endswith("num_batches_tracked")
        state[key] = torch.tensor(number if whole else number / 64).expand(shape)
    return state


def adam_state(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    moments = {0: {"step": 7, "exp_avg": torch.ones(2, 2), "exp_avg_sq": torch.ones(2, 2)}}
    return {"state": moments, "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.999), "params": list(range(len(state)))}]}


def envelope(state: dict[str, torch.Tensor], **changes: Any) -> dict[str, Any]:
    values = {"state_dict": state, "optimizer": adam_state(state), "global_step": 300_000, "global_epoch": 41}
    return {**values, **changes}


def save(path: Path, content: Any, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def narrow_file(path: Path, kind: str = "syncnet", **changes: Any) -> Path:
    """A small file of our own making that reads well."""
    torch.manual_seed(0)
    state = build_network(kind, NARROW[kind]).state_dict()
    extra = {"schema": 1, "kind": kind, "model": NARROW[kind], "offset_frames": OFFSETS[kind]}
    return save(path, envelope(state, lipforge=extra, **changes))


@pytest.mark.parametrize("kind", OFFSETS)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_published_file_is_recognised(kind: str, prefix: str, published_shapes: Shapes, tmp_path: Path) -> None:
    state = published_state(published_shapes[kind])
    prefixed = OrderedDict((prefix + key, value) for key, value in state.items())
    legacy = {"_use_new_zipfile_serialization": not prefix}  # the old format too
    published = read_published(save(tmp_path / "a.pth", envelope(prefixed), **legacy))
    assert (published.kind, published.step, published.epoch) == (kind, 300_000, 41)
    assert published.offset_frames == OFFSETS[kind]
    assert list(published.state_dict) == list(state)
    assert all(torch.equal(published.state_dict[key], state[key]) for key in state)


def test_published_file_there_and_back(published_shapes: Shapes, tmp_path: Path) -> None:
    state = published_state(published_shapes["wav2lip-disc"])
    original = save(tmp_path / "in.pth", envelope(OrderedDict(("module." + k, v) for k, v in state.items())))
    folder, _ = import_pth(original, tmp_path / "run")
    export_pth(folder, tmp_path / "out.pth")
    back = torch.load(tmp_path / "out.pth", weights_only=True)
    assert list(back) == ["state_dict", "optimizer", "global_step", "global_epoch"]  # nothing of our own
    assert list(back["state_dict"]) == list(state)
    assert all(torch.equal(back["state_dict"][key], state[key]) for key in state)
    assert (back["global_step"], back["global_epoch"]) == (300_000, 41)
    assert back["optimizer"]["param_groups"] == adam_state(state)["param_groups"]
    assert torch.equal(back["optimizer"]["state"][0]["exp_avg"], torch.ones(2, 2))


@pytest.mark.parametrize("kind", NARROW)
def test_narrow_checkpoint_there_and_back(kind: str, tmp_path: Path) -> None:
    folder, _ = import_pth(narrow_file(tmp_path / "in.pth", kind), tmp_path / "run")
    checkpoint = load_checkpoint(tmp_path / "run")
    assert (checkpoint.kind, checkpoint.step, checkpoint.dataset["fps"]) == (kind, 300_000, 25.0)
    export_pth(tmp_path / "run", tmp_path / "out.pth")
    again, _ = import_pth(tmp_path / "out.pth", tmp_path / "again")
    first, second = build_model(load_checkpoint(folder)), build_model(load_checkpoint(again))
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )
    assert load_checkpoint(again).specs == checkpoint.specs
    assert load_checkpoint(again).model_args == checkpoint.model_args


def test_mel_offset_is_a_property_of_the_weights(tmp_path: Path) -> None:
    file = narrow_file(tmp_path / "in.pth", "wav2lip")
    as_trained, _ = import_pth(file, tmp_path / "a")
    as_said, _ = import_pth(file, tmp_path / "b", offset_frames=0)
    assert load_checkpoint(as_trained).spec("mel_chunk", MelChunkSpec) == MelChunkSpec(16, -1)
    assert load_checkpoint(as_said).spec("mel_chunk", MelChunkSpec) == MelChunkSpec(16, 0)
    assert load_checkpoint(as_said).spec("mel", MelSpec) == MelSpec()
    export_pth(as_said, tmp_path / "out.pth")
    again, _ = import_pth(tmp_path / "out.pth", tmp_path / "c")
    assert load_checkpoint(again).spec("mel_chunk", MelChunkSpec).offset_frames == 0
    critic = narrow_file(tmp_path / "critic.pth", "wav2lip-disc")
    with pytest.raises(ConfigError, match="hears nothing"):
        import_pth(critic, tmp_path / "d", offset_frames=0)
    import_pth(critic, tmp_path / "d")
    assert load_checkpoint(tmp_path / "d").specs == {}


@pytest.mark.parametrize("fps", [25.0, 30.0, 30000 / 1001])
def test_windows_start_where_the_published_code_starts_them(fps: float) -> None:
    trained, used = MelChunkSpec(offset_frames=-1), MelChunkSpec(offset_frames=0)
    for frame in range(1, 500):
        assert used.first_column(frame, MelSpec(), fps) == int(80.0 * frame / fps)
        assert trained.first_column(frame, MelSpec(), fps) == int(80.0 * (frame - 1) / fps)
    assert trained.first_column(0, MelSpec(), 25.0) == -4


def test_bare_weights_and_half_precision_are_read(tmp_path: Path, published_shapes: Shapes) -> None:
    state = published_state(published_shapes["wav2lip-disc"])
    published = read_published(save(tmp_path / "a.pth", {key: value.half() for key, value in state.items()}))
    assert (published.kind, published.step, published.optimizer) == ("wav2lip-disc", 0, None)
    assert {value.dtype for value in published.state_dict.values()} == {torch.float32}


def test_extra_key_is_only_written_when_there_is_something_to_say(tmp_path: Path) -> None:
    narrow = read_published(narrow_file(tmp_path / "a.pth"))
    assert to_envelope(narrow)["lipforge"]["model"] == NARROW["syncnet"]


PAGES = {
    "doctype": b"<!DOCTYPE html><html><head><title>Sign in</title>",
    "space before it": b"\xef\xbb\xbf\n  <HTML><body>quota exceeded",
}


@pytest.mark.parametrize("content", PAGES.values(), ids=PAGES)
def test_web_page(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "wav2lip.pth").write_bytes(content)
    with pytest.raises(InputError, match="is a web page, not weights"):
        read_pth(tmp_path / "wav2lip.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS pointer"),
        (b'{"error": "not found"}\n', "is a text file that begins .*not found"),
        ("grüße\n".encode() * 200, "is a text file that begins 'grüße'"),
        (gzip.compress(b"x" * 99), "gzip archive; unpack it"),
        (b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00}.", "Python pickle that torch did not save"),
        (b"\x93NUMPY\x01\x00", "no file that torch saved"),
    ],
    ids=["empty", "lfs", "json", "text", "gzip", "pickle", "numpy"],
)
def test_what_is_no_torch_file(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_pth(tmp_path / "a.pth")


@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize("share", [0.0005, 0.01, 0.5, 0.999])
def test_truncated_download(new_format: bool, share: float, tmp_path: Path) -> None:
    file = save(tmp_path / "a.pth", {"state_dict": {"a": torch.rand(9999)}}, _use_new_zipfile_serialization=new_format)
    whole = file.read_bytes()
    file.write_bytes(whole[: max(5, int(share * len(whole)))])
    with pytest.raises(InputError, match="cut short") as caught:
        read_pth(file)
    assert "download it again" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_weights_are_noticed(tmp_path: Path) -> None:
    file = save(tmp_path / "a.pth", {"state_dict": {"a": torch.rand(9999)}})
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1  # torch alone would load it
    file.write_bytes(content)
    with pytest.raises(InputError, match="does not match its checksum"):
        read_pth(file)


def test_torchscript_and_other_archives(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scripting is on its way out; files made with it are around
        torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "a.pth"))
    with pytest.raises(InputError, match="TorchScript archive"):
        read_pth(tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "b.pth", "w") as archive:
        archive.writestr("checkpoints/wav2lip.pth", b"x")
    with pytest.raises(InputError, match=r"zip archive of \['checkpoints/wav2lip\.pth'\]"):
        read_pth(tmp_path / "b.pth")


class Trap:
    """Unpickling it with an ordinary unpickler makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("new_format", [True, False])
def test_nothing_is_executed(new_format: bool, tmp_path: Path) -> None:
    content = {"state_dict": {}, "trap": Trap(tmp_path / "sprung")}
    file = save(tmp_path / "a.pth", content, _use_new_zipfile_serialization=new_format)
    with pytest.raises(InputError, match=r"Python objects \(posix\.mkdir\).*nothing in a pickle is executed"):
        read_pth(file)
    assert not (tmp_path / "sprung").exists()
    save(file, {"state_dict": {}, "args": argparse.Namespace(lr=1)})
    with pytest.raises(InputError, match=r"argparse\.Namespace"):
        read_pth(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list"),
        ({"weights": 3}, "no state_dict in it"),
        ({"state_dict": {}}, "no state_dict in it"),
        ({"state_dict": {"a": 3}}, r"state_dict\['a'\] is a int"),
        ({"conv1_1.weight": torch.ones(1)}, "holds 1 tensors such as 'conv1_1.weight'"),
    ],
)
def test_torch_files_of_something_else(content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_published(save(tmp_path / "a.pth", content))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"global_step": "many"}, "global_step is 'many'"),
        ({"global_epoch": -1}, "global_epoch is -1"),
        ({"optimizer": [1]}, "its optimizer is a list"),
        ({"lipforge": {"schema": 2}}, "not one that this version writes"),
        ({"lipforge": None}, "of other sizes than published|with other layers than published"),
    ],
)
def test_envelopes_that_do_not_fit(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    content = {**torch.load(narrow_file(tmp_path / "a.pth"), weights_only=True), **changes}
    with pytest.raises(InputError, match=message):
        read_published(save(tmp_path / "a.pth", content))


def test_other_layers_and_sizes_are_named(published_shapes: Shapes, tmp_path: Path) -> None:
    state = published_state(published_shapes["syncnet"])
    wider = {**state, "face_encoder.0.conv_block.0.weight": torch.zeros(32, 15, 5, 5)}
    with pytest.raises(InputError, match=r"face_encoder\.0\.conv_block\.0\.weight is \(32, 15, 5, 5\) instead of"):
        read_published(save(tmp_path / "a.pth", envelope(wider)))
    shorter = {key: value for key, value in state.items() if not key.startswith("face_encoder.16.")}
    with pytest.raises(InputError, match=r"7 \+ 0 differ: face_encoder\.16\.conv_block\.0\.weight is missing"):
        read_published(save(tmp_path / "a.pth", envelope(shorter)))
    ruined = {**state, "face_encoder.0.conv_block.0.bias": torch.full((32,), float("nan"))}
    with pytest.raises(InputError, match="not finite"):
        read_published(save(tmp_path / "a.pth", envelope(ruined)))


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    file = narrow_file(tmp_path / "in.pth")
    import_pth(file, tmp_path / "run")
    with pytest.raises(ConfigError, match="already holds checkpoints"):
        import_pth(file, tmp_path / "run")
    with pytest.raises(ConfigError, match="is a file"):
        import_pth(file, file)
    (tmp_path / "out.pth").write_text("mine")
    with pytest.raises(InputError, match="there already"):
        export_pth(tmp_path / "run", tmp_path / "out.pth")
    assert (tmp_path / "out.pth").read_text() == "mine"
    with pytest.raises(InputError, match="is missing"):
        export_pth(tmp_path / "run", tmp_path / "gone" / "out.pth")
    export_pth(tmp_path / "run", tmp_path / "out.pth", overwrite=True)
    assert read_published(tmp_path / "out.pth").kind == "syncnet"
    assert not list(tmp_path.glob(".*part"))


def test_kinds_without_a_published_form(tmp_path: Path) -> None:
    import_pth(narrow_file(tmp_path / "in.pth"), tmp_path / "run")
    header = next((tmp_path / "run").glob("step-*/checkpoint.json"))
    header.write_text(json.dumps({**json.loads(header.read_text()), "kind": "warp"}))
    with pytest.raises(InputError, match="kind warp, which has no published form"):
        export_pth(tmp_path / "run", tmp_path / "out.pth")


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = narrow_file(tmp_path / "in.pth", "wav2lip")
    words = ["import", str(file), "-o", str(tmp_path / "run"), "--mel-offset-frames", "0"]
    imported = CliRunner().invoke(train, words, catch_exceptions=False)
    assert imported.stdout.strip() == str(tmp_path / "run" / "step-00300000")
    assert "a Wav2Lip generator, step 300000" in imported.stderr
    header = json.loads((tmp_path / "run" / "step-00300000" / "checkpoint.json").read_text())
    assert header["imported"]["file"] == "in.pth"
    assert len(header["imported"]["sha256"]) == 64
    assert main(["train", "export-pth", str(tmp_path / "run"), "-o", str(tmp_path / "out.pth")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out.pth")
    assert main(["train", "import", str(tmp_path / "gone.pth"), "-o", str(tmp_path / "b")]) == 2
    assert "no such file" in capsys.readouterr().err


def test_weights_survive_without_the_training_state(tmp_path: Path) -> None:
    folder, _ = import_pth(narrow_file(tmp_path / "in.pth"), tmp_path / "run")
    (folder / "training.pt").unlink()
    export_pth(folder, tmp_path / "out.pth")
    assert torch.load(tmp_path / "out.pth", weights_only=True)["optimizer"] is None
