"""``lipforge preprocess pack``: folders of pictures to shards, whatever state they are in."""

from __future__ import annotations

import io
import json
import tarfile
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from lipforge.kernels.errors import InputError
from lipforge.preprocess import pack as packing
from lipforge.preprocess.cli import preprocess
from lipforge.preprocess.pack import DAMAGED_PICTURES, PackOptions, pack
from lipforge.preprocess.shards import read_description, write_shard


def read(shard: Path) -> dict[str, bytes]:
    with tarfile.open(shard) as tar:
        return {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]


def call(root: Path, out: Path, *more: str) -> str:
    arguments = ["pack", str(root), str(out), "--shard-clips", "2", "--workers", "1", *more]
    result = CliRunner().invoke(preprocess, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stderr


def test_shards_hold_what_the_format_says(layout: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in layout.rglob("*")}
    assert "packed: 5 clips" in call(layout, tmp_path / "packed")
    assert {path: path.stat().st_mtime_ns for path in layout.rglob("*")} == before, "the source is left alone"
    header = read_description(tmp_path / "packed")
    assert [(s["samples"], s["split"]) for s in header["shards"]] == [(2, "train"), (1, "train"), (2, "val")]
    assert (header["fps"], header["faces"]) == (25, {"size_px": 96})
    files = read(tmp_path / "packed" / "shard-000000.tar")
    suffixes = ("json", "wav", "mel.npy", "frames.npy", "faces.npy")
    assert list(files) == [f"clip-0000000{k}.{suffix}" for k in (0, 1) for suffix in suffixes]
    frames = np.load(io.BytesIO(files["clip-00000001.frames.npy"]))
    assert frames.tolist() == [k for k in range(20) if k != 7]
    faces = np.load(io.BytesIO(files["clip-00000001.faces.npy"]))
    picture = cv2.resize(cv2.imread(str(layout / "main" / "001" / "8.jpg")), (96, 96))
    np.testing.assert_array_equal(faces[7].transpose(1, 2, 0)[..., ::-1], picture)
    assert json.loads(files["clip-00000001.json"]) == {"schema": 1, "fps": 25, "frames": 20, "source": "main/001"}
    assert files["clip-00000001.wav"] == (layout / "main" / "001" / "audio.wav").read_bytes()
    with wave.open(io.BytesIO(read(tmp_path / "packed" / "shard-000001.tar")["clip-00000002.wav"])) as sound:
        assert (sound.getnchannels(), sound.getframerate()) == (1, 16_000)
        assert abs(sound.getnframes() - 12_800) <= 32


def test_what_cannot_be_used_is_counted_by_reason(layout: Path, tmp_path: Path) -> None:
    main = layout / "main"
    (main / "000" / "audio.wav").write_bytes(b"RIFF")
    for frame in range(4, 20):
        (main / "001" / f"{frame}.jpg").unlink(missing_ok=True)
    content = (main / "002" / "9.jpg").read_bytes()
    (main / "002" / "9.jpg").write_bytes(b"no picture")
    (main / "002" / "10.jpg").write_bytes(b"")
    for frame in range(20, 40):
        (main / "003" / f"{frame}.jpg").write_bytes(content)
    with (layout / "filelists" / "train.txt").open("a") as file:
        file.write("main/gone\n")
    said = call(layout, tmp_path / "packed")
    assert {line for line in said.splitlines() if " skipped: " in line} == {
        "1 skipped: no readable audio.wav",
        "1 skipped: less than 5 frames in a row",
        f"2 skipped: {DAMAGED_PICTURES}",
        "1 skipped: more pictures than 25 a second",
        "1 skipped: no folder",
    }
    shards = sorted((tmp_path / "packed").glob("*.tar"))
    kept = {name: content for shard in shards for name, content in read(shard).items() if name.endswith("frames.npy")}
    assert list(kept) == ["clip-00000002.frames.npy", "clip-00000005.frames.npy"]
    assert not {9, 10} & set(np.load(io.BytesIO(kept["clip-00000002.frames.npy"])).tolist())


def test_nothing_usable_is_an_error(layout: Path, tmp_path: Path) -> None:
    for path in layout.glob("main/00[34]/audio.wav"):
        path.unlink()
    with pytest.raises(InputError, match=r"none of the clips of val\.txt is usable .*no readable audio\.wav"):
        call(layout, tmp_path / "packed")


def test_threads_and_interruptions_change_nothing(
    layout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(layout, tmp_path / "whole", PackOptions(shard_clips=2, workers=3))
    out, calls = tmp_path / "broken", list[str]()

    def interrupted(path: Path, samples: Any) -> int:
        calls.append(path.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return write_shard(path, samples)

    with monkeypatch.context() as patched:
        patched.setattr(packing, "write_shard", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pack(layout, out, PackOptions(shard_clips=2))
    assert [shard["name"] for shard in read_description(out)["shards"]] == ["shard-000000.tar"]
    stamp = (out / "shard-000000.tar").stat().st_mtime_ns
    pack(layout, out, PackOptions(shard_clips=2))
    assert (out / "shard-000000.tar").stat().st_mtime_ns == stamp
    for path in (tmp_path / "whole").iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda shard: shard.unlink(),
        lambda shard: shard.write_bytes(shard.read_bytes()[:700_000]),
        lambda shard: shard.write_bytes(shard.read_bytes()[:10_000]),
    ],
    ids=["gone", "cut in the second clip", "cut in the first clip"],
)
def test_a_damaged_shard_is_made_again(layout: Path, tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    out = tmp_path / "packed"
    pack(layout, out, PackOptions(shard_clips=2))
    content = (out / "shard-000000.tar").read_bytes()
    spoil(out / "shard-000000.tar")
    pack(layout, out, PackOptions(shard_clips=2))
    assert (out / "shard-000000.tar").read_bytes() == content


def test_datasets_do_not_mix(layout: Path, tmp_path: Path) -> None:
    out = tmp_path / "packed"
    pack(layout, out, PackOptions(shard_clips=2))
    with pytest.raises(InputError, match="Name another folder"):
        pack(layout, out, PackOptions(shard_clips=3))
    (layout / "filelists" / "val.txt").write_text("main/003\n")
    with pytest.raises(InputError, match="Name another folder"):
        pack(layout, out, PackOptions(shard_clips=2))
    with pytest.raises(InputError, match=r"train\.txt: no such list"):
        pack(tmp_path, tmp_path / "other", PackOptions())
    assert not (tmp_path / "other").exists()
