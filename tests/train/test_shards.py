from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.train.clips import load_clips
from lipforge.train.pairs import load_pairs
from lipforge.train.shards import open_dataset


def test_reads_samples_in_order(data_root: Path) -> None:
    samples = list(open_dataset(data_root).read({".wav", ".json"}))
    assert [sample.key for sample in samples] == [f"clip-{number:08d}" for number in range(5)]
    assert all(set(sample.files) == {".wav", ".json"} for sample in samples)


def test_last_clips_are_held_out(data_root: Path) -> None:
    dataset = open_dataset(data_root)
    training, held_out = load_clips(dataset, 0.4)
    assert (len(training), len(held_out)) == (3, 2)
    training_pairs, held_out_pairs = load_pairs(dataset, 0.03)
    assert (len(training_pairs), len(held_out_pairs)) == (12, 3)


def spoil_header(root: Path, **changes: object) -> None:
    path = root / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, "has schema 2, this version reads schema 1"),
        ({"kind": "other"}, "not a dataset's header"),
        ({"shards": []}, "lists no shards"),
        ({"fps": None}, "wrong type"),
        ({"shards": [{"name": "shard-000009.tar", "samples": 3}]}, r"shard-000009\.tar: missing"),
        ({"shards": [{"name": "shard-000000.tar", "samples": 4}]}, "holds 3 samples, dataset.json says 4"),
    ],
)
def test_bad_header(new_dataset: Callable[..., Path], changes: dict[str, object], message: str) -> None:
    root = new_dataset()
    spoil_header(root, **changes)
    with pytest.raises(InputError, match=message):
        list(open_dataset(root).read({".wav"}))


def test_unknown_spec_key(new_dataset: Callable[..., Path]) -> None:
    root = new_dataset()
    spoil_header(root, mel={"rate": 3})
    with pytest.raises(ConfigError, match="MelSpec"):
        open_dataset(root)


def test_not_a_dataset(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        open_dataset(tmp_path / "gone")
    with pytest.raises(InputError, match=r"no dataset\.json"):
        open_dataset(tmp_path)
    (tmp_path / "dataset.json").write_text("hello")
    with pytest.raises(InputError, match="not readable as JSON"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("keep", [0.5, 0.9])
def test_shard_cut_short(new_dataset: Callable[..., Path], keep: float) -> None:
    root = new_dataset()
    shard = root / "shard-000001.tar"
    content = shard.read_bytes()
    shard.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(InputError, match=r"shard-000001\.tar|clip-0000000[34]"):
        load_pairs(open_dataset(root), 0.2)


def test_one_clip_is_not_enough(new_dataset: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="training needs two"):
        load_clips(open_dataset(new_dataset(clips=1)), 0.03)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("flow", np.zeros((3, 8, 8, 2), np.float16), r"flow is float16 \(3, 8, 8, 2\)"),
        ("images", np.zeros((3, 96, 96, 3), np.float32), "images is float32"),
        ("pairs", np.array([[0, 1], [0, 3], [0, 0]], np.int16), "outside its 3 images"),
    ],
)
def test_spoilt_pairs(new_dataset: Callable[..., Path], name: str, value: np.ndarray, message: str) -> None:
    def change(pairs: dict[str, np.ndarray]) -> None:
        pairs[name] = value

    with pytest.raises(InputError, match=message):
        load_pairs(open_dataset(new_dataset(change=change)), 0.2)


def test_references_that_no_tracker_saw_are_skipped(new_dataset: Callable[..., Path]) -> None:
    def change(pairs: dict[str, np.ndarray]) -> None:
        pairs["tracked"][0] = np.nan  # the reference of all pairs of the first clip

    training, _ = load_pairs(open_dataset(new_dataset(change=change)), 0.2)
    assert sorted(set(training.index[:, 0])) == [1, 2, 3]
