"""Export -> convert -> run -> compare, with stand-ins for atc and for the NPU."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from lipforge.export.ascend.target import AscendOptions
from lipforge.export.bundle_folder import read_reference
from lipforge.export.export_bundle import ExportRequest, export_bundle
from lipforge.export.from_bundle import export_from_bundle
from lipforge.export.targets import ASCEND, TargetOptions
from lipforge.export.verify import verify_bundle
from lipforge.kernels.errors import BackendError, ExportError, InputError
from lipforge.runtime.acl_module import Acl
from lipforge.runtime.acl_process import acl_process
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.generator import load_generator
from lipforge.runtime.manifest import Manifest
from lipforge.runtime.om_conversion import Conversion

OPTIONS = AscendOptions(gears=(1, 4), convert=False)


def check_agreement(folder: Path, batches: tuple[int, ...] = (1, 3)) -> None:
    """Compare every graph on the NPU with the same graph on the CPU, on samples that differ within a batch."""
    npu, cpu = Bundle.load(folder, "acl"), Bundle.load(folder, "onnxruntime")
    assert npu.manifest.ascend is not None
    reference = read_reference(folder / "reference.npz")
    for name, graph in npu.manifest.graphs.items():
        engine = npu.engine(name)
        for batch in batches:
            typical = {tensor.name: reference[f"{name}.{tensor.name}"] for tensor in graph.inputs}
            arrays = {
                key: np.ascontiguousarray(np.concatenate([np.roll(a, shift, axis=-1) for shift in range(batch)]))
                for key, a in typical.items()
            }
            produced = engine.run(arrays)
            for output, truth in cpu.engine(name).run(arrays).items():
                assert produced[output].shape == truth.shape
                budget = npu.manifest.ascend.models[name].budget[output]
                np.testing.assert_allclose(produced[output], truth, rtol=0, atol=budget)
                assert np.ptp(truth) > 0
        engine.close()


def check_clean(fake: Any) -> None:
    assert fake.live() == {}
    acl_process(Acl(fake.module)).shutdown()
    assert fake.violations == []


def test_a_converted_bundle_runs_on_the_npu_and_agrees(converted: Path, fake_acl: Any) -> None:
    bundle = Bundle.load(converted)
    assert (bundle.choice.backend, bundle.choice.reason) == (
        "acl",
        "the bundle was converted for the NPU that is here",
    )
    check_agreement(converted)
    reports = verify_bundle(converted, "acl")
    assert {report.batch for report in reports} == {1, 4}
    assert max(report.max_abs for report in reports) > 1e-6  # float16 was at work
    del bundle
    check_clean(fake_acl)


def test_the_runtimes_generator_runs_on_the_npu(converted: Path, fake_acl: Any) -> None:
    load_generator(Bundle.load(converted, "acl"))
    assert fake_acl.calls["mdl.load_from_file"] == 2
    check_clean(fake_acl)


def test_the_manifest_says_everything(converted: Path) -> None:
    entry = Manifest.read(converted).ascend
    assert entry is not None
    assert (entry.soc, entry.precision, entry.gears) == ("Ascend310P3", "fp16", (1, 4))
    assert entry.operator_table["date"] == "2026-08"
    for name, model in entry.models.items():
        assert f"--model={name}.onnx" in model.arguments
        assert "--dynamic_batch_size=1,4" in model.arguments
        assert set(model.fp16_error) == set(model.budget)
        assert all(0 < error < model.budget[output] for output, error in model.fp16_error.items())
        assert 0 < model.largest_activation < 65504
    files = {file.name for file in converted.iterdir()}
    assert files == {"manifest.json", "audio2lips.onnx", "warp.onnx", "reference.npz", "convert.sh", "README.txt"} | {
        "preflight.json",
        "conversion.json",
        "audio2lips.om",
        "warp.om",
        "audio2lips.atc.log",
        "warp.atc.log",
    }
    assert len((converted / "README.txt").read_text().splitlines()) == 3
    findings = json.loads((converted / "preflight.json").read_text())["findings"]
    assert {finding["rule"] for finding in findings} == {"ASC010"}


def test_checkpoints_are_exported_as_onnx_is_and_then_converted(
    audio2lips: Path, warp: Path, bundle: Path, atc: Path, tmp_path: Path, fake_acl: Any
) -> None:
    options = AscendOptions(gears=(2,), atc=atc, float_inputs=True)
    request = ExportRequest(
        [warp, audio2lips], tmp_path / "my bundle", target=ASCEND, options=TargetOptions(ascend=options)
    )
    manifest = export_bundle(request)
    for graph in manifest.graphs.values():
        assert (tmp_path / "my bundle" / graph.file).read_bytes() == (bundle / graph.file).read_bytes()
    check_agreement(tmp_path / "my bundle", batches=(1, 2))
    check_clean(fake_acl)
    assert [file.name for file in tmp_path.iterdir()] == ["my bundle"]


def test_equal_inputs_give_equal_bytes_and_no_machine_is_told(bundle: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        export_from_bundle(bundle, tmp_path / name, ASCEND, TargetOptions(ascend=OPTIONS))
    files = sorted(file.name for file in (tmp_path / "one").iterdir())
    for name in files:
        content = (tmp_path / "one" / name).read_bytes()
        assert content == (tmp_path / "two" / name).read_bytes(), name
        assert str(tmp_path).encode() not in content, name
    assert os.access(tmp_path / "one" / "convert.sh", os.X_OK)


def test_the_script_converts_where_there_is_no_lipforge(
    bundle: Path, atc: Path, tmp_path: Path, fake_acl: Any, no_atc: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "it's a bundle"
    export_from_bundle(bundle, folder, ASCEND, TargetOptions(ascend=OPTIONS))
    run = subprocess.run(["./convert.sh"], cwd=folder, capture_output=True, text=True, check=False)
    assert (run.returncode, "atc is not on PATH" in run.stderr) == (1, True)
    with pytest.raises(BackendError, match=r"holds no OM yet. Run its convert\.sh"):
        Bundle.load(folder, "acl")
    monkeypatch.setenv("PATH", f"{atc.parent}{os.pathsep}{os.environ['PATH']}")
    run = subprocess.run([folder / "convert.sh"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert Conversion.read(folder) is not None
    check_agreement(folder)
    check_clean(fake_acl)
    assert not list(Path("/tmp").glob("lipforge-atc-*"))


def test_the_script_takes_another_chip_and_the_runtime_notices(
    bundle: Path, atc: Path, tmp_path: Path, fake_acl: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{atc.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_ATC_ARCH", "x86_64")
    export_from_bundle(bundle, tmp_path / "bundle", ASCEND, TargetOptions(ascend=OPTIONS))
    subprocess.run([tmp_path / "bundle" / "convert.sh", "Ascend910B4"], capture_output=True, check=True)
    conversion = Conversion.read(tmp_path / "bundle")
    assert conversion is not None
    assert conversion.soc == "Ascend910B4"
    assert conversion.models["warp"].file == "warp_linux_x86_64.om"
    with pytest.raises(BackendError, match=r"converted for Ascend910B4 and this NPU is Ascend310P3. Run ./convert\.sh"):
        Bundle.load(tmp_path / "bundle", "acl")
    choice = Bundle.load(tmp_path / "bundle").choice
    assert choice.backend == "onnxruntime"
    assert "Ascend910B4" in choice.reason


def test_a_script_whose_atc_fails_says_so_and_leaves_no_claim(
    converted_copy: Path, atc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{atc.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_ATC_FAIL", "E10501")
    run = subprocess.run([converted_copy / "convert.sh"], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "E10501" in run.stderr
    assert "audio2lips.atc.log" in run.stderr
    assert Conversion.read(converted_copy) is None


def test_aipp_prepares_the_picture_on_the_npu(bundle: Path, atc: Path, tmp_path: Path, fake_acl: Any) -> None:
    options = AscendOptions(gears=(1, 4), atc=atc, aipp=True, float_inputs=True)
    manifest = export_from_bundle(bundle, tmp_path / "bundle", ASCEND, TargetOptions(ascend=options))
    assert manifest.ascend is not None
    warp, audio = manifest.ascend.models["warp"], manifest.ascend.models["audio2lips"]
    assert (warp.aipp, warp.aipp_inputs) == ("warp-aipp.cfg", ("reference",))
    assert warp.float_inputs == ("reference_lips", "target_lips")
    assert {"--insert_op_conf=warp-aipp.cfg", "--input_format=NCHW"} <= set(warp.arguments)
    assert "--input_shape=reference:-1,3,96,96;reference_lips:-1,2,96,96;target_lips:-1,2,96,96" in warp.arguments
    assert (audio.aipp, audio.onnx) == ("", "audio2lips.onnx")
    graph = onnx.load_model(str(tmp_path / "bundle" / "warp-ascend.onnx")).graph
    assert not {"Cast"} & {node.op_type for node in graph.node}
    check_agreement(tmp_path / "bundle")
    check_clean(fake_acl)


def test_aipp_without_a_picture_is_refused(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = Manifest.read(bundle)
    alone = replace(manifest, graphs={"audio2lips": manifest.graphs["audio2lips"]})
    from lipforge.export.ascend.target import add_ascend

    with pytest.raises(ExportError, match=r"--aipp: no input fits \(mel: is \['B', 80, 32\]"):
        add_ascend(bundle, alone, replace(OPTIONS, aipp=True), tmp_path / "never")


def test_a_static_bundle_takes_one_sample(bundle: Path, atc: Path, tmp_path: Path, fake_acl: Any) -> None:
    export_from_bundle(
        bundle,
        tmp_path / "bundle",
        ASCEND,
        TargetOptions(ascend=AscendOptions(gears=(1,), atc=atc, precision="origin")),
    )
    check_agreement(tmp_path / "bundle", batches=(1,))
    check_clean(fake_acl)


def test_a_failing_atc_leaves_the_log_and_the_old_bundle(
    bundle: Path, atc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_from_bundle(bundle, tmp_path / "bundle", ASCEND, TargetOptions(ascend=OPTIONS), name="old")
    monkeypatch.setenv("FAKE_ATC_FAIL", "E10501")
    with pytest.raises(ExportError, match=r"audio2lips: atc ended with code 255. E10501: the chip's operators"):
        export_from_bundle(
            bundle,
            tmp_path / "bundle",
            ASCEND,
            TargetOptions(ascend=replace(OPTIONS, convert=True, atc=atc)),
            overwrite=True,
        )
    assert Manifest.read(tmp_path / "bundle").name == "old"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bundle", "bundle.audio2lips.atc.log"]


def test_a_converted_bundle_can_be_replaced_but_not_with_files_of_ones_own(bundle: Path, converted_copy: Path) -> None:
    (converted_copy / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"files that are not the bundle's: \['notes.txt'\]"):
        export_from_bundle(bundle, converted_copy, ASCEND, TargetOptions(ascend=OPTIONS), overwrite=True)
    (converted_copy / "notes.txt").unlink()
    export_from_bundle(bundle, converted_copy, ASCEND, TargetOptions(ascend=OPTIONS), overwrite=True)
    assert Conversion.read(converted_copy) is None
    assert not list(converted_copy.glob("*.om"))


def test_a_graph_that_float16_spoils_is_refused_unless_asked_otherwise(bundle: Path, tmp_path: Path) -> None:
    said: list[str] = []
    strict = replace(OPTIONS, fp16_budget=1e-9, say=said.append)
    with pytest.raises(ExportError, match=r"(?s)nothing was written\..*ASC203 audio2lips: lips: float16 moves"):
        export_from_bundle(bundle, tmp_path / "bundle", ASCEND, TargetOptions(ascend=strict))
    assert not list(tmp_path.iterdir())
    export_from_bundle(bundle, tmp_path / "bundle", ASCEND, TargetOptions(ascend=replace(strict, precision="mixed")))
    assert any(line.startswith("warning: ASC203 warp: flow") for line in said)
    assert "--precision_mode_v2=mixed_float16" in (tmp_path / "bundle" / "convert.sh").read_text()


@pytest.mark.parametrize("damage", ["changed", "missing", "unsaid", "garbled"])
def test_a_damaged_conversion_is_told_and_never_passed_over(converted_copy: Path, fake_acl: Any, damage: str) -> None:
    path = converted_copy / "conversion.json"
    if damage == "changed":
        with (converted_copy / "warp.om").open("ab") as file:
            file.write(b"x")
    elif damage == "missing":
        (converted_copy / "warp.om").unlink()
    elif damage == "unsaid":
        values = json.loads(path.read_text())
        del values["models"]["warp"]
        path.write_text(json.dumps(values))
    else:
        path.write_text("{")
    for backend in ("auto", "acl"):
        with pytest.raises(InputError, match=r"again\.$"):
            Bundle.load(converted_copy, backend)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"soc": "Nvidia"}, "--soc Nvidia: is not a chip"),
        ({"gears": ()}, "--batch"),
        ({"gears": (4, 1)}, "--batch 4,1: must be different sizes from 1 to 2048, rising"),
        ({"gears": (1, 1)}, "--batch 1,1"),
        ({"gears": (0,)}, "--batch 0"),
        ({"gears": (4096,)}, "--batch 4096"),
        ({"gears": tuple(range(1, 102))}, "101 sizes are more than the 100"),
        ({"atc": Path("/no/such/atc")}, "--atc /no/such/atc: is not a program"),
    ],
)
def test_options_that_cannot_be_are_told_before_anything_is_done(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=message):
        export_bundle(
            ExportRequest(
                [tmp_path], tmp_path / "new", target=ASCEND, options=TargetOptions(ascend=replace(OPTIONS, **changes))
            )
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("soc", ["Ascend310", "Ascend310P3", "Ascend310B4", "Ascend910B3", "Ascend910_9382"])
def test_known_chips_pass(soc: str) -> None:
    replace(OPTIONS, soc=soc).check()


def test_two_engines_of_one_bundle_run_from_many_threads(converted: Path, fake_acl: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    bundle = Bundle.load(converted, "acl")
    reference = read_reference(converted / "reference.npz")
    engines = {name: bundle.engine(name) for name in bundle.manifest.graphs}

    def work(name: str) -> float:
        graph = bundle.graph(name)
        produced = engines[name].run({tensor.name: reference[f"{name}.{tensor.name}"] for tensor in graph.inputs})
        return max(float(np.abs(produced[t.name] - reference[f"{name}.{t.name}"]).max()) for t in graph.outputs)

    with ThreadPoolExecutor(4) as pool:
        errors = list(pool.map(work, ["warp", "audio2lips"] * 4))
    assert max(errors) < 0.05
    for engine in engines.values():
        engine.close()
    check_clean(fake_acl)
