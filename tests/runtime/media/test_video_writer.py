"""Written videos, read back: picture and sound in step, tags and sizes kept."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from lipforge.kernels.errors import InputError
from lipforge.runtime.media.audio_reader import AudioInfo
from lipforge.runtime.media.frame_pool import FramePool
from lipforge.runtime.media.pingpong import PingPong
from lipforge.runtime.media.video_info import ColourTags, VideoInfo, probe_video
from lipforge.runtime.media.video_writer import EncoderOptions, VideoWriter
from lipforge.runtime.picture import Picture

FRAMES, FLASH = 60, 20


def info(width: int = 64, height: int = 48, fps: Fraction = Fraction(25), **changes: object) -> VideoInfo:
    values = {
        "time_base": Fraction(1, 90_000),
        "pixel_aspect": Fraction(1),
        "colours": ColourTags(),
        "siting": "left",
        "quarter_turns": 0,
        "frames": 0,
    }
    return VideoInfo(width, height, fps, **(values | changes))


def write_flashes(path: Path, container: str, video: VideoInfo, audio: AudioInfo) -> None:
    """Every 20th frame is white and carries a tone; all else is black and silent."""
    writer = VideoWriter(path, container, video, audio, EncoderOptions(preset="ultrafast"))
    done = 0
    for index in range(FRAMES):
        stop = round((index + 1) / video.fps * audio.sample_rate_hz)
        loud = index % FLASH == 5
        tone = 0.8 * np.sin(2 * np.pi * 1000 * np.arange(stop - done) / audio.sample_rate_hz) * loud
        sound = np.repeat(tone[:, None], audio.channels, axis=1).astype(np.float32)
        picture = np.full((video.height, video.width, 3), 255 * loud, np.uint8)
        writer.write(picture, index / video.fps, sound)
        done = stop
    writer.close()


def flashes_and_clicks(path: Path) -> tuple[list[float], list[float]]:
    """Read when the picture turns white and when the sound starts, as a player that obeys edit lists would."""
    with av.open(str(path)) as container:
        flashes = [f.time for f in container.decode(video=0) if f.to_ndarray(format="gray").mean() > 128]
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    heard = np.concatenate([f.to_ndarray()[0] for f in frames])
    loud = np.flatnonzero(np.abs(heard) > 0.3)
    starts = loud[np.r_[True, np.diff(loud) > frames[0].sample_rate // 5]]
    return flashes, [frames[0].time + start / frames[0].sample_rate for start in starts]


@pytest.mark.parametrize(
    ("container", "fps", "rate_hz", "channels", "size"),
    [
        ("mp4", Fraction(25), 16_000, 1, (64, 48)),
        ("mp4", Fraction(30), 44_100, 2, (65, 47)),
        ("mov", Fraction(30_000, 1001), 48_000, 2, (64, 48)),
        ("matroska", Fraction(25), 22_050, 1, (64, 48)),
    ],
)
def test_flash_and_click_are_in_step(
    tmp_path: Path, container: str, fps: Fraction, rate_hz: int, channels: int, size: tuple[int, int]
) -> None:
    path = tmp_path / "out"
    write_flashes(path, container, info(*size, fps), AudioInfo(rate_hz, channels, 0.0))
    flashes, clicks = flashes_and_clicks(path)
    assert flashes == pytest.approx([float(i / fps) for i in (5, 25, 45)], abs=1e-3)
    # The tone crosses the threshold some samples after it starts, and Matroska rounds to milliseconds.
    assert clicks == pytest.approx(flashes, abs=1.2e-3)
    with av.open(str(path)) as opened:
        assert opened.duration == pytest.approx(float(FRAMES / fps) * 1e6, abs=1e6 * 1100 / rate_hz)


def test_size_aspect_and_colour_tags_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    video = info(65, 47, colours=ColourTags(1, 1, 1, 2), pixel_aspect=Fraction(16, 15))
    write_flashes(path, "mp4", video, AudioInfo(16_000, 1, 0.0))
    read = probe_video(path)
    assert (read.width, read.height, read.fps, read.time_base) == (65, 47, 25, Fraction(1, 90_000))
    assert (read.pixel_aspect, read.colours) == (video.pixel_aspect, video.colours)
    assert read.frames == FRAMES


@pytest.mark.parametrize("tags", [ColourTags(), ColourTags(1, 1, 1, 1), ColourTags(6, 6, 6, 2), ColourTags(9, 9, 1, 1)])
def test_colours_survive_the_way_there_and_back(tmp_path: Path, tags: ColourTags) -> None:
    path = tmp_path / "out.mp4"
    writer = VideoWriter(path, "mp4", info(colours=tags), AudioInfo(16_000, 1, 0.0), EncoderOptions(crf=1))
    picture = np.empty((48, 64, 3), np.uint8)
    picture[:] = (40, 90, 200)
    writer.write(picture, Fraction(0), np.zeros((640, 1), np.float32))
    writer.close()
    read = Picture.of(next(iter(PingPong(path))).frame.planes)
    assert np.abs(read.resized(read.whole, 64, 48).astype(int) - picture).max() <= 3


@pytest.mark.parametrize("range_tag", [0, 1, 2])
def test_frames_reach_the_encoder_byte_for_byte(tmp_path: Path, range_tag: int) -> None:
    path, video = tmp_path / "out.mp4", info(70, 46, colours=ColourTags(1, 1, 1, range_tag))
    random = np.random.default_rng(0)
    pool = FramePool(70, 46, video.yuv_spec)
    writer = VideoWriter(path, "mp4", video, AudioInfo(16_000, 1, 0.0), EncoderOptions(crf=0, preset="ultrafast"))
    written = []
    for index in range(30):
        frame = pool.take()
        for plane in (frame.planes.y, frame.planes.u, frame.planes.v):
            plane[:] = random.integers(0, 256, plane.shape)
        written.append(frame.encodable.to_ndarray(format="yuv420p"))
        writer.write(frame.encodable, index / video.fps, np.zeros((640, 1), np.float32))
        pool.give_back(frame)
    writer.close()
    with av.open(str(path)) as container:
        read = [frame.to_ndarray(format="yuv420p") for frame in container.decode(video=0)]
    assert np.array_equal(read, written)


def test_an_odd_picture_keeps_its_luma(tmp_path: Path) -> None:
    path, video = tmp_path / "out.mp4", info(65, 47)
    frame = FramePool(65, 47, video.yuv_spec).take()
    frame.planes.y[:] = np.random.default_rng(0).integers(0, 256, (47, 65))
    frame.planes.u[:], frame.planes.v[:] = 90, 170
    writer = VideoWriter(path, "mp4", video, AudioInfo(16_000, 1, 0.0), EncoderOptions(crf=0, preset="ultrafast"))
    writer.write(frame.encodable, Fraction(0), np.zeros((640, 1), np.float32))
    writer.close()
    with av.open(str(path)) as container:
        y, u, v = next(container.decode(video=0)).to_ndarray(format="yuv444p")
    assert np.array_equal(y, frame.planes.y)
    assert (np.unique(u), np.unique(v)) == (90, 170)


def test_a_path_that_cannot_be_written_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        VideoWriter(tmp_path / "no" / "out.mp4", "mp4", info(), AudioInfo(16_000, 1, 0.0), EncoderOptions())
