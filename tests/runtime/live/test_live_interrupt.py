"""Interrupts let nothing old out, and utterances are told apart."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import islice

import numpy as np
import pytest

from lipforge.runtime.live import Avatar, LiveFrame, LiveStream
from lipforge.runtime.session import Session

RATE_HZ = 16_000
SAMPLES = 640
FOLLOW_ALL = {"gate": None, "fade_ms": 0.0}
Open = Callable[..., LiveStream]
Digest = Callable[[list[LiveFrame]], list[tuple[object, ...]]]
Tone = Callable[..., np.ndarray]
RunClock = Callable[..., list[LiveFrame]]
CheckGapless = Callable[[list[LiveFrame]], None]


# Interrupt.


@pytest.mark.parametrize("rate_hz", [16_000, 44_100, 48_000])
def test_an_interrupt_lets_no_old_sample_out(
    open_stream: Open, avatar: Avatar, rate_hz: int, tone: Tone, run_clock: RunClock, check_gapless: CheckGapless
) -> None:
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
    open_stream: Open, avatar: Avatar, digest: Digest, tone: Tone
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
    open_stream: Open,
    avatar: Avatar,
    monkeypatch: pytest.MonkeyPatch,
    tone: Tone,
    run_clock: RunClock,
    check_gapless: CheckGapless,
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


def test_speech_after_an_interrupt_is_heard_whole(
    open_stream: Open, avatar: Avatar, tone: Tone, run_clock: RunClock
) -> None:
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


def test_a_flushed_utterance_leaves_whole_without_a_clock(open_stream: Open, avatar: Avatar, tone: Tone) -> None:
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


def test_utterances_are_told_apart(open_stream: Open, avatar: Avatar, tone: Tone) -> None:
    stream = open_stream(avatar)
    for seconds in (0.3, 0.02, 0.5):
        stream.push_audio(tone(seconds), RATE_HZ)
        stream.flush()
    stream.end()
    finished = [item for frame in stream for item in frame.finished]
    assert [(item.utterance, item.pushed_s) for item in finished[:3]] == [(0, 0.3), (1, 0.02), (2, 0.5)]
    assert all(item.finished and item.played_s == item.pushed_s for item in finished)
