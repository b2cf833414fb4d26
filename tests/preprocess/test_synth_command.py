"""``lipforge preprocess synth`` from the command line, on tiny datasets, read back as the trainers read them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner, Result

from lipforge.preprocess.cli import preprocess
from lipforge.preprocess.shards import shard_name
from lipforge.runtime import wheel_assets
from lipforge.train.shards import open_dataset

pytestmark = pytest.mark.network


@pytest.fixture(autouse=True)
def _models() -> None:
    for asset in (wheel_assets.FACES, wheel_assets.HEADS, wheel_assets.SPEECH):
        if wheel_assets.locate(asset) is None:
            pytest.skip(f"{asset.name} is not there: `lipforge models fetch --all` (done by `make test`)")


def _synth(out: Path, *more: str) -> Result:
    arguments = ["synth", str(out), "--clips", "3", "--shard-clips", "2", "--seconds", "0.6", "--workers", "1", *more]
    return CliRunner().invoke(preprocess, arguments, catch_exceptions=False)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth") / "data set"
    assert _synth(out, "--video").exit_code == 0
    return out


def test_samples_hold_what_the_format_says(dataset: Path) -> None:
    opened = open_dataset(dataset)
    assert [count for _, count in opened.shards] == [2, 1]
    samples = _read(dataset)
    assert list(samples) == [f"clip-{k:08d}" for k in range(3)]
    for files in samples.values():
        meta = json.loads(files[".json"])
        frames = meta["frames"]
        assert frames == 15
        assert np.load(io.BytesIO(files[".lips.npy"])).shape == (frames, 40, 3)
        assert len(files[".wav"]) == 44 + 2 * round(0.6 * 16_000)
        assert all(0 <= start <= end <= 0.6 for _, start, end in meta["phonemes"])
        _check_pairs(files[".pairs.npz"])
        _check_video(files[".mp4"], files[".track.npz"], frames)


def _read(dataset: Path) -> dict[str, dict[str, bytes]]:
    """Files of every sample by extension."""
    extensions = {".json", ".wav", ".lips.npy", ".pairs.npz", ".mp4", ".track.npz"}
    return {sample.key: sample.files for sample in open_dataset(dataset).read(extensions)}


def _check_pairs(data: bytes) -> None:
    with np.load(io.BytesIO(data)) as arrays:
        images, tracked, target, pairs = (arrays[name] for name in ("images", "tracked", "target", "pairs"))
        assert images.shape == (6, 96, 96, 3)
        assert tracked.shape == target.shape == (6, 40, 2)
        assert arrays["units"].shape == (6, 12)
        assert arrays["flow"].shape == (8, 96, 96, 2)
        assert arrays["visible"].shape == (8, 96, 96)
        assert len({tuple(pair) for pair in pairs.tolist()}) == 8
        assert all(a != b for a, b in pairs)
        # The first mouth is the closed one: what is wanted of it is what the tracker sees of it.
        np.testing.assert_array_equal(tracked[0], target[0])


def _check_video(mp4: bytes, track: bytes, frames: int) -> None:
    with av.open(io.BytesIO(mp4)) as container:
        assert len(container.streams.audio) == 1
        assert sum(1 for _ in container.decode(video=0)) == frames
    with np.load(io.BytesIO(track)) as truth:
        assert truth["transform"].shape == (frames, 2, 3)
        lips = truth["landmarks"] @ truth["transform"][0, :, :2].T + truth["transform"][0, :, 2]
        assert 35 < lips[..., 1].mean() < 65, "crop px: the mouth stands in the crop's lower half"


def test_starting_again_keeps_whole_shards_and_makes_the_missing_one_alike(dataset: Path) -> None:
    first, second = dataset / shard_name(0), dataset / shard_name(1)
    made, stamp = _read(dataset), first.stat().st_mtime_ns
    second.unlink()
    assert _synth(dataset, "--video").exit_code == 0
    assert first.stat().st_mtime_ns == stamp
    for before, after in zip(made.values(), _read(dataset).values(), strict=True):
        assert before[".lips.npy"] == after[".lips.npy"]
        assert before[".wav"] == after[".wav"]
        with np.load(io.BytesIO(before[".pairs.npz"])) as a, np.load(io.BytesIO(after[".pairs.npz"])) as b:
            np.testing.assert_array_equal(a["images"], b["images"])


def test_a_run_that_is_cut_short_leaves_a_dataset_of_its_whole_shards(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = dataset / shard_name(1)
    kept = second.read_bytes()
    second.unlink()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("lipforge.preprocess.synth.dataset._workers", interrupted)
        _synth(dataset, "--video")
    assert open_dataset(dataset).shards == ((shard_name(0), 2),)
    second.write_bytes(kept)
    assert _synth(dataset, "--video").exit_code == 0
    assert len(open_dataset(dataset).shards) == 2


def test_other_options_do_not_mix_into_a_dataset(dataset: Path) -> None:
    from lipforge.kernels.errors import InputError

    with pytest.raises(InputError, match=r"seed was 0, now 5.*Name another folder"):
        _synth(dataset, "--video", "--seed", "5")
