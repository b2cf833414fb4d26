"""The measures of faces run on a clip as a user has one; a still photograph stands in for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import cv2
import pytest

from lipforge.runtime import wheel_assets

pytestmark = [pytest.mark.network, pytest.mark.slow]
ROOT = Path(__file__).parents[1]


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    for asset in (wheel_assets.FACES, wheel_assets.HEADS):
        if wheel_assets.locate(asset) is None:
            pytest.skip(f"{asset.name} is not there: `lipforge models fetch --all` (done by `make test`)")
    photograph = next(path for path in (ROOT / "runtime" / "assets").iterdir() if path.suffix in (".jpg", ".png"))
    picture = cv2.imread(str(photograph))
    picture = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
    folder = tmp_path / "clips"
    folder.mkdir()
    with av.open(str(folder / "still.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuv420p"
        for _ in range(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    return folder


def test_figures_and_sheets_of_a_clip(clips: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "real_faces.py"), str(clips), "--json"]
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [*command, "--sheets", str(tmp_path / "sheets")], capture_output=True, text=True, check=True, env=environment
    )
    figures = json.loads(done.stdout)["synth-warp"]
    assert figures["gap/drive closed worst"] > 0.8
    assert figures["sharpness median"] > 0.8
    assert figures["cheek change"] < 0.5
    assert {file.name for file in (tmp_path / "sheets").iterdir()} == {"still-closed.png", "still-open.png"}
    empty = tmp_path / "empty"
    empty.mkdir()
    refused = subprocess.run([*command[:2], str(empty)], capture_output=True, text=True, check=False, env=environment)
    assert refused.returncode == 2
    assert "no video with a face in it" in refused.stderr


def test_bars_of_a_clip_without_sound(clips: Path, tmp_path: Path) -> None:
    script = ROOT / "benchmarks" / "default_model_bars.py"
    subprocess.run(
        [sys.executable, str(script), str(clips), "--stills-only", "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
    )
    bars = {bar["name"]: bar for bar in json.loads((tmp_path / "out" / "bars.json").read_text())["bars"]}
    assert bars["gap/drive correlation, worst face"]["met"]
    assert bars["mouth sharpness, own lips, worst"]["met"]
    assert 0.0 < bars["cheeks and neck, closed drive, grey levels"]["value"] < 1.0
    assert (tmp_path / "out" / "still.png").exists()
