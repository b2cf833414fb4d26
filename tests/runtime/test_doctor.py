"""The rows of `lipforge doctor`, each on a machine that is made up for it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lipforge.kernels.backend import BACKENDS
from lipforge.kernels.catalogue import OPS, kernels_of
from lipforge.kernels.machine_code import store
from lipforge.runtime import cli
from lipforge.runtime.doctor import (
    Finding,
    accelerators,
    healthy,
    kernel_backends,
    machine,
    media_tools,
    models,
    npu_pairing,
)
from lipforge.runtime.doctor import runtime_packages as packages
from lipforge.runtime.doctor.child import ask_python
from lipforge.runtime.doctor.speech_engines import speech_findings

TABLE = npu_pairing.load_table()


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend that of torch, triton and torch_npu just these versions are installed."""

    def pretend(**installed: str) -> None:
        names = {name.replace("triton_ascend", "triton-ascend"): version for name, version in installed.items()}
        monkeypatch.setattr(accelerators, "installed_version", names.get)
        monkeypatch.setattr(accelerators, "run_nvidia_smi", lambda: (None, "no nvidia-smi"))

    return pretend


def row_of(name: str, findings: list[Finding]) -> Finding:
    (found,) = [row for row in findings if row.name == name]
    return found


# --- speech programs


def test_a_speech_program_that_is_missing_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    rows = speech_findings()
    assert [(row.name, row.status, row.required) for row in rows] == [
        ("flite", "optional", False),
        ("festival", "optional", False),
    ]
    assert all("apt install" in row.fix for row in rows)


def test_a_speech_program_says_its_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "flite"
    program.write_text("#!/bin/sh\necho 'flite: a synthesizer'; echo '  version: flite-9.1'; exit 1\n")
    monkeypatch.setattr("shutil.which", lambda _: str(program))
    assert speech_findings()[0].status == "problem", "it may not be run"
    program.chmod(0o755)
    found = speech_findings()[0]
    assert (found.status, found.detail) == ("ok", f"version: flite-9.1, {program}")


def test_openvino_is_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "installed_version", lambda name: None if name == "openvino" else "9")
    row = row_of("openvino", packages.package_findings())
    assert (row.status, row.fix) == ("optional", "For --backend openvino: pip install 'lipforge[openvino]'")
    monkeypatch.setattr(packages, "installed_version", lambda name: "2026.4" if name == "openvino" else "9")
    assert row_of("openvino", packages.package_findings()).detail == "2026.4"


# --- the whole command


@pytest.fixture(scope="module")
def report() -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "lipforge.runtime.cli", "doctor", "--json"], capture_output=True, text=True, timeout=200
    )
    document = json.loads(done.stdout)
    assert done.returncode == (0 if document["healthy"] else 1), done.stderr
    return document


def test_json_report_is_whole(report: dict) -> None:
    assert report["schema"] == 1
    for row in report["findings"]:
        assert set(row) == {"section", "name", "status", "detail", "fix", "required"}
        assert row["status"] in ("ok", "missing", "problem", "optional")
        assert row["detail"]
        assert bool(row["fix"]) or row["status"] == "ok", row


def test_this_machine_has_what_the_tests_need(report: dict) -> None:
    status = {row["name"]: row["status"] for row in report["findings"]}
    needed = ("Python", *packages.MODULES, "onnxruntime providers", "codecs (PyAV)", "ffmpeg program", "torch")
    assert {name: status[name] for name in needed} == dict.fromkeys(needed, "ok")
    assert {"CPU", "memory", "kernel cache", "CUDA", "triton", "CANN", "torch_npu", "atc", "acl"} <= set(status)
    assert {"faces", "heads", "speech", "bundle synth-warp", "flite", "festival"} <= set(status)
    assert {status[name] for name in ("mel", "crop", "warp")} <= {"ok", "missing"}  # compiled, or on the first use


