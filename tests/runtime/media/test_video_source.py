"""Videos and images as sources of frames: times, sizes, direction, errors."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from lipforge.kernels.errors import InputError
from lipforge.kernels.yuv import YuvSpec
from lipforge.runtime.media.pingpong import PingPong
from lipforge.runtime.media.still_image import StillImage, is_image
from lipforge.runtime.media.video_info import ColourTags, probe_video
from lipforge.runtime.media.video_reader import SourceFrame
from lipforge.runtime.picture import Picture

MakeVideo = Callable[..., Path]
Planes = list[np.ndarray]
CONTAINERS = {"png": "clip.mov"}
B_FRAMES = {"g": "250", "bf": "3", "x264-params": "b-pyramid=normal:ref=4"}


def take(source: PingPong | StillImage, count: int) -> list[SourceFrame]:
    return list(islice(source, count))


def planes(frame: SourceFrame) -> Planes:
    return [frame.frame.planes.y, frame.frame.planes.u, frame.frame.planes.v]


def bgr(frame: SourceFrame) -> np.ndarray:
    picture = Picture.of(frame.frame.planes)
    return picture.resized(picture.whole, picture.width, picture.height)


def same(frame: SourceFrame, other: SourceFrame | Planes) -> bool:
    others = planes(other) if isinstance(other, SourceFrame) else other
    return all(np.array_equal(a, b) for a, b in zip(planes(frame), others, strict=True))


def decoded(path: Path) -> list[Planes]:
    """What PyAV alone makes of a 4:2:0 file."""
    with av.open(str(path)) as container:
        return [
            [
                np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, -1)[:, : plane.width]
                for plane in frame.planes
            ]
            for frame in container.decode(video=0)
        ]


def check_colours(frame: SourceFrame, scene: np.ndarray) -> None:
    """Compare the disc's middle and the grey beside it; edges differ where chroma is halved."""
    height, width, _ = scene.shape
    shown = bgr(frame).astype(float) - scene
    middle = shown[height // 2 - 12 : height // 2, width // 2 - 6 : width // 2 + 6]
    beside = shown[: height // 8, -width // 4 :]
    for part in (middle, beside):
        # FFmpeg's converter, which made the file, is up to 2 levels off by itself.
        assert np.abs(part.mean(axis=(0, 1))).max() < 3
        assert np.abs(part).max() <= 8


def check_laps(source: PingPong, frames: int) -> None:
    """Compare three laps with the first one's frames, and the times with a steady clock."""
    order = [*range(frames), *range(frames - 2, -1, -1), *range(1, frames), frames - 2]
    taken = take(source, len(order))
    for position, (index, frame) in enumerate(zip(order, taken, strict=True)):
        assert same(frame, taken[index]), f"position {position} is not frame {index}"
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
    assert [same(f, taken[i]) for i, f in zip(order, taken, strict=True)] == [True] * len(order)


def test_small_chunks_hold_few_frames_and_give_the_same(make_video: MakeVideo) -> None:
    path = make_video(frames=23, options={"g": "250"})
    check_laps(PingPong(path, held_bytes=160 * 120 * 3 // 2 * 4), 23)


def test_deep_frames_count_with_their_true_size(make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video("deep.mkv", 12, codec="ffv1", pixel_format="yuv444p16le")
    source = PingPong(path, held_bytes=160 * 120 * 6 * 4)
    held: list[int] = []
    decode = source._decode_chunk
    monkeypatch.setattr(source, "_decode_chunk", lambda start, stop: held.append(stop - start) or decode(start, stop))
    take(source, 20)
    assert held
    assert max(held) <= 4


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
    assert same(frame, [np.rot90(plane, rotation // 90) for plane in planes(lying)])
    assert (upright.info.height, upright.info.width) == frame.frame.planes.y.shape
    assert upright.info.siting == "centre"


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "size", "options"),
    [
        ("b_frames.mp4", "libx264", "yuv420p", (160, 120), B_FRAMES),
        ("full_range.avi", "mjpeg", "yuvj420p", (160, 120), {}),
        ("full_range.mp4", "libx264", "yuvj420p", (160, 120), {}),
        ("old.mpg", "mpeg1video", "yuv420p", (176, 144), {}),
        ("odd.mkv", "ffv1", "yuv420p", (161, 121), {}),
        ("narrow.mkv", "ffv1", "yuv420p", (17, 90), {}),
        ("hevc.mp4", "libx265", "yuv420p", (160, 120), {}),
    ],
)
def test_the_decoders_bytes_are_kept(
    make_video: MakeVideo, name: str, codec: str, pixel_format: str, size: tuple[int, int], options: dict[str, str]
) -> None:
    path = make_video(name, frames=12, codec=codec, pixel_format=pixel_format, size=size, options=options)
    for frame, expected in zip(take(PingPong(path), 12), decoded(path), strict=True):
        assert same(frame, expected)


def test_changing_frames_does_not_change_later_ones(make_video: MakeVideo) -> None:
    """A decoder predicts frames from those that it gave out before: they must not be the ones that are changed."""
    path = make_video(frames=40, options=B_FRAMES)
    source, expected = PingPong(path), decoded(path)
    order = [*range(40), *range(38, 20, -1)]
    for index, frame in zip(order, source, strict=False):
        assert same(frame, expected[index]), f"frame {index}"
        for plane in planes(frame):
            plane[:] = 255
        source.reuse(frame)


@pytest.mark.parametrize(
    ("codec", "pixel_format"),
    [
        ("ffv1", "yuv422p"),
        ("ffv1", "yuv444p"),
        ("ffv1", "yuv411p"),
        ("ffv1", "yuva420p"),
        ("ffv1", "yuv420p10le"),
        ("ffv1", "yuv444p16le"),
        ("ffv1", "bgr0"),
        ("ffv1", "gbrp10le"),
        ("png", "rgb24"),
        ("mjpeg", "yuvj444p"),
        ("rawvideo", "nv12"),
        ("rawvideo", "yuyv422"),
    ],
)
@pytest.mark.parametrize("size", [(160, 120), (97, 83)])
def test_other_formats_are_converted_with_their_own_colours(
    make_video: MakeVideo, scene: Callable[..., np.ndarray], codec: str, pixel_format: str, size: tuple[int, int]
) -> None:
    if codec == "libx265" and size[0] % 2:
        size = (98, 84)
    path = make_video(CONTAINERS.get(codec, "clip.mkv"), frames=2, codec=codec, pixel_format=pixel_format, size=size)
    frame = take(PingPong(path), 1)[0]
    assert frame.frame.encodable.format.name == "yuv420p"
    assert frame.frame.planes.u.shape == ((size[1] + 1) // 2, (size[0] + 1) // 2)
    check_colours(frame, scene(*size, 0))


def test_ten_bits_become_eight(make_video: MakeVideo, scene: Callable[..., np.ndarray]) -> None:
    path = make_video(frames=2, codec="libx265", pixel_format="yuv420p10le", options={"crf": "4"})
    with av.open(str(path)) as container:
        luma = next(container.decode(video=0)).planes[0]
        deep = np.frombuffer(bytes(luma), "<u2").reshape(120, -1)[:, :160]
    frame = take(PingPong(path), 1)[0]
    assert np.abs(planes(frame)[0] - deep / 4).max() <= 1
    check_colours(frame, scene(160, 120, 0))


def test_grey_stays_grey(make_video: MakeVideo, scene: Callable[..., np.ndarray]) -> None:
    frame = take(PingPong(make_video("clip.mkv", frames=1, codec="ffv1", pixel_format="gray")), 1)[0]
    shown = bgr(frame).astype(int)
    assert np.ptp(shown, axis=2).max() <= 2
    assert np.abs(shown[..., 0] - cv2.cvtColor(scene(160, 120, 0), cv2.COLOR_BGR2GRAY)).mean() < 2


@pytest.mark.parametrize(
    ("codec", "pixel_format", "siting"),
    [
        ("libx264", "yuv420p", "left"),
        ("mpeg1video", "yuv420p", "centre"),
        ("libx264", "yuv422p", "left"),
        ("libx264", "yuv444p", "centre"),
        ("png", "rgb24", "centre"),
    ],
)
def test_chroma_is_where_the_codec_puts_it(make_video: MakeVideo, codec: str, pixel_format: str, siting: str) -> None:
    path = make_video(CONTAINERS.get(codec, "clip.mkv"), frames=1, codec=codec, pixel_format=pixel_format)
    assert probe_video(path).siting == siting


@pytest.mark.parametrize(
    ("tags", "spec"),
    [
        (ColourTags(), YuvSpec("bt601", False, "left")),
        (ColourTags(1, 1, 1, 1), YuvSpec("bt709", False, "left")),
        (ColourTags(6, 6, 6, 2), YuvSpec("bt601", True, "left")),
        (ColourTags(9, 9, 18, 1), YuvSpec("bt2020", False, "left")),
        (ColourTags(matrix=7), YuvSpec("smpte240m", False, "left")),
        (ColourTags(matrix=4), YuvSpec("fcc", False, "left")),
    ],
)
def test_tags_say_what_the_numbers_mean(tags: ColourTags, spec: YuvSpec) -> None:
    assert tags.yuv_spec("left") == spec


def test_pictures_have_the_right_colours(make_video: MakeVideo, scene: Callable[..., np.ndarray]) -> None:
    check_colours(take(PingPong(make_video(frames=1, options={"crf": "1"})), 1)[0], scene(160, 120, 0))


def test_frames_are_separate_until_they_are_given_back(make_video: MakeVideo) -> None:
    source = PingPong(make_video(frames=1))
    first, second = take(source, 2)
    before = [plane.copy() for plane in planes(second)]
    for plane in planes(first):
        plane[:] = 0
    assert same(second, before)
    source.reuse(first)
    assert np.shares_memory(take(source, 1)[0].frame.planes.y, first.frame.planes.y)


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
    assert take(PingPong(odd), 1)[0].frame.planes.y.shape == (120, 160)


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
    assert same(frames[0], frames[3])
    assert np.array_equal(frames[0].frame.planes.y[:, 41], frames[0].frame.planes.y[:, 40])
    before = [plane.copy() for plane in planes(frames[0])]
    frames[0].frame.planes.y[:] = 0
    assert same(take(source, 1)[0], before)


def test_an_image_keeps_its_colours(tmp_path: Path, scene: Callable[..., np.ndarray]) -> None:
    path = tmp_path / "face.png"
    cv2.imwrite(str(path), scene(160, 120, 0))
    source = StillImage(path)
    difference = np.abs(bgr(take(source, 1)[0]).astype(int) - scene(160, 120, 0))
    assert np.percentile(difference, 90) <= 1
    assert source.info.yuv_spec == YuvSpec("bt709", False, "left")


def test_an_images_chroma_lies_on_the_even_columns(tmp_path: Path) -> None:
    """A ramp of blue comes out as the same ramp at the chroma samples' own places."""
    path = tmp_path / "ramp.png"
    image = np.full((16, 64, 3), 100, np.uint8)
    image[..., 0] = 20 + 3 * np.arange(64)
    cv2.imwrite(str(path), image)
    source = StillImage(path)
    frame = take(source, 1)[0]
    matrix, offset = source.info.yuv_spec.from_rgb()
    expected = matrix[1] @ np.array([100, 100, 0])[:, None] / 255 + matrix[1, 2] * image[0, ::2, 0] / 255 + offset[1]
    assert np.abs(frame.frame.planes.u[:, 1:] - expected[1:]).max() <= 1


def test_a_damaged_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"nothing")
    with pytest.raises(InputError, match="cannot be decoded"):
        StillImage(path)


def test_a_video_is_no_image(make_video: MakeVideo) -> None:
    assert not is_image(make_video())
