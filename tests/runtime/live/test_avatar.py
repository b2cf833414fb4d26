"""Avatars: prepared once, played without end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipforge.kernels.errors import InputError
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.live import Avatar
from lipforge.runtime.media.pingpong import PingPong

MakeVideo = Callable[..., Path]


def luma(avatar: Avatar, count: int) -> list[np.ndarray]:
    player, shown = avatar.play(), []
    for _ in range(count):
        frame = player.next()
        shown.append(frame.frame.planes.y.astype(np.int16))
        player.reuse(frame.frame)
    return shown


def test_a_video_plays_forward_and_backward(make_video: MakeVideo, bundle: Bundle, disc_tracker: object) -> None:
    path = make_video(frames=9, faces=lambda index: index != 4)
    avatar = Avatar.prepare(path, bundle, tracker=disc_tracker)
    assert disc_tracker.tracked == len(avatar.faces) == 9
    original = []
    for source, _ in zip(PingPong(path), range(9), strict=False):
        original.append(source.frame.planes.y.astype(np.int16).copy())
    order = [*range(9), *range(7, 0, -1)] * 3
    for shown, index in zip(luma(avatar, len(order)), order, strict=True):
        assert np.abs(shown - original[index]).mean() < 1.5
        nearest = min(range(9), key=lambda other: np.abs(shown - original[other]).mean())
        assert nearest == index
    assert [avatar.face(index) is None for index in range(32)] == [index == 4 for index in order[:32]]
    assert avatar.bytes < sum(image.size * 1.5 for image in original)


def test_skipping_keeps_the_order(make_video: MakeVideo, bundle: Bundle, disc_tracker: object) -> None:
    avatar = Avatar.prepare(make_video(frames=6), bundle, tracker=disc_tracker)
    expected = luma(avatar, 4)[3]
    player = avatar.play()
    for _ in range(3):
        player.skip()
    shown = player.next()
    assert np.array_equal(shown.frame.planes.y, expected)
    assert shown.face is avatar.faces[3]


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_short_videos(make_video: MakeVideo, bundle: Bundle, disc_tracker: object, frames: int) -> None:
    avatar = Avatar.prepare(make_video(frames=frames), bundle, tracker=disc_tracker)
    assert len(luma(avatar, 10)) == 10


def test_a_long_video_is_used_up_to_a_limit(make_video: MakeVideo, bundle: Bundle, disc_tracker: object) -> None:
    seen: list[tuple[int, int]] = []
    avatar = Avatar.prepare(
        make_video(frames=30), bundle, longest_s=0.4, tracker=disc_tracker, on_progress=lambda *done: seen.append(done)
    )
    assert len(avatar.faces) == 10
    assert seen[-1] == (18, 18)


def test_an_image_keeps_every_byte(picture: Path, bundle: Bundle, disc_tracker: object) -> None:
    avatar = Avatar.prepare(picture, bundle, tracker=disc_tracker)
    first, later = (shown.copy() for shown in (luma(avatar, 1)[0], luma(avatar, 5)[4]))
    assert np.array_equal(first, later)
    assert avatar.face(7) is avatar.faces[0]


def test_odd_sizes_become_even(
    bundle: Bundle, disc_tracker: object, tmp_path: Path, scene: Callable[..., np.ndarray]
) -> None:
    cv2.imwrite(str(tmp_path / "odd.png"), scene(161, 121, 0))
    assert Avatar.prepare(tmp_path / "odd.png", bundle, tracker=disc_tracker).info.width % 2 == 0


def test_without_a_face_there_is_no_avatar(make_video: MakeVideo, bundle: Bundle, disc_tracker: object) -> None:
    with pytest.raises(InputError, match="no face was found in any of 5 frames"):
        Avatar.prepare(make_video(frames=5, faces=lambda _: False), bundle, tracker=disc_tracker)


def test_a_missing_file(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Avatar.prepare(tmp_path / "none.mp4", bundle)
