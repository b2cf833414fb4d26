"""Runs that are killed and resumed, and runs of two processes; ``processes/forked_runs.py`` does them all at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("processes") / "forked_runs.py"
CASES = [
    "killed_at_some_file_operations",
    "killed_at_random_moments",
    "two_ranks_equal_one",
    "two_ranks_resume",
    "two_ranks_meet_a_bad_batch",
    "two_ranks_share_statistics",
    "two_ranks_cannot_share",
]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks processes")


def run(root: Path, *names: str) -> dict[str, Any]:
    command = [sys.executable, "-P", str(SCRIPT), str(root), *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    results: dict[str, Any] = json.loads(done.stdout)
    return results


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(tmp_path_factory.mktemp("forked"), *CASES)


def test_killed_while_files_change(results: dict[str, Any]) -> None:
    """Renames, new folders, opened and deleted files in turn are the last; the resumed run equals the unbroken one."""
    found = results["killed_at_some_file_operations"]
    assert found["wrong"] == {}
    assert found["killed"] >= 10


@pytest.mark.slow
def test_killed_at_every_change_of_files(tmp_path: Path) -> None:
    found = run(tmp_path, "killed_at_every_file_operation")["killed_at_every_file_operation"]
    assert found["wrong"] == {}
    assert found["killed"] >= 50


def test_killed_at_random_moments(results: dict[str, Any]) -> None:
    found = results["killed_at_random_moments"]
    assert found["wrong"] == {}
    assert found["killed"] >= 3


def test_two_ranks_equal_one_process_with_the_whole_batch(results: dict[str, Any]) -> None:
    found = results["two_ranks_equal_one"]
    assert found["moved"] > 0.01
    assert found["difference"]["two"] < 1e-6
    assert found["difference"]["apart"] > 1e-3  # what it is without averaged gradients: the comparison can fail
    for one, two in zip(found["log one"], found["log two"], strict=True):
        group = next(key for key in one if key != "step")
        assert two[group] == pytest.approx(one[group], abs=1e-5)


def test_accumulated_parts_equal_the_whole_batch(results: dict[str, Any]) -> None:
    found = results["two_ranks_equal_one"]["difference"]
    assert found["parts"] < 1e-6
    assert found["two-parts"] < 1e-6


def test_two_ranks_stop_together_and_resume_exactly(results: dict[str, Any]) -> None:
    found = results["two_ranks_resume"]
    assert found["stopped"] == [[4, True], [4, True]]  # only rank 1 got the signal
    assert found["different"] == []


def test_two_ranks_stop_for_a_batch_that_only_one_of_them_has(results: dict[str, Any]) -> None:
    found = results["two_ranks_meet_a_bad_batch"]
    assert found["files"] == ["bad-batch-step-00000003-rank-1.pt"]
    assert all("the loss of toy is not finite" in said and found["files"][0] in said for said in found["said"])


def test_two_ranks_keep_the_same_statistics_and_task_state(results: dict[str, Any]) -> None:
    first, second = results["two_ranks_share_statistics"]["states"]
    assert first == second


def test_batches_that_cannot_be_shared_out(results: dict[str, Any]) -> None:
    found = results["two_ranks_cannot_share"]
    assert "loop.batch_size=5 cannot be shared evenly among 2 ranks" in found["uneven"][0]
    assert "on 2 ranks cannot be cut into loop.accumulate=8 equal parts" in found["parts"][0]
