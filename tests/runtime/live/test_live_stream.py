"""The live stream: what comes out, and when; from several threads, in asyncio, several at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lipforge.kernels.errors import InputError
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.faces import Face
from lipforge.runtime.live import Avatar, LiveFrame, LiveStream, WallClock, paced
from lipforge.runtime.live.avatar import AvatarPlayer
from lipforge.runtime.picture import Picture
from lipforge.runtime.session import Session, SessionOptions
from lipforge.runtime.speech_gate import GateOptions
from lipforge.runtime.warp_generator import WarpGenerator

RATE_HZ = 16_000
PERIOD = Fraction(1, 25)
FOLLOW_ALL = {"gate": None, "fade_ms": 0.0}
SLOW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
Scene = Callable[..., np.ndarray]
Voice = Callable[[int, int], np.ndarray]
Open = Callable[..., LiveStream]
Digest = Callable[[list[LiveFrame]], list[tuple[object, ...]]]
Tone = Callable[..., np.ndarray]
RunClock = Callable[..., list[LiveFrame]]
CheckGapless = Callable[[list[LiveFrame]], None]


def cut_up(audio: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    pieces, at, turn = [], 0, 0
    while at < len(audio):
        pieces.append(audio[at : at + sizes[turn % len(sizes)]])
        at += sizes[turn % len(sizes)]
        turn += 1
    return pieces


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


def test_a_still_avatar_is_prepared_once_and_nothing_changes(
    bundle: Bundle, picture: Path, disc_tracker: object, tone: Tone, digest: Digest, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared, prepare = [], WarpGenerator.prepare

    def counted(generator: WarpGenerator, image: Picture, face: Face) -> None:
        prepared.append(face)
        prepare(generator, image, face)

    monkeypatch.setattr(WarpGenerator, "prepare", counted)
    still = Avatar.prepare(picture, bundle, tracker=disc_tracker)

    def speak() -> tuple[int, list[tuple[object, ...]]]:
        stream = LiveStream(bundle, still)
        warmed_up = len(prepared)
        for _ in range(2):  # the pause between them shows the avatar's own mouth
            stream.push_audio(tone(0.5), RATE_HZ)
            stream.push_audio(np.zeros(RATE_HZ, np.float32), RATE_HZ)
        stream.end()
        frames = list(stream)
        assert 20 < sum(frame.stats.driven for frame in frames) < len(frames)
        return len(prepared) - warmed_up, digest(frames)

    once, frames = speak()
    monkeypatch.setattr(AvatarPlayer, "still", False)
    always, expected = speak()
    assert (once, always > 20) == (1, True)
    assert frames == expected


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
    open_stream: Open, avatar: Avatar, digest: Digest, options: dict[str, object], tone: Tone
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


def test_an_idle_avatar_goes_on_with_silence(
    open_stream: Open, avatar: Avatar, run_clock: RunClock, check_gapless: CheckGapless
) -> None:
    stream = open_stream(avatar)
    frames = run_clock(stream, 2.0)
    assert [frame.pts for frame in frames] == [index * PERIOD for index in range(len(frames))]
    assert len(frames) == 46  # the last is shown a look-ahead after its own time
    assert not any(frame.audio.any() or frame.stats.driven for frame in frames)
    check_gapless(frames)
    assert stream.stats().filled_s == pytest.approx(1.96, abs=0.01)


def test_speech_starts_within_its_lookahead_after_idling(
    open_stream: Open, avatar: Avatar, tone: Tone, run_clock: RunClock, check_gapless: CheckGapless
) -> None:
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


def test_speech_pushed_ahead_of_time_is_held_until_it_is_due(
    open_stream: Open, avatar: Avatar, tone: Tone, run_clock: RunClock
) -> None:
    stream = open_stream(avatar)
    stream.push_audio(tone(5.0), RATE_HZ)
    assert len(run_clock(stream, 1.0)) <= 23
    assert stream.stats().queued_audio_ms > 4000


def test_a_late_microphone_gets_time_before_silence_takes_its_place(
    open_stream: Open, avatar: Avatar, tone: Tone
) -> None:
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


def test_a_clock_that_leaps_is_refused_and_the_stream_goes_on(
    open_stream: Open, avatar: Avatar, run_clock: RunClock
) -> None:
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


# Threads, asyncio, several streams.


def test_pushes_from_other_threads(open_stream: Open, avatar: Avatar, tone: Tone) -> None:
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


def test_asyncio(open_stream: Open, avatar: Avatar, tone: Tone) -> None:
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


def test_streams_share_networks_and_do_not_mix(bundle: Bundle, avatar: Avatar, digest: Digest, tone: Tone) -> None:
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


def test_memory_of_an_avatars_frames_is_used_again(open_stream: Open, avatar: Avatar, tone: Tone) -> None:
    stream, places = open_stream(avatar), set()
    stream.push_audio(tone(1.0), RATE_HZ)
    for frame in stream:
        places.add(frame.image.y.ctypes.data)
        stream.reuse(frame)
    assert len(places) <= 2
