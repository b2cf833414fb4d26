"""The live stream: what comes out, when, and what is never lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from fractions import Fraction
from itertools import islice

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lipforge.kernels.errors import InputError
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.live import Avatar, LiveFrame, LiveOptions, LiveStream, WallClock, paced
from lipforge.runtime.session import Session, SessionOptions
from lipforge.runtime.speech_gate import GateOptions

RATE_HZ = 16_000
PERIOD = Fraction(1, 25)
SAMPLES = 640
FOLLOW_ALL = {"gate": None, "fade_ms": 0.0}
SLOW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
Scene = Callable[..., np.ndarray]
Voice = Callable[[int, int], np.ndarray]
Open = Callable[..., LiveStream]
Digest = Callable[[list[LiveFrame]], list[tuple[object, ...]]]


def tone(seconds: float, rate_hz: int = RATE_HZ) -> np.ndarray:
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    return (0.4 * np.sin(2 * np.pi * 300 * t)).astype(np.float32)


def cut_up(audio: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    pieces, at, turn = [], 0, 0
    while at < len(audio):
        pieces.append(audio[at : at + sizes[turn % len(sizes)]])
        at += sizes[turn % len(sizes)]
        turn += 1
    return pieces


def run_clock(stream: LiveStream, until: float, start: float = 0.0, step: float = 0.04) -> list[LiveFrame]:
    frames = []
    for tick in np.arange(start, until, step):
        while (frame := stream.next_frame(float(tick))) is not None:
            frames.append(frame)
    return frames


def check_gapless(frames: list[LiveFrame]) -> None:
    position = frames[0].audio_start
    for frame in frames:
        assert frame.audio_start == position
        position += len(frame.audio)


# What comes out depends only on what went in.


@SLOW
@given(sizes=st.lists(st.integers(16, RATE_HZ), min_size=1, max_size=6))
def test_avatar_frames_are_the_same_for_any_chunking(
    open_stream: Open, avatar: Avatar, voice: Voice, digest: Digest, sizes: list[int]
) -> None:
    audio = voice(RATE_HZ + 77, RATE_HZ)

    def run(pieces: list[np.ndarray]) -> list[tuple[object, ...]]:
        stream, frames = open_stream(avatar), []
        for piece in pieces:
            stream.push_audio(piece, RATE_HZ)
            frames += list(stream)
        stream.end()
        return digest(frames + list(stream))

    whole = run([audio])
    assert len(whole) == 26
    assert run(cut_up(audio, sizes)) == whole


@SLOW
@given(sizes=st.lists(st.integers(16, RATE_HZ), min_size=1, max_size=6), ahead=st.integers(0, 5))
def test_camera_frames_are_those_of_an_offline_session(
    open_stream: Open,
    bundle: Bundle,
    disc_tracker: object,
    scene: Scene,
    voice: Voice,
    digest: Digest,
    sizes: list[int],
    ahead: int,
) -> None:
    audio, count = voice(RATE_HZ, RATE_HZ), 20
    images = [scene(160, 120, index, face=index not in (4, 5)) for index in range(count)]
    stream, frames, shot = open_stream(video_queue_ms=2000.0), [], 0
    for piece in cut_up(audio, sizes):
        stream.push_audio(piece, RATE_HZ)
        while shot < count and shot * PERIOD < stream.audio_seconds + ahead * PERIOD:
            stream.push_frame(images[shot].copy(), shot * PERIOD)
            shot += 1
        frames += list(stream)
    for index in range(shot, count):
        stream.push_frame(images[index].copy(), index * PERIOD)
    stream.end()
    frames += list(stream)
    disc_tracker.reset()
    session = Session(bundle, 25, SessionOptions(fade_ms=120.0, gate=GateOptions()), disc_tracker)
    for index, image in enumerate(images):
        session.push_frame(image.copy(), index * PERIOD)
    session.push_audio(audio, RATE_HZ)
    session.flush()
    assert digest(frames) == digest(list(session))
    assert any(frame.stats.driven for frame in frames)


@pytest.mark.parametrize("options", [FOLLOW_ALL, {}])
def test_audio_beyond_the_lookahead_changes_nothing(
    open_stream: Open, avatar: Avatar, digest: Digest, options: dict[str, object]
) -> None:
    audio = tone(1.2)

    def run(voice: np.ndarray) -> list[LiveFrame]:
        stream = open_stream(avatar, **options)
        stream.push_audio(voice, RATE_HZ)
        return list(stream)

    lookahead = open_stream(avatar).lookahead
    assert lookahead <= Fraction(1325, 10_000)
    original = run(audio)
    for index in (3, 10, 20):
        first = round((index * PERIOD + lookahead) * RATE_HZ)
        changed = audio.copy()
        changed[first:] = np.random.default_rng(0).uniform(-1, 1, len(audio) - first)
        after = run(changed)
        same = digest(after)[: index + 1]
        assert [item[2] for item in same] == [item[2] for item in digest(original)[: index + 1]]
        changed[first - 400 :] = 0.9 * np.random.default_rng(1).uniform(-1, 1, len(audio) - first + 400)
        if not options.get("gate", True):  # without the gate the last column before the limit is seen
            assert digest(run(changed))[index][2] != digest(original)[index][2]


# The clock.


def test_an_idle_avatar_goes_on_with_silence(open_stream: Open, avatar: Avatar) -> None:
    stream = open_stream(avatar)
    frames = run_clock(stream, 2.0)
    assert [frame.pts for frame in frames] == [index * PERIOD for index in range(len(frames))]
    assert len(frames) == 46  # the last is shown a look-ahead after its own time
    assert not any(frame.audio.any() or frame.stats.driven for frame in frames)
    check_gapless(frames)
    assert stream.stats().filled_s == pytest.approx(1.96, abs=0.01)


def test_speech_starts_within_its_lookahead_after_idling(open_stream: Open, avatar: Avatar) -> None:
    stream = open_stream(avatar, sample_rate_hz=RATE_HZ)
    run_clock(stream, 1.0)
    stream.push_audio(tone(0.6), RATE_HZ)
    frames = run_clock(stream, 2.4, start=1.0)
    first = next(index for index, frame in enumerate(frames) if frame.stats.driven)
    heard = next(index for index, frame in enumerate(frames) if frame.audio.any())
    shown_at = 1.0 + 0.04 * first
    assert shown_at - 1.0 <= float(stream.lookahead) + 0.04
    assert first <= heard
    check_gapless(frames)
    spoken = np.concatenate([frame.audio for frame in frames])[:, 0]
    start = int(np.flatnonzero(spoken)[0]) - 1
    assert np.array_equal(spoken[start : start + 9600], tone(0.6))
    assert frames[-1].playback.played_s == pytest.approx(0.6)


def test_speech_pushed_ahead_of_time_is_held_until_it_is_due(open_stream: Open, avatar: Avatar) -> None:
    stream = open_stream(avatar)
    stream.push_audio(tone(5.0), RATE_HZ)
    assert len(run_clock(stream, 1.0)) <= 23
    assert stream.stats().queued_audio_ms > 4000


def test_a_late_microphone_gets_time_before_silence_takes_its_place(open_stream: Open, avatar: Avatar) -> None:
    stream = open_stream(avatar, late_audio_ms=100.0, sample_rate_hz=RATE_HZ)
    audio, frames = tone(2.0), []
    for tick in range(100):  # blocks of 20 ms that come 60 ms late
        if tick >= 3:
            stream.push_audio(audio[(tick - 3) * 320 : (tick - 2) * 320], RATE_HZ)
        while (frame := stream.next_frame(tick * 0.02)) is not None:
            frames.append(frame)
    spoken = np.concatenate([frame.audio for frame in frames])[:, 0]
    start = int(np.flatnonzero(spoken)[0]) - 1
    assert np.array_equal(spoken[start:], audio[: len(spoken) - start])
    for tick in range(100, 150):  # the microphone is gone
        while (frame := stream.next_frame(tick * 0.02)) is not None:
            frames.append(frame)
    assert frames[-1].pts > 2.6


def test_a_clock_that_leaps_is_refused_and_the_stream_goes_on(open_stream: Open, avatar: Avatar) -> None:
    stream = open_stream(avatar)
    for now in (1e6, float("nan"), float("inf")):
        with pytest.raises(InputError, match="leap"):
            stream.next_frame(now)
    assert stream.next_frame(-5.0) is None
    assert len(run_clock(stream, 0.5)) > 5


def test_the_wall_clock_holds_still_while_the_machine_sleeps() -> None:
    time = [100.0]
    clock = WallClock(lambda: time[0])
    time[0] = 100.25
    assert clock.now() == 0.25
    time[0] = 5000.0
    assert clock.now() == 1.25
    time[0] = 4000.0
    assert clock.now() == 1.25


# Interrupt.


@pytest.mark.parametrize("rate_hz", [16_000, 44_100, 48_000])
def test_an_interrupt_lets_no_old_sample_out(open_stream: Open, avatar: Avatar, rate_hz: int) -> None:
    stream = open_stream(avatar)
    stream.push_audio(tone(5.0, rate_hz), rate_hz)
    before = run_clock(stream, 1.0)
    played = sum(len(frame.audio) for frame in before)
    answer = stream.interrupt()
    assert answer.played_s == pytest.approx(played / rate_hz)
    assert answer.interrupted
    assert answer.pushed_s == 5.0
    after = run_clock(stream, 2.0, start=1.0)
    assert not any(frame.audio.any() for frame in after)
    assert all(frame.epoch == stream.epoch == 1 for frame in after)
    assert not any(frame.stats.driven for frame in after[-5:])
    check_gapless(before + after)
    assert not any(frame.finished for frame in before + after)


def test_after_an_interrupt_frames_are_as_if_the_rest_had_never_been_said(
    open_stream: Open, avatar: Avatar, digest: Digest
) -> None:
    old, new = tone(3.0), 0.5 * tone(0.7)[::-1].copy()
    interrupted = open_stream(avatar, **FOLLOW_ALL)
    interrupted.push_audio(old, RATE_HZ)
    frames = list(islice(interrupted, 15))
    interrupted.interrupt()
    taken = sum(len(frame.audio) for frame in frames)
    whole = open_stream(avatar, **FOLLOW_ALL)
    whole.push_audio(np.concatenate([old[:taken], new]), RATE_HZ)
    interrupted.push_audio(new, RATE_HZ)
    for stream in (interrupted, whole):
        stream.end()
    rest = digest(list(interrupted))
    assert len(rest) > 15
    assert rest == digest(list(whole))[taken // SAMPLES :]


def test_a_frame_under_way_leaves_without_its_speech(
    open_stream: Open, avatar: Avatar, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = open_stream(avatar)
    stream.push_audio(tone(2.0), RATE_HZ)
    before = run_clock(stream, 0.5)
    whole = Session.next_frame

    def slow(session: Session) -> object:
        frame = whole(session)
        answers.append(stream.interrupt())  # as another thread would, in the middle
        return frame

    answers: list[object] = []
    monkeypatch.setattr(Session, "next_frame", slow)
    under_way = stream.next_frame(0.55)
    monkeypatch.undo()
    assert under_way is not None
    assert under_way.epoch < stream.epoch
    assert not under_way.audio.any()
    assert answers[0].played_s == pytest.approx(len(before) * 0.04)
    after = run_clock(stream, 1.0, start=0.56)
    check_gapless([*before, under_way, *after])
    assert not any(frame.audio.any() for frame in after)


def test_speech_after_an_interrupt_is_heard_whole(open_stream: Open, avatar: Avatar) -> None:
    stream = open_stream(avatar)
    stream.push_audio(tone(3.0), RATE_HZ)
    run_clock(stream, 0.6)
    stream.interrupt()
    stream.push_audio(0.5 * tone(0.4), RATE_HZ)
    stream.flush()
    frames = run_clock(stream, 2.0, start=0.6)
    spoken = np.concatenate([frame.audio for frame in frames])[:, 0]
    start = int(np.flatnonzero(spoken)[0]) - 1
    assert np.array_equal(spoken[start : start + 6400], 0.5 * tone(0.4))
    finished = [utterance for frame in frames for utterance in frame.finished]
    assert [(item.utterance, item.played_s) for item in finished] == [(1, 0.4)]


# Utterances.


def test_a_flushed_utterance_leaves_whole_without_a_clock(open_stream: Open, avatar: Avatar) -> None:
    stream = open_stream(avatar)
    stream.push_audio(tone(1.0), RATE_HZ)
    assert len(list(stream)) < 25
    stream.flush()
    frames = list(stream)
    assert frames[-1].pts == Fraction(24, 25)
    assert frames[-1].finished[0].played_s == 1.0
    assert not stream.ended
    stream.push_audio(tone(0.2), RATE_HZ)
    stream.end()
    rest = list(stream)
    assert stream.ended
    assert rest[-1].finished[0].utterance == 1
    assert stream.next_frame() is None


def test_utterances_are_told_apart(open_stream: Open, avatar: Avatar) -> None:
    stream = open_stream(avatar)
    for seconds in (0.3, 0.02, 0.5):
        stream.push_audio(tone(seconds), RATE_HZ)
        stream.flush()
    stream.end()
    finished = [item for frame in stream for item in frame.finished]
    assert [(item.utterance, item.pushed_s) for item in finished[:3]] == [(0, 0.3), (1, 0.02), (2, 0.5)]
    assert all(item.finished and item.played_s == item.pushed_s for item in finished)


# Overload.


@pytest.mark.parametrize("cost_periods", [2, 4])
def test_overload_drops_video_and_keeps_latency_and_audio(open_stream: Open, avatar: Avatar, cost_periods: int) -> None:
    stream, now, frames = open_stream(avatar), 0.0, []
    audio = tone(6.0)
    stream.push_audio(audio, RATE_HZ)
    while now < 5.0:
        frame = stream.next_frame(now)
        now += 0.04 * cost_periods if frame is not None else 0.01
        if frame is not None:
            frames.append((now, frame))
    late = [now - float(frame.pts + stream.lookahead) for now, frame in frames[5:]]
    assert max(late) <= 0.12 + 0.04 * (cost_periods + 1)
    dropped = stream.stats().dropped_frames
    assert dropped == pytest.approx(len(frames) * (cost_periods - 1), abs=6)
    check_gapless([frame for _, frame in frames])
    spoken = np.concatenate([frame.audio for _, frame in frames])[:, 0]
    assert np.array_equal(spoken, audio[: len(spoken)])


def test_a_camera_faster_than_the_engine_is_bounded(open_stream: Open, scene: Scene) -> None:
    stream, frames = open_stream(), []
    audio = tone(4.0)
    for index in range(100):
        stream.push_audio(audio[index * SAMPLES : (index + 1) * SAMPLES], RATE_HZ)
        stream.push_frame(scene(160, 120, index), index * PERIOD)
        if index % 2:  # every other turn is one frame's work: half of what comes
            frame = stream.next_frame()
            if frame is not None:
                frames.append((index, frame))
    behind = [index - frame.pts / PERIOD for index, frame in frames[10:]]
    assert max(behind) <= 9
    assert stream.stats().dropped_frames > 30
    check_gapless([frame for _, frame in frames])
    spoken = np.concatenate([frame.audio for _, frame in frames])[:, 0]
    assert np.array_equal(spoken, audio[: len(spoken)])


# Silence and lost faces.


def test_silence_fades_to_the_real_mouth(open_stream: Open, avatar: Avatar) -> None:
    stream = open_stream(avatar)
    quiet = 1e-4 * np.random.default_rng(0).standard_normal(RATE_HZ).astype(np.float32)
    stream.push_audio(np.concatenate([quiet, tone(0.6), quiet, quiet]), RATE_HZ)
    stream.end()
    frames = list(stream)
    strengths = [frame.stats.strength for frame in frames]
    rise = strengths.index(1.0)
    assert strengths[rise - 3 : rise] == pytest.approx([0, 1 / 3, 2 / 3])
    assert frames[rise].pts <= 1.0
    fall = len(strengths) - strengths[::-1].index(1.0)
    assert strengths[fall : fall + 3] == pytest.approx([2 / 3, 1 / 3, 0])
    assert frames[fall].pts >= Fraction(16, 10)
    for frame in frames:
        if not frame.stats.driven:
            assert np.array_equal(frame.image.y, frames[0].image.y)


def test_silence_comes_and_goes_without_a_pop(
    inpaint_bundle: Callable[..., Bundle], disc_tracker: object, scene: Scene
) -> None:
    """The generator paints a black chin in silence; no pixel may jump from that to the real one."""

    def largest_step(**options: object) -> float:
        stream = LiveStream(bundle, None, LiveOptions(video_queue_ms=9000.0, **options), disc_tracker)
        stream.push_audio(np.concatenate([tone(0.4), np.zeros(RATE_HZ, np.float32)]), RATE_HZ)
        for index in range(35):
            stream.push_frame(scene(160, 120, 0), index * PERIOD)
        stream.end()
        silent = [frame.image.astype(np.int16) for frame in stream if frame.pts > Fraction(4, 10)]
        return float(np.abs(np.diff(silent, axis=0)).max())

    bundle = inpaint_bundle()
    pop = largest_step(fade_ms=0.0)
    assert pop > 100
    assert largest_step() == pytest.approx(pop / 3, rel=0.1)
    assert largest_step(fade_ms=400.0) == pytest.approx(pop / 10, rel=0.2)


def test_a_pause_between_words_keeps_the_lips(open_stream: Open, avatar: Avatar) -> None:
    stream = open_stream(avatar)
    word, pause = tone(0.4), np.zeros(round(0.16 * RATE_HZ), np.float32)
    stream.push_audio(np.concatenate([word, pause, word, pause, word]), RATE_HZ)
    stream.end()
    assert all(frame.stats.strength == 1.0 for frame in list(stream)[2:])


def test_a_lost_face_passes_through_and_fades_back_in(open_stream: Open, scene: Scene) -> None:
    stream = open_stream(video_queue_ms=5000.0)
    stream.push_audio(tone(1.2), RATE_HZ)
    lost = range(10, 15)
    originals = [scene(160, 120, index, face=index not in lost) for index in range(25)]
    for index, image in enumerate(originals):
        stream.push_frame(image.copy(), index * PERIOD)
    stream.end()
    frames = list(stream)
    assert [frame.stats.strength for frame in frames[8:19]] == pytest.approx([1, 1, *[0] * 5, 1 / 3, 2 / 3, 1, 1])
    for index in lost:
        assert not frames[index].stats.face
        assert np.array_equal(frames[index].image, originals[index])


# What may be pushed.


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_rate_and_channels(open_stream: Open, avatar: Avatar, voice: Voice, rate_hz: int, channels: int) -> None:
    stream = open_stream(avatar)
    pcm = (32767 * np.repeat(voice(rate_hz, rate_hz)[:, None], channels, axis=1)).astype(np.int16)
    stream.push_audio(pcm, rate_hz)
    stream.end()
    frames = list(stream)
    assert len(frames) == 25
    assert any(frame.stats.driven for frame in frames)
    spoken = np.concatenate([frame.audio for frame in frames])
    assert np.array_equal(spoken, (pcm / 32768).astype(np.float32))


def test_the_format_may_change_in_the_middle(open_stream: Open, avatar: Avatar) -> None:
    stream = open_stream(avatar, late_audio_ms=0.0)
    for rate_hz, channels in ((16_000, 1), (48_000, 2), (8000, 1), (44_100, 2), (16_000, 1)):
        stream.push_audio(np.repeat(tone(0.5, rate_hz)[:, None], channels, axis=1), rate_hz)
    stream.end()
    frames = list(stream)
    check_gapless(frames)
    spoken = np.concatenate([frame.audio for frame in frames])
    assert spoken.shape[1] == 1
    assert len(spoken) == pytest.approx(2.5 * RATE_HZ, abs=SAMPLES)
    assert np.sqrt((spoken[2000:-2000] ** 2).mean()) == pytest.approx(0.4 / np.sqrt(2), rel=0.03)


@pytest.mark.parametrize(
    ("pcm", "rate_hz", "reason"),
    [
        (np.full(100, np.nan, np.float32), RATE_HZ, "not finite"),
        (np.zeros(100, np.float64), RATE_HZ, "dtype"),
        (np.zeros((2, 3, 4), np.float32), RATE_HZ, "shape"),
        (np.zeros(100, np.float32), 12, "sample_rate_hz is 12"),
        (np.zeros(100, np.float32), 16_000.0, "sample_rate_hz is 16000.0"),
        (np.zeros((5, 0), np.float32), RATE_HZ, "shape"),
    ],
)
def test_unusable_audio_is_refused_and_the_stream_goes_on(
    open_stream: Open, avatar: Avatar, pcm: np.ndarray, rate_hz: int, reason: str
) -> None:
    stream = open_stream(avatar)
    stream.push_audio(tone(0.5), RATE_HZ)
    with pytest.raises(InputError, match=reason):
        stream.push_audio(pcm, rate_hz)
    stream.push_audio(tone(0.5), RATE_HZ)
    stream.end()
    assert len(list(stream)) == 25


def test_sizes_may_change_between_frames(open_stream: Open, scene: Scene) -> None:
    stream = open_stream(video_queue_ms=5000.0)
    stream.push_audio(tone(1.2), RATE_HZ)
    sizes = [(160, 120)] * 8 + [(321, 243)] * 8 + [(97, 131)] * 8
    for index, (width, height) in enumerate(sizes):
        stream.push_frame(scene(width, height, index), index * PERIOD)
    stream.end()
    frames = list(stream)
    assert [frame.image.shape[1::-1] for frame in frames] == sizes
    assert all(frame.stats.driven for frame in frames)
    assert [round(frame.stats.strength, 2) for frame in frames[7:11]] == [1.0, 0.33, 0.67, 1.0]


def test_the_audio_queue_is_bounded(open_stream: Open, avatar: Avatar) -> None:
    stream = open_stream(avatar, audio_queue_ms=500.0)
    stream.push_audio(tone(0.6), RATE_HZ)
    with pytest.raises(InputError, match=r"0\.5 s of audio wait"):
        stream.push_audio(tone(0.1), RATE_HZ)
    stream.interrupt()
    stream.push_audio(tone(0.1), RATE_HZ)


def test_what_cannot_go_in_is_refused(open_stream: Open, avatar: Avatar, scene: Scene) -> None:
    stream = open_stream(avatar)
    with pytest.raises(InputError, match="has an avatar"):
        stream.push_frame(scene(160, 120, 0))
    stream.end()
    stream.end()
    with pytest.raises(InputError, match="after the stream's end"):
        stream.push_audio(tone(0.1), RATE_HZ)
    stream.close()
    stream.close()
    for call in (stream.flush, stream.interrupt, stream.end):
        with pytest.raises(InputError, match="closed"):
            call()
    assert stream.ended
    camera = open_stream()
    camera.push_frame(scene(160, 120, 0), 0.5)
    with pytest.raises(InputError, match="must increase"):
        camera.push_frame(scene(160, 120, 0), 0.5)
    with pytest.raises(InputError, match="image"):
        camera.push_frame(np.zeros((4, 4), np.uint8))


def test_frames_without_a_time_follow_the_audio(open_stream: Open, scene: Scene) -> None:
    stream = open_stream()
    for index in range(4):
        stream.push_frame(scene(160, 120, index))
        stream.push_audio(tone(0.04), RATE_HZ)
    stream.end()
    assert [frame.pts for frame in stream] == [index * PERIOD for index in range(4)]


# Threads, asyncio, several streams.


def test_pushes_from_other_threads(open_stream: Open, avatar: Avatar) -> None:
    stream, audio = open_stream(avatar), tone(2.0)

    def speak() -> None:
        for piece in np.split(audio, 200):
            stream.push_audio(piece, RATE_HZ)
        stream.end()

    speaker = threading.Thread(target=speak)
    speaker.start()
    frames = list(paced(stream))
    speaker.join()
    assert len(frames) == 50
    assert np.array_equal(np.concatenate([frame.audio for frame in frames])[:, 0], audio)


def test_asyncio(open_stream: Open, avatar: Avatar) -> None:
    async def run() -> list[LiveFrame]:
        stream = open_stream(avatar)

        async def speak() -> None:
            for piece in np.split(tone(1.0), 10):
                stream.push_audio(piece, RATE_HZ)
                await asyncio.sleep(0)
            stream.end()

        speaker = asyncio.create_task(speak())
        frames = [frame async for frame in stream]
        await speaker
        return frames

    assert len(asyncio.run(run())) == 25


def test_a_clock_paces_and_close_ends_from_another_thread(open_stream: Open, avatar: Avatar) -> None:
    stream = open_stream(avatar)
    threading.Timer(0.4, stream.close).start()
    frames = list(paced(stream, WallClock()))
    assert 1 <= len(frames) <= 8


def test_streams_share_networks_and_do_not_mix(bundle: Bundle, avatar: Avatar, digest: Digest) -> None:
    shared = bundle.sharing()
    assert shared.engine("warp") is shared.engine("warp")
    assert bundle.engine("warp") is not bundle.engine("warp")
    alone = LiveStream(bundle, avatar)
    alone.push_audio(tone(0.6), RATE_HZ)
    alone.end()
    expected = digest(list(alone))
    streams = [LiveStream(shared, avatar) for _ in range(3)]
    results: list[list[tuple[object, ...]]] = [[], [], []]

    def run(number: int) -> None:
        streams[number].push_audio(tone(0.6) if number != 1 else 0.2 * tone(0.9), RATE_HZ)
        streams[number].end()
        results[number] = digest(list(streams[number]))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results[0] == results[2] == expected
    assert results[1] != expected


def test_memory_of_an_avatars_frames_is_used_again(open_stream: Open, avatar: Avatar) -> None:
    stream, places = open_stream(avatar), set()
    stream.push_audio(tone(1.0), RATE_HZ)
    for frame in stream:
        places.add(frame.image.y.ctypes.data)
        stream.reuse(frame)
    assert len(places) <= 2
