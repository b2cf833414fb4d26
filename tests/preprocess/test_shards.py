"""Dataset shards and their description."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lipforge.kernels.errors import InputError
from lipforge.preprocess.shards import read_description, shard_name, write_description, write_shard

SAMPLES = [("clip-0", {"json": b"{}", "lips.npy": b"abc"}), ("clip-1", {"json": b"[]"})]


def test_equal_samples_give_equal_files(tmp_path: Path) -> None:
    for name in ("a.tar", "b.tar"):
        assert write_shard(tmp_path / name, SAMPLES) == 2
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_other_tools_read_it_as_webdataset(tmp_path: Path) -> None:
    path = tmp_path / shard_name(3)
    write_shard(path, SAMPLES)
    assert path.name == "shard-000003.tar"
    with tarfile.open(path) as tar:
        assert tar.getnames() == ["clip-0.json", "clip-0.lips.npy", "clip-1.json"]


def test_a_run_that_stops_leaves_no_shard(tmp_path: Path) -> None:
    def broken() -> Iterator[tuple[str, dict[str, bytes]]]:
        yield SAMPLES[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(tmp_path / "a.tar", broken())
    assert list(tmp_path.iterdir()) == []


def test_description(tmp_path: Path) -> None:
    write_description(tmp_path, {"fps": 25, "shards": []})
    assert read_description(tmp_path)["fps"] == 25


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "has no dataset.json"),
        ("{", "not JSON"),
        ("[1]", "does not describe"),
        (json.dumps({"kind": "lipforge-bundle", "schema": 1}), "does not describe"),
        (json.dumps({"kind": "lipforge-dataset", "schema": 99}), "schema 99"),
    ],
)
def test_bad_descriptions_are_refused(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read_description(tmp_path)
