"""Videos and images as sources of frames: times, sizes, direction, errors."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipforge.kernels.errors import InputError
from lipforge.runtime.media.pingpong import PingPong
from lipforge.runtime.media.still_image import StillImage, is_image
from lipforge.runtime.media.video_info import probe_video
from lipforge.runtime.media.video_reader import SourceFrame

MakeVideo = Callable[..., Path]


def take(source: PingPong | StillImage, count: int) -> list[SourceFrame]:
    return list(islice(source, count))


def check_laps(source: PingPong, frames: int) -> None:
    """Compare three laps with the first one's frames, and the times with a steady clock."""
    order = [*range(frames), *range(frames - 2, -1, -1), *range(1, frames), frames - 2]
    taken = take(source, len(order))
    for position, (index, frame) in enumerate(zip(order, taken, strict=True)):
        assert np.array_equal(frame.image, taken[index].image), f"position {position} is not frame {index}"
        assert frame.first_pass == (position < frames)
        assert frame.time == position / source.info.fps


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("closed.mp4", "libx264", {"g": "7"}),
        ("open.mp4", "libx264", {"g": "8", "x264-params": "open-gop=1:bframes=3"}),
        ("one_key_frame.mkv", "libx264", {"g": "250"}),
        ("program_stream.mpg", "mpeg1video", {}),
        ("intra.avi", "mjpeg", {}),
    ],
)
def test_laps_go_forward_and_backward(make_video: MakeVideo, name: str, codec: str, options: dict[str, str]) -> None:
    pixel_format = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = make_video(name, frames=20, codec=codec, options=options, pixel_format=pixel_format)
    check_laps(PingPong(path), 20) if name != "one_key_frame.mkv" else check_images(PingPong(path), 20)


def check_images(source: PingPong, frames: int) -> None:
    """Matroska rounds times to milliseconds, so only the pictures are compared."""
    order = [*range(frames), *range(frames - 2, -1, -1), 1, 2]
    taken = take(source, len(order))
    assert [np.array_equal(f.image, taken[i].image) for i, f in zip(order, taken, strict=True)] == [True] * len(order)


def test_small_chunks_hold_few_frames_and_give_the_same(make_video: MakeVideo) -> None:
    path = make_video(frames=23, options={"g": "250"})
    check_laps(PingPong(path, held_bytes=160 * 120 * 3 // 2 * 4), 23)


def test_one_frame_repeats(make_video: MakeVideo) -> None:
    taken = take(PingPong(make_video(frames=1)), 5)
    assert [frame.time for frame in taken] == [Fraction(i, 25) for i in range(5)]


def test_uneven_times_are_kept_and_mirrored(make_video: MakeVideo) -> None:
    times = [Fraction(t, 100) for t in (0, 4, 5, 11, 30)]
    taken = take(PingPong(make_video(frames=5, times=times)), 9)
    assert [frame.time * 100 for frame in taken] == [0, 4, 5, 11, 30, 49, 55, 56, 60]


def test_a_late_start_counts_from_the_first_frame(make_video: MakeVideo) -> None:
    path = make_video("late.mkv", frames=3, times=[Fraction(2) + Fraction(i, 25) for i in range(3)])
    assert [frame.time for frame in take(PingPong(path), 3)] == [0, Fraction(1, 25), Fraction(2, 25)]


@pytest.mark.parametrize("rotation", [90, -90, 180])
def test_a_rotated_video_is_made_upright(make_video: MakeVideo, rotation: int) -> None:
    lying = take(PingPong(make_video("lying.mp4", frames=2)), 1)[0]
    upright = PingPong(make_video("upright.mp4", frames=2, rotation=rotation))
    frame = take(upright, 1)[0]
    assert np.array_equal(frame.image, np.rot90(lying.image, rotation // 90))
    assert (upright.info.height, upright.info.width) == frame.image.shape[:2]
    assert frame.decoded is None


def test_pictures_are_bgr_in_the_right_matrix(make_video: MakeVideo, scene: Callable[..., np.ndarray]) -> None:
    path = make_video(frames=1, pixel_format="yuv444p", options={"crf": "1"})
    difference = take(PingPong(path), 1)[0].image.astype(int) - scene(160, 120, 0)
    assert np.abs(difference).mean() < 1.5


def test_frames_are_new_arrays(make_video: MakeVideo) -> None:
    first, second = take(PingPong(make_video(frames=1)), 2)
    first.image[:] = 0
    assert second.image.any()


def test_a_change_of_size_is_an_error(make_video: MakeVideo, tmp_path: Path) -> None:
    one = make_video("a.mpg", frames=10, codec="mpeg1video", size=(160, 120)).read_bytes()
    two = make_video("b.mpg", frames=10, codec="mpeg1video", size=(320, 240)).read_bytes()
    both = tmp_path / "both.mpg"
    both.write_bytes(one + two)
    with pytest.raises(InputError, match="changes from 160x120 to 320x240"):
        take(PingPong(both), 20)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"this is not a video\n" * 50, "cannot be read as video"), (b"", "the file is empty")],
)
def test_what_is_not_a_video_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        PingPong(path)


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        PingPong(tmp_path / "nothing.mp4")
    with pytest.raises(InputError, match="is not a file"):
        probe_video(tmp_path)


def test_sound_alone_is_no_video(make_wav: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="no picture"):
        PingPong(make_wav())


def test_names_that_look_like_addresses_are_files(make_video: MakeVideo, tmp_path: Path) -> None:
    odd = tmp_path / 'concat:it\'s "50%d" | é.mp4'
    make_video().rename(odd)
    assert take(PingPong(odd), 1)[0].image.shape == (120, 160, 3)


@pytest.fixture
def picture(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str, height: int = 51, width: int = 41) -> Path:
        path = tmp_path / name
        image = np.arange(height * width * 3, dtype=np.uint32).reshape(height, width, 3) % 251
        assert cv2.imwrite(str(path), image.astype(np.uint8))
        return path

    return make


@pytest.mark.parametrize("name", ["face.png", "face.jpg", "face.webp", "face.bmp", "face.tiff", "named wrongly.jpg"])
def test_an_image_is_a_video_of_25_frames_a_second(picture: Callable[..., Path], name: str) -> None:
    path = picture(name)
    assert is_image(path)
    source = StillImage(path)
    frames = take(source, 4)
    assert (source.info.width, source.info.height) == (42, 52)
    assert [frame.time for frame in frames] == [Fraction(i, 25) for i in range(4)]
    assert np.array_equal(frames[0].image, frames[3].image)
    assert np.array_equal(frames[0].image[:, 41], frames[0].image[:, 40])
    frames[0].image[:] = 0
    assert take(source, 1)[0].image.any()


def test_a_damaged_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"nothing")
    with pytest.raises(InputError, match="cannot be decoded"):
        StillImage(path)


def test_a_video_is_no_image(make_video: MakeVideo) -> None:
    assert not is_image(make_video())
