"""Files: whole whenever the stream ends, and never over another."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from lipforge.kernels.errors import InputError
from lipforge.runtime.sinks.video_file import VideoFileSink

Frames = Callable[..., object]


def read(path: Path) -> tuple[list[np.ndarray], np.ndarray]:
    with av.open(str(path)) as container:
        pictures = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        sound = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    return pictures, sound


@pytest.mark.parametrize("avatar", [False, True])
def test_pictures_and_sound_are_in_step(tmp_path: Path, live_frames: Frames, avatar: bool) -> None:
    sink = VideoFileSink(tmp_path / "out.mp4", Fraction(25))
    for frame in live_frames(60, avatar=avatar):
        sink.write(frame)
    assert not (tmp_path / "out.mp4").exists()
    sink.close()
    pictures, sound = read(tmp_path / "out.mp4")
    assert len(pictures) == 60
    flashes = [index for index, picture in enumerate(pictures) if picture[2, 80].mean() > 200]
    assert flashes == [0, 1, 25, 26, 50, 51]
    loud = np.flatnonzero(np.abs(sound[0]) > 0.2) / 48_000
    assert loud[loud > 0.5][0] == pytest.approx(1.0, abs=0.01)


def test_a_change_of_size_gets_bars(tmp_path: Path, live_frames: Frames) -> None:
    sink = VideoFileSink(tmp_path / "out.mkv", Fraction(25))
    frames = [*live_frames(5, (161, 121)), *live_frames(10, (120, 160))]
    for index, frame in enumerate(frames):
        object.__setattr__(frame, "pts", index * Fraction(1, 25))
        sink.write(frame)
    sink.close()
    pictures, _ = read(tmp_path / "out.mkv")
    assert len(pictures) == 15
    assert {picture.shape for picture in pictures} == {(120, 160, 3)}
    assert pictures[-1][:, :30].max() < 30
    assert pictures[-1][:, 60:100].mean() > 40


def test_without_a_frame_there_is_no_file(tmp_path: Path) -> None:
    VideoFileSink(tmp_path / "out.mp4", Fraction(25)).close()
    assert not list(tmp_path.iterdir())


def test_a_file_is_not_overwritten_unasked(tmp_path: Path, live_frames: Frames) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"mine")
    with pytest.raises(InputError, match="is there already"):
        VideoFileSink(path, Fraction(25))
    sink = VideoFileSink(path, Fraction(25), overwrite=True)
    for frame in live_frames(3):
        sink.write(frame)
    assert path.read_bytes() == b"mine"
    sink.close()
    assert path.stat().st_size > 1000
    assert len(list(tmp_path.iterdir())) == 1
