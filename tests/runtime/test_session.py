"""The engine: what comes out depends only on what went in."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import cv2
import numpy as np
import pytest

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.kernels.yuv import I420Frame, Nv12Frame, YuvSpec
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.picture import Picture, Pixels
from lipforge.runtime.session import OutputFrame, Session, SessionOptions

FPS = 25
RATE_HZ = 16_000
Scene = Callable[..., np.ndarray]
Voice = Callable[[int, int], np.ndarray]


@pytest.fixture
def open_session(bundle: Bundle, disc_tracker: object) -> Callable[..., Session]:
    def make(fps: object = FPS, **options: float) -> Session:
        disc_tracker.reset()
        return Session(bundle, fps, SessionOptions(**options), disc_tracker)

    return make


def planes(image: np.ndarray) -> I420Frame:
    y, u, v = cv2.split(cv2.cvtColor(image, cv2.COLOR_BGR2YUV))
    small = [np.ascontiguousarray(plane[::2, ::2]) for plane in (u, v)]
    return I420Frame(np.ascontiguousarray(y), *small, YuvSpec("bt601", True))


def interleaved(image: np.ndarray) -> Nv12Frame:
    frame = planes(image)
    return Nv12Frame(frame.y, np.stack([frame.u, frame.v], axis=2), frame.spec)


def arrays(pixels: Pixels) -> list[np.ndarray]:
    if isinstance(pixels, I420Frame):
        return [pixels.y, pixels.u, pixels.v]
    return [pixels.y, pixels.uv] if isinstance(pixels, Nv12Frame) else [pixels]


def digest(frames: list[OutputFrame]) -> list[tuple[Fraction, int, bytes, bytes]]:
    return [(f.pts, f.audio_start, f.image.tobytes(), f.audio.tobytes()) for f in frames]


def run_whole(
    session: Session, scene: Scene, audio: np.ndarray, frames: int, rate_hz: int = RATE_HZ
) -> list[OutputFrame]:
    for index in range(frames):
        session.push_frame(scene(160, 120, index, face=index not in (4, 5)))
    session.push_audio(audio, rate_hz)
    session.flush()
    return list(session)


def run_mixed(
    session: Session, scene: Scene, audio: np.ndarray, frames: int, seed: int, rate_hz: int = RATE_HZ
) -> list[OutputFrame]:
    """Push audio in random chunks of up to 1 s, with frames in between as they come."""
    random = np.random.default_rng(seed)
    position, index, out = 0, 0, []
    while position < len(audio) or index < frames:
        if index < frames and (position >= len(audio) or random.random() < 0.6) and session.wants_frame:
            session.push_frame(scene(160, 120, index, face=index not in (4, 5)))
            index += 1
        else:
            size = int(random.choice([1, 16, 160, 1000, rate_hz]))
            session.push_audio(audio[position : position + size], rate_hz)
            position += size
        if random.random() < 0.5:
            out += list(session)
    session.flush()
    return out + list(session)


@pytest.mark.parametrize("prime_ms", [0.0, 400.0, 5000.0])
@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_any_order_and_any_chunks_give_the_same_frames(
    open_session: Callable[..., Session], scene: Scene, voice: Voice, prime_ms: float, rate_hz: int
) -> None:
    audio = voice(round(1.3 * rate_hz), rate_hz)
    options = {"prime_ms": prime_ms, "queue_ms": 3000.0}
    whole = run_whole(open_session(**options), scene, audio, 30, rate_hz)
    assert len(whole) == 30
    assert sum(frame.stats.driven for frame in whole) == 28
    for seed in range(3):
        assert digest(run_mixed(open_session(**options), scene, audio, 30, seed, rate_hz)) == digest(whole)


@pytest.mark.parametrize("form", [planes, interleaved])
def test_planes_stay_planes_and_move_as_bgr_does(
    open_session: Callable[..., Session], scene: Scene, voice: Voice, form: Callable[[np.ndarray], Pixels]
) -> None:
    audio = voice(RATE_HZ, RATE_HZ)
    originals = [form(scene(160, 120, index, face=index != 4)) for index in range(20)]
    before = [[plane.copy() for plane in arrays(pixels)] for pixels in originals]
    session = open_session()
    for pixels in originals:
        session.push_frame(pixels)
    session.push_audio(audio, RATE_HZ)
    session.flush()
    frames = list(session)
    assert all(frame.image is pixels for frame, pixels in zip(frames, originals, strict=True))
    assert [frame.stats.driven for frame in frames] == [index != 4 for index in range(20)]
    assert all(np.array_equal(a, b) for a, b in zip(arrays(frames[4].image), before[4], strict=True))
    moved = 0
    for frame, old, bgr in zip(frames, before, run_whole(open_session(), scene, audio, 20), strict=True):
        moved += not np.array_equal(arrays(frame.image)[0], old[0])
        if frame.stats.driven and bgr.stats.driven:
            shown, wanted = (Picture.of(pixels) for pixels in (frame.image, bgr.image))
            difference = shown.resized(shown.whole, 160, 120).astype(int) - wanted.resized(wanted.whole, 160, 120)
            assert np.abs(difference).mean() < 3
    assert moved > 15


def test_the_audio_moves_the_lips(open_session: Callable[..., Session], scene: Scene, voice: Voice) -> None:
    loud = run_whole(open_session(), scene, voice(RATE_HZ, RATE_HZ), 25)
    quiet = run_whole(open_session(), scene, np.zeros(RATE_HZ, np.float32), 25)
    changed = [not np.array_equal(a.image, b.image) for a, b in zip(loud, quiet, strict=True)]
    assert sum(changed) > 15
    # Only the face's neighbourhood may change.
    assert all(np.array_equal(a.image[:, :30], b.image[:, :30]) for a, b in zip(loud, quiet, strict=True))


def test_audio_beyond_the_look_ahead_cannot_change_a_frame(
    open_session: Callable[..., Session], scene: Scene, voice: Voice
) -> None:
    audio = voice(RATE_HZ, RATE_HZ)
    session = open_session()
    first = run_whole(session, scene, audio, 15)
    for index in (0, 3, 9):
        limit = int((Fraction(index, FPS) + session.lookahead) * RATE_HZ)
        other = audio.copy()
        other[limit:] = 0.7
        assert np.array_equal(run_whole(open_session(), scene, other, 15)[index].image, first[index].image)
        other = audio.copy()
        other[limit - 800 :] = 0.7
        assert not np.array_equal(run_whole(open_session(), scene, other, 15)[index].image, first[index].image)


def test_a_frame_leaves_as_soon_as_its_look_ahead_is_there(
    open_session: Callable[..., Session], scene: Scene, voice: Voice
) -> None:
    session, audio = open_session(), voice(RATE_HZ, RATE_HZ)
    session.push_frame(scene(160, 120, 0))
    enough = int(session.audio_until(Fraction(0)) * RATE_HZ)
    session.push_audio(audio[: enough - 250], RATE_HZ)
    assert list(session) == []
    session.push_audio(audio[enough - 250 : enough], RATE_HZ)
    assert [frame.pts for frame in session] == [0]


def test_frames_carry_their_audio_without_gap(open_session: Callable[..., Session], scene: Scene) -> None:
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, (44_100, 2)).astype(np.float32)
    frames = run_whole(open_session(Fraction(30_000, 1001)), scene, audio, 29, 44_100)
    assert np.array_equal(
        np.concatenate([frame.audio for frame in frames]), audio[: round(29 * 1001 / 30_000 * 44_100)]
    )
    for frame in frames:
        assert abs(frame.audio_start - frame.pts * 44_100) <= 0.5


def test_uneven_times_keep_frames_and_audio_together(
    open_session: Callable[..., Session], scene: Scene, voice: Voice
) -> None:
    session = open_session()
    session.push_audio(voice(RATE_HZ, RATE_HZ), RATE_HZ)
    times = [Fraction(t, 100) for t in (0, 4, 6, 30, 34, 90)]
    for index, time in enumerate(times):
        session.push_frame(scene(160, 120, index), time)
    session.flush()
    frames = list(session)
    assert [frame.pts for frame in frames] == times
    assert [frame.audio_start for frame in frames] == [0, 640, 1280, 1600, 5440, 6080]
    assert sum(len(frame.audio) for frame in frames) == round(0.94 * RATE_HZ)


def test_frames_without_a_face_or_beyond_the_audio_are_untouched(
    open_session: Callable[..., Session], scene: Scene, voice: Voice
) -> None:
    frames = run_whole(open_session(), scene, voice(8000, RATE_HZ), 20)
    assert [frame.stats.face for frame in frames] == [index not in (4, 5) for index in range(20)]
    assert [frame.stats.driven for frame in frames] == [index < 13 and index not in (4, 5) for index in range(20)]
    for index in (4, 5, 13, 19):
        assert np.array_equal(frames[index].image, scene(160, 120, index, face=index not in (4, 5)))
    assert not frames[19].audio.any()
    assert len(frames[19].audio) == 640


def test_no_audio_at_all_passes_everything_through(open_session: Callable[..., Session], scene: Scene) -> None:
    frames = run_whole(open_session(), scene, np.zeros(0, np.float32), 3)
    assert [frame.stats.driven for frame in frames] == [False] * 3


def test_statistics_are_of_the_frame(open_session: Callable[..., Session], scene: Scene, voice: Voice) -> None:
    for frame in run_whole(open_session(), scene, voice(RATE_HZ, RATE_HZ), 12):
        stats = frame.stats
        parts = stats.track_ms + stats.prepare_ms + stats.net_ms + stats.composite_ms
        assert 0 < parts <= stats.total_ms
        assert (stats.net_ms > 0) == stats.driven


def test_the_pushed_array_and_source_come_back(
    open_session: Callable[..., Session], scene: Scene, voice: Voice
) -> None:
    session, image = open_session(), scene(160, 120, 0)
    session.push_frame(image, source="mine")
    session.push_audio(voice(RATE_HZ, RATE_HZ), RATE_HZ)
    (frame,) = session
    assert frame.image is image
    assert frame.source == "mine"


def test_the_queue_is_bounded(open_session: Callable[..., Session], scene: Scene) -> None:
    session = open_session(queue_ms=200.0)
    for index in range(5):
        assert session.wants_frame
        session.push_frame(scene(160, 120, index))
    assert not session.wants_frame
    with pytest.raises(InputError, match="5 frames wait for audio"):
        session.push_frame(scene(160, 120, 5))


def test_the_audio_queue_is_bounded(open_session: Callable[..., Session]) -> None:
    session = open_session(audio_queue_ms=500.0)
    session.push_audio(np.zeros(9000, np.float32), RATE_HZ)
    with pytest.raises(InputError, match=r"0\.5 s of audio wait"):
        session.push_audio(np.zeros(10, np.float32), RATE_HZ)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 8, 3), np.uint8)[:, ::2],
        np.frombuffer(bytes(48), np.uint8).reshape(4, 4, 3),
    ],
)
def test_unusable_frames_are_refused(open_session: Callable[..., Session], image: np.ndarray) -> None:
    with pytest.raises(InputError, match="image"):
        open_session().push_frame(image)


def test_planes_that_cannot_be_changed_are_refused(open_session: Callable[..., Session], scene: Scene) -> None:
    pixels = planes(scene(160, 120, 0))
    pixels.v.flags.writeable = False
    with pytest.raises(InputError, match="read-only"):
        open_session().push_frame(pixels)


def test_times_must_increase(open_session: Callable[..., Session], scene: Scene) -> None:
    session = open_session()
    with pytest.raises(InputError, match="must increase"):
        session.push_frame(scene(160, 120, 0), -1.0)
    session.push_frame(scene(160, 120, 0), 0.5)
    with pytest.raises(InputError, match="must increase"):
        session.push_frame(scene(160, 120, 0), 0.5)


def test_nothing_goes_in_after_the_end(open_session: Callable[..., Session], scene: Scene) -> None:
    session = open_session()
    session.flush()
    with pytest.raises(InputError, match="after flush"):
        session.push_frame(scene(160, 120, 0))
    with pytest.raises(InputError, match="after the end"):
        session.push_audio(np.zeros(10, np.float32), RATE_HZ)
    session.close()
    with pytest.raises(InputError, match="closed"):
        session.push_frame(scene(160, 120, 0))


@pytest.mark.parametrize("fps", [0, -25, 5000])
def test_an_unusable_rate_is_refused(open_session: Callable[..., Session], fps: int) -> None:
    with pytest.raises(ConfigError, match="fps is"):
        open_session(fps)


def test_two_sessions_do_not_mix(
    open_session: Callable[..., Session], bundle: Bundle, scene: Scene, voice: Voice
) -> None:
    from lipforge.kernels.spec import CropSpec, LipSpec

    audio = voice(RATE_HZ, RATE_HZ)
    alone = digest(run_whole(open_session(), scene, audio, 10))
    tracker_type = type(open_session()._tracker)
    sessions = [Session(bundle, FPS, tracker=tracker_type(CropSpec(), LipSpec())) for _ in range(2)]
    out: list[list[OutputFrame]] = [[], []]
    for index in range(10):
        for number, session in enumerate(sessions):
            session.push_frame(scene(160, 120, index + 7 * number, face=number == 1 or index not in (4, 5)))
            if index == 0:
                session.push_audio(audio if number == 0 else audio[::-1].copy(), RATE_HZ)
            out[number] += list(session)
    sessions[0].flush()
    assert digest(out[0] + list(sessions[0])) == alone
