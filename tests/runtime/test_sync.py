"""Files in, file out: with drawn faces and the tiny bundle, read back and compared."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from lipforge.kernels.errors import InputError
from lipforge.kernels.spec import CropSpec
from lipforge.kernels.yuv import I420Frame
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.faces import Face
from lipforge.runtime.media.video_info import probe_video
from lipforge.runtime.media.video_writer import EncoderOptions
from lipforge.runtime.picture import Box, Picture
from lipforge.runtime.sync import Progress, SyncJob, SyncReport, sync

LOSSLESS = EncoderOptions(crf=0, preset="ultrafast")
MakeFile = Callable[..., Path]
Sync = Callable[..., SyncReport]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "results").mkdir()
    return tmp_path / "results" / 'it\'s "out" 100%d.mp4'


@pytest.fixture
def run(bundle: Bundle, disc_tracker: object, out: Path) -> Sync:
    def run_job(face: Path, audio: Path, **options: object) -> SyncReport:
        disc_tracker.reset()
        on_progress = options.pop("on_progress", None)
        job = SyncJob(face, audio, options.pop("output", out), encoder=LOSSLESS, **options)
        return sync(job, bundle, on_progress, tracker=disc_tracker)

    return run_job


def pictures(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="yuv420p") for frame in container.decode(video=0)]


def times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def sound(path: Path) -> tuple[np.ndarray, int]:
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    return np.concatenate([frame.to_ndarray() for frame in frames], axis=1), frames[0].sample_rate


def test_a_shorter_audio_ends_the_video(run: Sync, make_video: MakeFile, make_wav: MakeFile, out: Path) -> None:
    face = make_video(frames=40)
    report = run(face, make_wav(seconds=0.99))
    assert (report.frames, report.driven_frames, report.faceless_frames) == (25, 25, 0)
    assert report.duration_s == 1.0
    assert times(out) == [Fraction(i, 25) for i in range(25)]
    before, after = pictures(face), pictures(out)
    assert sum(not np.array_equal(a, b) for a, b in zip(before, after, strict=False)) > 15
    assert os.listdir(out.parent) == [out.name]


def test_keep_tail_leaves_the_rest_untouched_and_silent(
    run: Sync, make_video: MakeFile, make_wav: MakeFile, out: Path
) -> None:
    face = make_video(frames=50)
    report = run(face, make_wav(seconds=0.8), keep_tail=True)
    assert (report.frames, report.driven_frames) == (50, 20)
    before, after = pictures(face), pictures(out)
    assert all(np.array_equal(a, b) for a, b in zip(before[20:], after[20:], strict=True))
    heard, rate_hz = sound(out)
    assert np.abs(heard[:, : int(0.75 * rate_hz)]).max() > 0.3
    assert np.abs(heard[:, int(0.9 * rate_hz) :]).max() < 0.01


def test_a_longer_audio_plays_the_video_back_and_forth(
    run: Sync, make_video: MakeFile, make_wav: MakeFile, out: Path
) -> None:
    silence = make_wav(samples=np.zeros((16_000 * 2, 1)))
    face = make_video(frames=20, faces=lambda index: index == 0)
    report = run(face, silence, keep_tail=True)
    assert (report.frames, report.faceless_frames) == (50, 48)
    before, after = pictures(face), pictures(out)
    order = [*range(20), *range(18, -1, -1), *range(1, 12)]
    assert all(np.array_equal(before[i], picture) for i, picture in list(zip(order, after, strict=True))[1:38])


def test_frames_without_a_face_pass_untouched(run: Sync, make_video: MakeFile, make_wav: MakeFile, out: Path) -> None:
    face = make_video(frames=25, faces=lambda index: not 8 <= index < 15)
    report = run(face, make_wav(seconds=1.0))
    assert (report.driven_frames, report.faceless_frames) == (18, 7)
    before, after = pictures(face), pictures(out)
    assert all(np.array_equal(before[i], after[i]) for i in range(8, 15))


def test_no_face_anywhere_writes_nothing(run: Sync, make_video: MakeFile, make_wav: MakeFile, out: Path) -> None:
    with pytest.raises(InputError, match="no face was found in any of 25 frames"):
        run(make_video(frames=30, faces=lambda _: False), make_wav())
    assert os.listdir(out.parent) == []


@pytest.mark.parametrize(
    ("name", "video"),
    [
        ("b_frames.mp4", {"options": {"g": "250", "bf": "3"}}),
        ("large.mp4", {"size": (642, 362)}),
        ("full_range.mp4", {"pixel_format": "yuvj420p"}),
        ("intra.avi", {"codec": "mjpeg", "pixel_format": "yuvj420p"}),
        ("old.mpg", {"codec": "mpeg1video", "size": (176, 144)}),
        ("hevc.mp4", {"codec": "libx265"}),
    ],
)
def test_untouched_pixels_reach_the_encoder_byte_for_byte(
    run: Sync, make_video: MakeFile, make_wav: MakeFile, out: Path, disc_tracker: object, name: str, video: dict
) -> None:
    """The encoder is lossless here, so what comes out of the file is what went into the encoder."""
    face = make_video(name, frames=45, faces=lambda index: not 8 <= index < 15, **video)
    report = run(face, make_wav(seconds=1.4), keep_tail=True)
    assert (report.frames, report.driven_frames) == (45, 28)
    touched = 0
    for index, (before, after) in enumerate(zip(planes(face), planes(out), strict=True)):
        found = None if 8 <= index < 15 or index >= 35 else disc_tracker.track(Picture.of(before))
        for old, new, inside in zip(arrays(before), arrays(after), squares(before, found), strict=True):
            assert np.array_equal(old[~inside], new[~inside]), f"frame {index}"
            touched += not np.array_equal(old, new)
    assert touched > 45


def planes(path: Path) -> list[I420Frame]:
    with av.open(str(path)) as container:
        return [
            I420Frame(
                *(
                    np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, -1)[:, : plane.width]
                    for plane in frame.planes
                )
            )
            for frame in container.decode(video=0)
        ]


def arrays(frame: I420Frame) -> list[np.ndarray]:
    return [frame.y, frame.u, frame.v]


def squares(frame: I420Frame, face: Face | None) -> list[np.ndarray]:
    """Which samples of each plane lie in the crop square of the face; none without one."""
    if face is None:
        return [np.zeros(plane.shape, bool) for plane in arrays(frame)]
    chroma, _ = frame.spec.chroma_transforms(face.transform)
    inside = []
    for plane, transform in zip(arrays(frame), (face.transform, chroma, chroma), strict=True):
        y, x = np.indices(plane.shape)
        position = np.stack([x, y], axis=-1) @ transform[:, :2].T + transform[:, 2]
        # A quarter of a crop px more than the square: chroma's siting is the codec's own.
        inside.append(((position >= -0.75) & (position <= CropSpec().size_px - 0.25)).all(axis=-1))
    return inside


def test_an_odd_video_keeps_its_luma(run: Sync, make_video: MakeFile, make_wav: MakeFile, out: Path) -> None:
    face = make_video("odd.mkv", 25, (161, 121), codec="ffv1", faces=lambda index: index < 5)
    run(face, make_wav())
    with av.open(str(out)) as container:
        written = [frame.to_ndarray()[0] for frame in container.decode(video=0)]
    assert all(np.array_equal(old.y, new) for old, new in list(zip(planes(face), written, strict=True))[5:])


class StillTracker:
    """Sees the same face in every frame and needs no memory for it."""

    def __init__(self, face: Face) -> None:
        self._face = face

    def track(self, picture: Picture) -> Face:
        return self._face

    def reset(self) -> None:
        return


@pytest.mark.parametrize("kind", ["video", "image"])
def test_no_frame_needs_new_memory(
    bundle: Bundle, make_video: MakeFile, make_wav: MakeFile, out: Path, disc_tracker: object, kind: str
) -> None:
    """From decoder to encoder nothing of a frame's size is allocated by Python or numpy; FFmpeg's own is not seen."""
    face = make_video(frames=60, size=(640, 480))
    first = planes(face)[0]
    tracker = StillTracker(disc_tracker.track(Picture.of(first)))
    if kind == "image":
        face = face.with_name("face.png")
        cv2.imwrite(str(face), Picture.of(first).resized(Box(0, 0, 640, 480), 640, 480))
    grown: list[int] = []

    def measure(_: Progress) -> None:
        now, peak = tracemalloc.get_traced_memory()
        grown.append(peak - now)
        tracemalloc.reset_peak()

    tracemalloc.start()
    try:
        sync(SyncJob(face, make_wav(seconds=2.4), out, encoder=LOSSLESS), bundle, measure, tracker=tracker)
    finally:
        tracemalloc.stop()
    assert len(grown) == 60
    assert max(grown[30:]) < 640 * 480 // 4  # a plane of chroma


@pytest.mark.parametrize(
    ("size", "fps", "codec", "name"),
    [
        ((160, 120), Fraction(30_000, 1001), "libx264", "ntsc.mp4"),
        ((161, 121), Fraction(25), "ffv1", "odd.mkv"),
        ((176, 144), Fraction(25), "mpeg1video", "old.mpg"),
        ((120, 160), Fraction(30), "libx265", "hevc.mp4"),
    ],
)
def test_size_and_rate_are_kept(
    run: Sync,
    make_video: MakeFile,
    make_wav: MakeFile,
    out: Path,
    size: tuple[int, int],
    fps: Fraction,
    codec: str,
    name: str,
) -> None:
    face = make_video(name, frames=35, size=size, fps=fps, codec=codec, pixel_format="yuv420p")
    run(face, make_wav())
    info = probe_video(out)
    assert (info.width, info.height) == size
    assert float(info.fps) == pytest.approx(float(fps), rel=1e-3)
    assert info.frames == int(np.ceil(fps))


def test_uneven_times_are_kept(run: Sync, make_video: MakeFile, make_wav: MakeFile, out: Path) -> None:
    stamps = [Fraction(t, 100) for t in (0, 4, 5, 11, 30, 34, 60, 90)]
    run(make_video(frames=8, times=stamps), make_wav(seconds=0.7))
    assert times(out) == stamps[:7]


def test_a_rotated_video_comes_out_upright(run: Sync, make_video: MakeFile, make_wav: MakeFile, out: Path) -> None:
    run(make_video(frames=12, rotation=90), make_wav(seconds=0.4))
    info = probe_video(out)
    assert (info.width, info.height, info.quarter_turns) == (120, 160, 0)


def test_an_image_becomes_a_video(
    run: Sync, make_wav: MakeFile, out: Path, tmp_path: Path, scene: Callable[..., np.ndarray]
) -> None:
    path = tmp_path / "face.png"
    cv2.imwrite(str(path), scene(161, 121, 0))
    report = run(path, make_wav(seconds=1.5), keep_tail=True)
    assert report.frames == 38
    info = probe_video(out)
    assert (info.width, info.height, info.fps) == (162, 122, 25)
    assert len({picture.tobytes() for picture in pictures(out)}) > 5


def test_the_sound_keeps_rate_channels_and_place(
    run: Sync, make_video: MakeFile, make_wav: MakeFile, out: Path
) -> None:
    samples = np.zeros((44_100, 2))
    samples[22_050:26_000, 0] = 0.8 * np.sin(np.arange(3950) * 0.2)
    run(make_video(frames=30), make_wav(samples=samples, rate_hz=44_100, channels=2))
    heard, rate_hz = sound(out)
    assert (heard.shape[0], rate_hz) == (2, 44_100)
    assert np.flatnonzero(np.abs(heard[0]) > 0.4)[0] == pytest.approx(22_050, abs=40)
    assert np.abs(heard[1]).max() < 0.1


def test_a_video_serves_as_voice(
    run: Sync, make_video: MakeFile, out: Path, voice: Callable[[int, int], np.ndarray]
) -> None:
    speaker = make_video("speaker.mp4", frames=5, sound=voice(48_000, 48_000))
    assert run(make_video(frames=30), speaker).frames in (25, 26)
    assert np.abs(sound(out)[0]).max() > 0.3


def test_progress_counts_every_frame(run: Sync, make_video: MakeFile, make_wav: MakeFile) -> None:
    seen: list[Progress] = []
    run(make_video(frames=30), make_wav(seconds=0.5), on_progress=seen.append)
    assert [progress.frames for progress in seen] == list(range(1, 14))
    assert {progress.expected_frames for progress in seen} == {13}


def test_an_interrupt_leaves_nothing_and_keeps_the_old_file(
    run: Sync, make_video: MakeFile, make_wav: MakeFile, out: Path
) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.frames == 10:
            raise KeyboardInterrupt

    out.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        run(make_video(frames=30), make_wav(), overwrite=True, on_progress=interrupt)
    assert out.read_bytes() == b"old"
    assert os.listdir(out.parent) == [out.name]


def test_refusals_come_before_any_work(run: Sync, make_video: MakeFile, make_wav: MakeFile, out: Path) -> None:
    face, voice_file = make_video(), make_wav()
    out.write_bytes(b"old")
    with pytest.raises(InputError, match="--overwrite"):
        run(face, voice_file)
    with pytest.raises(InputError, match="is one of the inputs"):
        run(face, voice_file, output=face, overwrite=True)
    with pytest.raises(InputError, match=r"folder .* is missing"):
        run(face, voice_file, output=out.parent / "none" / "out.mp4")
    with pytest.raises(InputError, match="no audio samples"):
        run(face, make_wav("empty.wav", samples=np.zeros((0, 1))), overwrite=True)
    with pytest.raises(InputError, match="no sound track"):
        run(face, face, overwrite=True)
    assert out.read_bytes() == b"old"


@pytest.mark.network
def test_the_real_face_models_drive_the_sample_face(bundle: Bundle, out: Path) -> None:
    from importlib.resources import files

    from lipforge.kernels.errors import LipforgeError
    from lipforge.runtime.faces import face_models

    try:
        face_models()
    except LipforgeError as error:
        pytest.skip(str(error))
    assets = Path(str(files("lipforge.runtime") / "assets"))
    job = SyncJob(assets / "sample_face.jpg", assets / "sample_voice.wav", out, encoder=LOSSLESS)
    report = sync(job, bundle)
    assert report.frames == report.driven_frames > 20
    with av.open(str(out)) as container:
        shown = [frame.to_ndarray(format="gray").astype(int) for frame in container.decode(video=0)]
    moved = np.abs(np.stack(shown[1:30]) - shown[0]).max(axis=0) > 20
    assert 0.0005 < moved.mean() < 0.2
