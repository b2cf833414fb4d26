"""The measures of lips that follow a voice, on a dataset with exact truth as anybody can make one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lipforge.runtime import wheel_assets
from lipforge.runtime.cli import main

pytestmark = pytest.mark.network
SCRIPT = Path(__file__).parents[1] / "benchmarks" / "voice_lips.py"


@pytest.fixture
def voices(tmp_path: Path) -> Path:
    for asset in wheel_assets.ASSETS:
        if wheel_assets.locate(asset) is None:
            pytest.skip(f"{asset.name} is not there: `lipforge models fetch --all` (done by `make test`)")
    words = ["--clips", "2", "--seconds", "5", "--pairs", "0", "--seed", "3", "--workers", "1"]
    assert main(["preprocess", "synth", str(tmp_path / "voices"), *words]) == 0
    return tmp_path / "voices"


def test_the_shipped_ear_follows_rendered_voices(voices: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(voices)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
    )
    found = {name: float(value) for name, value in re.findall(r"([a-z ]+) (-?[\d.]+)", done.stdout.partition(": ")[2])}
    assert found["opening"] > 0.7
    assert found[" width"] > 0.5
    assert abs(found[" median lag"]) <= 1.0
    assert found[" closures"] >= 3
    assert found[" closures shut"] > 0.7
