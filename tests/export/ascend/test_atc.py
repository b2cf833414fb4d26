from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from lipforge.export.ascend.atc import ADVICE, AtcJob, atc_arguments, explain_log, find_atc, run_atc
from lipforge.kernels.errors import ExportError

SOC = "Ascend310P3"


@pytest.fixture
def job(tmp_path: Path, model_of: Callable[..., onnx.ModelProto]) -> tuple[AtcJob, Path]:
    """A job and the folder, with a space in its name, that holds its model."""
    folder = tmp_path / "a folder (of mine)"
    folder.mkdir()
    model = model_of([helper.make_node("Relu", ["x"], ["y"], name="a")])
    onnx.save_model(model, str(folder / "net.onnx"))
    job = AtcJob("net", "net.onnx", "net", ())
    return AtcJob("net", "net.onnx", "net", atc_arguments(model, job, (1, 4), "fp16")), folder


@pytest.mark.parametrize(
    ("gears", "precision", "extra", "expected"),
    [
        (
            (1, 4, 8),
            "fp16",
            (),
            [
                "--input_format=ND",
                "--input_shape=face:-1,96,96,3;mel:-1,80,16",
                "--dynamic_batch_size=1,4,8",
                "--precision_mode_v2=fp16",
                "--output_type=FP32",
            ],
        ),
        (
            (4,),
            "mixed",
            ("net-aipp.cfg",),
            [
                "--input_format=NCHW",
                "--input_shape=face:4,96,96,3;mel:4,80,16",
                "--precision_mode_v2=mixed_float16",
                "--output_type=FP32",
                "--insert_op_conf=net-aipp.cfg",
            ],
        ),
    ],
)
def test_the_options_of_a_model(
    model_of: Callable[..., onnx.ModelProto], gears: tuple[int, ...], precision: str, extra: Any, expected: list[str]
) -> None:
    model = model_of(
        [helper.make_node("Add", ["face", "mel"], ["y"])],
        inputs=[("face", ("B", 96, 96, 3)), ("mel", ("B", 80, 16))],
    )
    arguments = atc_arguments(model, AtcJob("net", "net.onnx", "net", (), extra), gears, precision)
    assert arguments[:3] == ("--framework=5", "--model=net.onnx", "--output=net")
    assert list(arguments[3:]) == [*expected, "--log=error"]


def test_outputs_of_bytes_stay_bytes(model_of: Callable[..., onnx.ModelProto]) -> None:
    model = model_of(
        [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.UINT8)],
        outputs=[("y", ("B", 3, 8, 8), TensorProto.UINT8)],
    )
    assert "--output_type=FP32" not in atc_arguments(model, AtcJob("n", "n.onnx", "n", ()), (1,), "origin")


def test_a_model_in_a_folder_with_spaces_is_converted(atc: Path, job: tuple[AtcJob, Path], tmp_path: Path) -> None:
    log = tmp_path / "net.atc.log"
    om = run_atc(atc, job[0], SOC, job[1], log)
    assert om == job[1] / "net.om"
    assert om.stat().st_size > 100
    assert "ATC run success" in log.read_text()
    assert {file.name for file in job[1].iterdir()} == {"net.onnx", "net.om"}


def test_the_om_is_found_under_the_name_with_the_host(
    atc: Path, job: tuple[AtcJob, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ATC_ARCH", "aarch64")
    assert run_atc(atc, job[0], SOC, job[1], tmp_path / "log").name == "net_linux_aarch64.om"


@pytest.mark.parametrize("code", ["E10501", "E16002", "E40001", "EZ9999", "E99999"])
def test_an_error_code_becomes_advice_and_the_log_stays(
    atc: Path, job: tuple[AtcJob, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setenv("FAKE_ATC_FAIL", code)
    log = tmp_path / "net.atc.log"
    with pytest.raises(ExportError, match=rf"net: atc ended with code 255\. {code}: ") as caught:
        run_atc(atc, job[0], SOC, job[1], log)
    assert "\n" not in str(caught.value)
    assert str(log) in str(caught.value)
    assert code in log.read_text()
    assert not list(job[1].glob("*.om"))


def test_a_good_end_without_an_om_is_an_error(
    atc: Path, job: tuple[AtcJob, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ATC_SILENT", "1")
    with pytest.raises(ExportError, match="atc ended well but wrote no OM"):
        run_atc(atc, job[0], SOC, job[1], tmp_path / "log")


def test_a_program_that_cannot_run_is_told(job: tuple[AtcJob, Path], tmp_path: Path) -> None:
    broken = tmp_path / "atc"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(ExportError, match="cannot be run"):
        run_atc(broken, job[0], SOC, job[1], tmp_path / "log")


def test_atc_is_found_on_path_or_where_it_was_named(atc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_atc(None) is None
    assert find_atc(atc) == atc
    monkeypatch.setenv("PATH", f"{atc.parent}{os.pathsep}{tmp_path}")
    assert find_atc(None) == atc
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(ExportError, match="is not a program"):
            find_atc(path)


def test_every_advice_is_a_line_and_words_without_codes_are_explained() -> None:
    assert all("\n" not in advice and not advice.endswith(".") for advice in ADVICE.values())
    assert "set_env.sh" in explain_log("sh: atc: libgraph.so: cannot open shared object file")
    assert explain_log("E10016 and E10016 again, E19999").startswith("E10016: an input is called")
    assert explain_log("E10016 and E10016 again, E19999").count("E10016") == 1


# -- the stand-in is as strict as the tool -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--dynamic_batch_size=4"], "E10035"),
        (["--dynamic_batch_size=4,4"], "E10039"),
        (["--dynamic_batch_size=1,4", "--dynamic_dims=1;4"], "E10009"),
        (["--precision_mode=force_fp16", "--precision_mode_v2=fp16"], "E10009"),
        (["--input_shape=z:1,3,8,8"], "E10016"),
        (["--input_shape=x:1,3,8,9"], "E10014"),
        (["--input_format=NHWC"], "E10001"),
        (["--frobnicate=1"], "E10001"),
        (["--dynamic_batch_size=1,4", "--input_shape=x:1,3,8,8"], "E10031"),
    ],
)
def test_the_stand_in_refuses_what_atc_refuses(
    job: tuple[AtcJob, Path],
    build_om: Callable[..., None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: str,
) -> None:
    (tmp_path / "net.onnx").write_bytes((job[1] / "net.onnx").read_bytes())
    common = [
        "--framework=5",
        f"--model={tmp_path / 'net.onnx'}",
        f"--output={tmp_path / 'net'}",
        f"--soc_version={SOC}",
    ]
    with pytest.raises(SystemExit):
        build_om(*common, *words)
    assert re.search(rf"^{code}: ", capsys.readouterr().out, re.MULTILINE)
    with pytest.raises(SystemExit):
        build_om(*[word.replace(str(tmp_path), str(job[1])) for word in common])  # the path holds spaces
    assert "E10001: Path" in capsys.readouterr().out
    assert np.all([not list(folder.glob("*.om")) for folder in (tmp_path, job[1])])