@pytest.mark.parametrize("broken", [True, False])
def test_exit_code_and_last_line_tell_of_required_rows_only(
    broken: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    findings = [
        Finding("a", "good", "ok", "fine", required=True),
        Finding("a", "broken", "problem", "bent", "Straighten it.", required=broken),
    ]
    monkeypatch.setattr("lipforge.runtime.doctor.examine", lambda: findings)
    assert cli.main(["doctor"]) == (1 if broken else 0)
    shown = capsys.readouterr().out
    assert "-> Straighten it." in shown
    assert shown.endswith("lipforge sync needs: broken.\n" if broken else "lipforge sync has all that it needs.\n")


def test_healthy_ignores_what_is_not_required() -> None:
    assert healthy([Finding("a", "b", "missing", "c")])
    assert not healthy([Finding("a", "b", "missing", "c", required=True)])


# --- machine


@pytest.mark.parametrize(
    ("features", "level"),
    [
        ({"sse4.2"}, "baseline"),
        ({"avx2"}, "baseline"),  # without fma it is no AVX2 machine to a compiler
        ({"avx2", "fma"}, "AVX2"),
        ({"avx2", "fma", "avx512f"}, "AVX2"),
        ({"avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl"}, "AVX-512"),
        ({"neon"}, "NEON"),
        ({"neon", "sve"}, "SVE"),
    ],
)
def test_cpu_level(features: set[str], level: str) -> None:
    assert machine.cpu_level(dict.fromkeys(features, True)) == level
    assert machine.cpu_level({name: False for name in features}) == "baseline"


def test_writable_looks_at_the_nearest_folder_that_exists(tmp_path: Path) -> None:
    assert machine.writable(tmp_path / "not" / "yet")
    (tmp_path / "file").write_bytes(b"")
    assert not machine.writable(tmp_path / "file" / "below")
    assert not (tmp_path / "not").exists()


# --- packages


def test_minimum_versions_leave_extras_out() -> None:
    found = packages.minimum_versions(["numpy>=1.26", "Click>=8.1", 'torch<2.14,>=2.6; extra == "train"'])
    assert found == {"numpy": "1.26", "click": "8.1"}


def test_missing_broken_and_old_packages_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bent.py").write_text("raise OSError('libfoo.so.1: cannot open shared object file')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    missing = packages._package("no-such-package", "no_such_package", None)
    assert (missing.status, missing.fix) == ("missing", "pip install no-such-package")
    broken = packages._package("click", "bent", None)
    assert broken.status == "problem"
    assert "libfoo.so.1" in broken.detail
    old = packages._package("click", "click", "99.0")
    assert (old.status, old.fix) == ("problem", "pip install --upgrade 'click>=99.0'")


def test_release_orders_versions_by_number() -> None:
    assert packages.release("2.13.0+cpu") == (2, 13, 0)
    assert packages.release("10.0rc1") > packages.release("9.9")


# --- accelerators


def test_without_torch_nothing_is_started(versions: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    versions()
    monkeypatch.setattr(accelerators, "ask_python", lambda *_: pytest.fail("a child process was started"))
    torch, cuda = accelerators._torch_and_cuda()
    assert (torch.status, cuda.status) == ("optional", "optional")
    assert "lipforge[train,export]" in torch.fix


def test_cuda_rows(versions: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    def cuda(driver: str | None, build: str | None, devices: list[str]) -> Finding:
        answer = {"version": "2.13.0", "cuda_build": build, "devices": devices}
        monkeypatch.setattr(accelerators, "ask_python", lambda *_: (answer, ""))
        monkeypatch.setattr(accelerators, "run_nvidia_smi", lambda: (driver, ""))
        return accelerators._torch_and_cuda()[1]

    versions(torch="2.13.0")
    assert cuda("H200, 570.1", "13.0", ["H200"]).status == "ok"
    assert cuda(None, None, []).status == "optional"
    assert "CPU build" in cuda("H200, 570.1", None, []).detail
    assert "driver" in cuda("H200, 570.1", "13.0", []).fix


def test_torch_that_torch_npu_breaks_is_explained(versions: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    versions(torch="2.13.0", torch_npu="2.13.0")
    monkeypatch.setattr(accelerators, "ask_python", lambda *_: (None, "RuntimeError: libhccl.so: cannot open"))
    torch = accelerators._torch_and_cuda()[0]
    assert torch.status == "problem"
    assert "libhccl.so" in torch.detail
    assert "set_env.sh" in torch.fix


def test_two_tritons_in_one_folder_are_a_problem(versions: Callable) -> None:
    versions(triton="3.5.0", triton_ascend="3.2.0")
    assert accelerators._triton().status == "problem"
    versions(triton_ascend="3.2.0")
    assert accelerators._triton().status == "ok"


def test_other_package_named_acl_is_not_taken_for_cann(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acl.py").write_text("rules = []\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert accelerators._acl().status == "problem"
    (tmp_path / "acl.py").write_text("mdl = rt = object()\n")
    assert accelerators._acl().status == "ok"


def test_child_that_fails_hangs_or_babbles_is_one_line() -> None:
    assert ask_python("print('noise'); print('{\"a\": 1}')") == ({"a": 1}, "")
    assert ask_python("raise ValueError('two\\nlines')") == (None, "lines")
    assert ask_python("import os; os.abort()")[0] is None
    assert ask_python("import time; time.sleep(60)", 0.5) == (None, "no answer within 0.5 s")
    assert ask_python("pass") == (None, "gave no answer")


# --- kernels


def test_each_op_shows_its_backend_and_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"reference": "", "numba": "", "triton": "triton is not installed. Install it: pip install triton"}
    monkeypatch.setattr(kernel_backends, "ask_python", lambda _: (answers, ""))
    rows = kernel_backends.kernel_findings()
    assert [row.name for row in rows][:3] == ["mel", "crop", "warp"]
    assert all("numba (auto), by name also reference" in row.detail for row in rows[:3])
    assert (rows[-1].name, rows[-1].status) == ("triton backend", "optional")
    assert (rows[-1].detail, rows[-1].fix) == ("triton is not installed", "Install it: pip install triton")
    answers["triton"] = ""
    rows = kernel_backends.kernel_findings()
    assert all("numba (auto), by name also reference, triton" in row.detail for row in rows[:3])


def test_each_op_shows_whether_it_is_compiled_ahead_of_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kernel_backends, "ask_python", lambda _: (dict.fromkeys(BACKENDS, ""), ""))
    monkeypatch.setenv("LIPFORGE_CACHE", str(tmp_path))
    mel = row_of("mel", kernel_backends.kernel_findings())
    assert (mel.status, mel.fix) == ("missing", "lipforge kernels compile")
    count = len(kernels_of("mel"))
    assert f"{count} of {count} kernels not compiled yet; the first use does it, about {2 * count} s" in mel.detail
    for kernel in kernels_of("mel"):
        assert store.save(kernel.name, b"code")
    mel = row_of("mel", kernel_backends.kernel_findings())
    assert mel.status == "ok"
    assert mel.detail.endswith("compiled ahead of time")


def test_kernel_cache_that_cannot_be_written_matters_only_while_something_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LIPFORGE_CACHE", str(tmp_path))
    assert machine._kernel_cache().detail == str(store.folder())
    monkeypatch.setattr(machine, "writable", lambda _: False)
    row = machine._kernel_cache()
    assert (row.status, "LIPFORGE_CACHE" in row.fix) == ("problem", True)
    for op in OPS:
        for kernel in kernels_of(op):
            assert store.save(kernel.name, b"code")
    assert machine._kernel_cache().status == "ok"


def test_kernels_are_shown_when_the_question_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_backends, "ask_python", lambda _: (None, "ended with code -6"))
    rows = kernel_backends.kernel_findings()
    assert {row.status for row in rows[:3]} <= {"ok", "missing"}
    assert rows[-1].detail == "could not be examined: ended with code -6"
    assert rows[-1].fix


# --- pairing


def test_table_is_whole_and_no_version_stands_twice() -> None:
    listed = [version for paired in TABLE.values() for version in paired]
    assert len(listed) == len(set(listed)) > 25


@pytest.mark.parametrize(
    ("torch", "torch_npu", "cann", "says"),
    [
        (None, "2.9.0", "8.5.0", "without torch"),
        ("2.9.0+cu128", "2.9.0", "8.5.0", "CPU build"),
        ("2.10.0+cpu", "2.9.0", "8.5.0", "needs torch 2.9.0"),
        ("2.9.0+cpu", "2.9.0", None, "CANN not found"),
        ("2.9.0+cpu", "2.9.0", "9.0.0", "made for CANN 8.5.0"),
        ("2.13.0+cpu", "2.13.0", "9.1.0", "unknown pairing"),
        ("2.12.0+cpu", "2.12.0.post2", "9.1.0", "made for CANN 9.1.X"),
    ],
)
def test_wrong_pairings_say_why_and_what_to_do(torch: str, torch_npu: str, cann: str, says: str) -> None:
    verdict = npu_pairing.judge(torch, torch_npu, cann, TABLE)
    assert verdict.status == "problem"
    assert says in verdict.detail
    assert verdict.fix


def test_fix_of_a_wrong_cann_names_both_ways_out() -> None:
    fix = npu_pairing.judge("2.9.0+cpu", "2.9.0", "9.0.0", TABLE).fix
    assert "Install CANN 8.5.0" in fix
    assert "2.9.0.post2" in fix


@pytest.mark.parametrize(
    ("torch", "torch_npu", "cann"),
    [
        ("2.9.0+cpu", "2.9.0", "8.5.0"),
        ("2.9.0", "2.9.0.post2", "9.0.0"),
        ("2.8.0", "2.8.0", "8.3.rc1"),
        ("2.12.0", "2.12.0.post2", "9.1.3"),
    ],
)
def test_right_pairings(torch: str, torch_npu: str, cann: str) -> None:
    assert npu_pairing.judge(torch, torch_npu, cann, TABLE).status == "ok"


def test_cann_is_found_through_its_environment(tmp_path: Path) -> None:
    record = tmp_path / "aarch64-linux" / "ascend_toolkit_install.info"
    record.parent.mkdir()
    record.write_text("package_name=Ascend-cann-toolkit\nversion=8.5.0\narch=aarch64\n")
    assert npu_pairing.find_cann({"ASCEND_HOME_PATH": str(tmp_path)}) == (tmp_path, "8.5.0")
    record.unlink()
    assert npu_pairing.find_cann({"ASCEND_TOOLKIT_HOME": str(tmp_path)}) == (tmp_path, None)


# --- media and models


def test_ffmpeg_program_that_is_none_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "ffmpeg"
    fake.write_text("#!/bin/sh\nexit 3\n")
    fake.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(fake))
    row = media_tools._program()
    assert row.status in ("problem", "missing")
    assert row.required
    assert "IMAGEIO_FFMPEG_EXE" in row.fix


def test_models_that_were_not_fetched_name_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPFORGE_CACHE", str(tmp_path))
    findings = models.model_findings()
    faces = row_of("faces", findings)
    assert (faces.status, faces.fix, faces.required) == ("missing", "lipforge models fetch faces", False)
    assert row_of("heads", findings).status == "optional"


def test_damaged_bundle_is_a_problem_and_required(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "synth-warp"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    monkeypatch.setattr("lipforge.runtime.bundle._shipped_folder", lambda: tmp_path)
    row = row_of("bundle synth-warp", models.model_findings())
    assert (row.status, row.required) == ("problem", True)
    folder.rename(tmp_path / "another")
    assert row_of("bundle synth-warp", models.model_findings()).status == "missing"
