"""``lipforge preprocess synth`` from the command line, on tiny datasets, read back as the trainers read them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner, Result

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.kernels.spec import MelSpec, MouthPart
from lipforge.preprocess.cli import preprocess
from lipforge.preprocess.shards import shard_name
from lipforge.runtime import wheel_assets
from lipforge.train.face_clips import open_face_clips
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
    assert _synth(out, "--video", "--faces").exit_code == 0
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
        assert np.load(io.BytesIO(files[".units.npy"])).shape == (frames, 12)
        assert 1.9 < meta["unit_mm"] < 2.2, "the outer corners of adult eyes are 76 to 88 mm apart"
        assert len(files[".wav"]) == 44 + 2 * round(0.6 * 16_000)
        assert all(0 <= start <= end <= 0.6 for _, start, end in meta["phonemes"])
        _check_pairs(files[".pairs.npz"])
        _check_video(files[".mp4"], files[".track.npz"], frames)


def test_the_wav2lip_trainers_read_the_faces(dataset: Path) -> None:
    faces = open_face_clips(dataset)
    assert (len(faces.training), len(faces.held_out), faces.mel) == (2, 1, MelSpec())
    assert faces.face_box.anchor == "alignment"
    np.testing.assert_allclose(faces.face_box.box, np.array([10.5, -13.5, 86.5, 78.5]) / 96)
    for clip in (*faces.training, *faces.held_out):
        assert clip.frames.tolist() == list(range(15))
        assert clip.seconds == pytest.approx(0.6, abs=0.0126)
        assert clip.read_mel(faces.mel).shape == (80, 1 + 9600 // 200)
        assert clip.read_frames(0, 15, 96).std() > 10


def test_faces_have_the_networks_frame_rate(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--faces with --fps 30: the Wav2Lip networks are made for 25"):
        _synth(tmp_path / "out", "--faces", "--fps", "30")
    assert not (tmp_path / "out").exists()


def test_sound_and_motion_alone_render_nothing(tmp_path: Path) -> None:
    out = tmp_path / "voices"
    assert _synth(out, "--pairs", "0", "--voices", "espeak-ng:de,-espeak-ng:+croak").exit_code == 0
    samples = _read(out)
    assert {frozenset(files) for files in samples.values()} == {frozenset({".json", ".wav", ".lips.npy", ".units.npy"})}
    voices = [json.loads(files[".json"])["voice"] for files in samples.values()]
    assert {(voice["engine"], voice["voice"].partition("+")[0]) for voice in voices} == {("espeak-ng", "de")}
    assert all(np.load(io.BytesIO(files[".lips.npy"])).any() for files in samples.values())


def test_other_voices_do_not_mix_into_a_dataset(tmp_path: Path) -> None:
    out = tmp_path / "voices"
    assert _synth(out, "--pairs", "0", "--voices", "espeak-ng:de").exit_code == 0
    with pytest.raises(InputError, match="voices was espeak-ng:de, now espeak-ng:fr"):
        _synth(out, "--pairs", "0", "--voices", "espeak-ng:fr")


def test_options_younger_than_a_dataset_count_as_off(dataset: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    header = json.loads((dataset / "dataset.json").read_text())
    del header["generator"]["faces"]
    (old / "dataset.json").write_text(json.dumps(header))
    with pytest.raises(InputError, match="faces was False, now True"):
        _synth(old, "--video", "--faces")


def test_people_without_a_voice_have_pairs_alone(tmp_path: Path) -> None:
    assert _synth(tmp_path / "mute", "--mute", "--mouths", "4", "--pairs", "5").exit_code == 0
    samples = _read(tmp_path / "mute")
    assert len(samples) == 3
    for files in samples.values():
        assert set(files) == {".json", ".pairs.npz"}
        with np.load(io.BytesIO(files[".pairs.npz"])) as arrays:
            assert arrays["images"].shape == (4, 96, 96, 3)
            assert arrays["parts"].shape == (4, 192, 192)
            assert len(arrays["pairs"]) == 5
    for words, complaint in (
        (("--mute", "--video"), "--mute makes pairs and nothing else"),
        (("--mouths", "2", "--pairs", "3"), "2 mouths make 2 ordered pairs at most"),
    ):
        with pytest.raises(ConfigError, match=complaint):
            _synth(tmp_path / "other", *words)


def _read(dataset: Path) -> dict[str, dict[str, bytes]]:
    """Files of every sample by extension."""
    extensions = {".json", ".wav", ".lips.npy", ".units.npy", ".pairs.npz", ".mp4", ".track.npz"}
    return {sample.key: sample.files for sample in open_dataset(dataset).read(extensions)}


def _check_pairs(data: bytes) -> None:
    with np.load(io.BytesIO(data)) as arrays:
        images, tracked, target, pairs = (arrays[name] for name in ("images", "tracked", "target", "pairs"))
        assert images.shape == (6, 96, 96, 3)
        assert tracked.shape == target.shape == (6, 40, 2)
        assert arrays["units"].shape == (6, 12)
        assert arrays["parts"].shape == (6, 192, 192)
        assert arrays["parts"].max() < len(MouthPart)
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
    assert _synth(dataset, "--video", "--faces").exit_code == 0
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
        _synth(dataset, "--video", "--faces")
    assert open_dataset(dataset).shards == ((shard_name(0), 2),)
    second.write_bytes(kept)
    assert _synth(dataset, "--video", "--faces").exit_code == 0
    assert len(open_dataset(dataset).shards) == 2


def test_more_clips_add_shards(dataset: Path, tmp_path: Path) -> None:
    grown = tmp_path / "grown"
    assert _synth(grown, "--clips", "2", "--pairs", "0").exit_code == 0
    stamp = (grown / shard_name(0)).stat().st_mtime_ns
    with pytest.raises(InputError, match="clips was 2, now 1"):
        _synth(grown, "--clips", "1", "--pairs", "0")
    assert _synth(grown, "--clips", "3", "--pairs", "0").exit_code == 0
    assert (grown / shard_name(0)).stat().st_mtime_ns == stamp
    assert open_dataset(grown).shards == ((shard_name(0), 2), (shard_name(1), 1))
    with pytest.raises(InputError, match="clips was 3, now 4"):
        _synth(grown, "--clips", "4", "--pairs", "0")  # the last shard is not full


def test_other_options_do_not_mix_into_a_dataset(dataset: Path) -> None:
    with pytest.raises(InputError, match=r"seed was 0, now 5.*Name another folder"):
        _synth(dataset, "--video", "--faces", "--seed", "5")
