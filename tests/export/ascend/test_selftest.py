from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipforge.export.ascend.selftest import selftest_bundle
from lipforge.export.bundle_folder import read_reference, write_reference
from lipforge.runtime.acl_module import Acl
from lipforge.runtime.acl_process import acl_process

CALLS = ["rt.create_context", "mdl.load_from_file", "rt.malloc", "mdl.execute", "rt.memcpy", "mdl.unload"]


def test_without_an_npu_the_report_says_so_and_runs_on_the_cpu(
    converted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "acl", None)
    report = selftest_bundle(converted, runs=1)
    text = report.to_text()
    assert report.passed
    assert "NPU: not run. CANN's Python interface acl cannot be imported" in text
    assert "converted for Ascend310P3" in text
    assert "onnxruntime warp.flow batch 4: max" in text
    assert "acl warp" not in text
    assert text.splitlines()[0] == "--- lipforge selftest"
    assert text.splitlines()[-2] == "result: passed"


def test_a_bundle_that_was_not_exported_for_an_npu_still_gives_a_report(bundle: Path) -> None:
    text = selftest_bundle(bundle, runs=1).to_text()
    assert "was not exported for an NPU" in text
    assert "onnxruntime audio2lips.lips batch 1: max" in text


def test_with_an_npu_every_graph_is_compared_and_timed_at_every_gear(converted: Path, fake_acl: Any) -> None:
    report = selftest_bundle(converted, runs=2)
    text = report.to_text()
    assert report.passed, text
    assert "acl: Ascend310P3, 1 NPU(s) visible" in text
    for graph, output in (("audio2lips", "lips"), ("warp", "flow"), ("warp", "mask"), ("warp", "colour")):
        for batch in (1, 4):
            assert f"acl {graph}.{output} batch {batch}: max " in text
            assert f"acl {graph} batch {batch}: p50 " in text
    assert fake_acl.live() == {}
    acl_process(Acl(fake_acl.module)).shutdown()
    assert fake_acl.violations == []


def test_an_output_that_is_too_far_is_marked(converted_copy: Path, fake_acl: Any) -> None:
    path = converted_copy / "reference.npz"
    arrays = read_reference(path)
    arrays["warp.mask"] = arrays["warp.mask"] + np.float32(0.1)
    write_reference(path, arrays)
    report = selftest_bundle(converted_copy, runs=1)
    assert not report.passed
    marked = [line for line in report.lines if line.endswith("<- TOO FAR")]
    assert {line.split()[1] for line in marked} == {"warp.mask"}
    assert "result: FAILED at acl: warp.mask batch 1" in report.to_text()


@pytest.mark.parametrize("call", CALLS)
def test_the_step_that_failed_is_named_and_the_rest_still_runs(converted: Path, fake_acl: Any, call: str) -> None:
    fake_acl.fail(call, 507011)
    report = selftest_bundle(converted, runs=1)
    text = report.to_text()
    assert f"FAILED at acl: audio2lips: {converted}/audio2lips.om: acl.{call} failed with 507011" in text
    assert report.failed == ["acl: audio2lips"]
    assert "acl warp.flow batch 4: max" in text
    assert "onnxruntime audio2lips.lips batch 1: max" in text
    assert fake_acl.live() == ({"models": 1} if call == "mdl.unload" else {})


def test_a_driver_that_refuses_is_told(converted: Path, fake_acl: Any) -> None:
    fake_acl.fail("init", 507008)
    fake_acl.fail("rt.get_device_count", 507008)
    text = selftest_bundle(converted, runs=1).to_text()
    assert "acl: acl.init failed with 507008" in text
    assert "NPU: not run. acl.rt.get_device_count failed with 507008" in text


def test_a_manifest_without_a_budget_is_told(converted_copy: Path, fake_acl: Any) -> None:
    path = converted_copy / "manifest.json"
    values = json.loads(path.read_text())
    del values["ascend"]["models"]["warp"]["budget"]["mask"]
    path.write_text(json.dumps(values))
    text = selftest_bundle(converted_copy, runs=1).to_text()
    assert "FAILED at acl: warp: manifest: ascend: models: warp: no budget for ['mask']" in text
