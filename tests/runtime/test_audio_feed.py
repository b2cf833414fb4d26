"""The audio side of a session: no way of cutting the audio into chunks may change anything."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from lipforge.kernels.errors import InputError
from lipforge.kernels.mel import log_mel
from lipforge.kernels.spec import AudioWindowSpec, MelChunkSpec, MelSpec
from lipforge.runtime.audio_feed import AudioFeed
from lipforge.runtime.column_ring import ColumnRing
from lipforge.runtime.frame_window import ChunkWindow, FrameWindow
from lipforge.runtime.mono_resampler import MonoResampler
from lipforge.runtime.sample_queue import SampleQueue, as_samples

MEL, WINDOW = MelSpec(), AudioWindowSpec()
Voice = Callable[[int, int], np.ndarray]


def noise(count: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal((count, channels))).astype(np.float32)


def chunks(audio: np.ndarray, longest: int, seed: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    cuts = np.cumsum(random.integers(0, longest, len(audio)))
    return np.split(audio, cuts[cuts < len(audio)])


def test_windows_equal_the_offline_mel_with_silence_around(voice: Voice) -> None:
    audio = voice(16_000, 16_000)
    mel = log_mel(audio, MEL)
    padded = np.full((MEL.n_mels, 23 + mel.shape[1] + 60), -MEL.max_abs, np.float32)
    padded[:, 23 : 23 + mel.shape[1]] = mel
    feed = AudioFeed(MEL, WINDOW)
    feed.push(audio, 16_000)
    feed.end()
    window = np.empty((80, 32), np.float32)
    for index in range(28):
        time = Fraction(index, 25)
        assert feed.ready(time, time + Fraction(1, 25))
        feed.window(time, out=window)
        column = int(index * 3.2)
        assert np.array_equal(window, padded[:, column : column + 32]), f"frame {index}"


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
@pytest.mark.parametrize(("longest", "seed"), [(3, 1), (700, 2), (9000, 3)])
def test_chunks_do_not_matter(rate_hz: int, longest: int, seed: int) -> None:
    audio = noise(rate_hz if longest > 3 else rate_hz // 8, channels=2)

    def run(parts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        feed, windows, heard, index = AudioFeed(MEL, WINDOW), [], [], 0
        for part in [*parts, None]:
            if part is None:
                feed.end()
            else:
                feed.push(part, rate_hz)
            while feed.ready(Fraction(index, 30), Fraction(index + 1, 30)) and index < 32:
                window = np.empty((80, 32), np.float32)
                feed.window(Fraction(index, 30), out=window)
                windows.append(window)
                heard.append(feed.take(Fraction(index + 1, 30))[1])
                index += 1
        return np.stack(windows), np.concatenate(heard)

    whole, parts = run([audio]), run(chunks(audio, longest, seed))
    assert np.array_equal(whole[0], parts[0])
    assert np.array_equal(whole[1], parts[1])
    assert np.array_equal(whole[1][: len(audio)], audio)
    assert not whole[1][len(audio) :].any()


@pytest.mark.parametrize("offset_frames", [-5, -1, 0, 2])
def test_chunk_windows_are_those_of_the_trainers(offset_frames: int) -> None:
    """At 25 frames a second the stream's window of frame i is the one that ``MelChunkSpec`` names, from frame 0 on."""
    audio, chunk = noise(16_000)[:, 0], MelChunkSpec(offset_frames=offset_frames)
    window, mel = ChunkWindow(chunk, 25.0), log_mel(audio, MEL)
    assert [window.first_column(Fraction(i, 25), MEL) for i in range(9999)] == [
        chunk.first_column(i, MEL, 25.0) for i in range(9999)
    ]
    padded = np.full((MEL.n_mels, 20 + mel.shape[1] + 60), -MEL.max_abs, np.float32)
    padded[:, 20 : 20 + mel.shape[1]] = mel
    for seed in range(4):
        feed, index, out = AudioFeed(MEL, window), 0, np.empty((80, 16), np.float32)
        for part in [*chunks(audio, 5000, seed), None]:
            if part is None:
                feed.end()
            else:
                feed.push(part, 16_000)
            while index < 25 and feed.ready(Fraction(index, 25), Fraction(index + 1, 25)):
                feed.window(Fraction(index, 25), out=out)
                first = 20 + chunk.first_column(index, MEL, 25.0)
                assert np.array_equal(out, padded[:, first : first + 16]), f"frame {index}"
                index += 1
        assert index == 25


@pytest.mark.parametrize("window", [WINDOW, ChunkWindow(MelChunkSpec(), 25.0), ChunkWindow(MelChunkSpec(16, -1), 25.0)])
def test_a_window_waits_for_its_look_ahead_and_no_longer(window: FrameWindow) -> None:
    feed, needed = AudioFeed(MEL, window), 0
    audio = noise(16_000)
    time = Fraction(1, 2)
    while not feed.ready(time, time + Fraction(1, 25)):
        feed.push(audio[needed : needed + 1] if needed > 9000 else audio[needed : needed + 100], 16_000)
        needed = feed._samples.stop
    lookahead_samples = needed - 8000
    assert window.lookahead_ms(MEL) * 16 - MEL.hop_samples < lookahead_samples <= window.lookahead_ms(MEL) * 16


def test_memory_is_bounded_while_frames_take_the_audio() -> None:
    feed, block = AudioFeed(MEL, WINDOW), noise(1600)
    for index in range(100):
        feed.push(block, 16_000)
        time = Fraction(index, 10) - Fraction(3, 10)
        if time >= 0 and feed.ready(time, time + Fraction(1, 10)):
            feed.take(time + Fraction(1, 10))
    assert len(feed._samples._blocks) <= 8  # of 0.1 s; 0.35 s are kept so that the mel can start anew


def test_an_end_without_audio_is_silence() -> None:
    feed, window = AudioFeed(MEL, WINDOW), np.empty((80, 32), np.float32)
    assert not feed.ready(Fraction(0), Fraction(1, 25))
    feed.end()
    assert feed.ready(Fraction(0), Fraction(1, 25))
    feed.window(Fraction(0), out=window)
    assert (window == -MEL.max_abs).all()
    assert not feed.covers(Fraction(0))
    assert feed.take(Fraction(1, 25))[1].shape == (0, 1)


@pytest.mark.parametrize(
    ("pcm", "rate_hz", "message"),
    [
        (np.zeros(10), 16_000, "dtype float64"),
        (np.zeros((2, 3, 4), np.float32), 16_000, "shape"),
        (np.array([0, np.nan], np.float32), 16_000, "not finite"),
        (np.zeros(10, np.float32), 0, "sample_rate_hz is 0"),
        (np.zeros(10, np.float32), 16_000.0, "whole numbers"),
    ],
)
def test_unusable_audio_is_refused_and_changes_nothing(pcm: np.ndarray, rate_hz: int, message: str) -> None:
    feed = AudioFeed(MEL, WINDOW)
    with pytest.raises(InputError, match=message):
        feed.push(pcm, rate_hz)
    assert feed.pushed_seconds == 0
    feed.push(np.zeros(8, np.int16), 8000)
    assert feed.pushed_seconds == Fraction(1, 1000)


def test_another_format_half_way_is_refused() -> None:
    feed = AudioFeed(MEL, WINDOW)
    feed.push(noise(10), 16_000)
    with pytest.raises(InputError, match="began with 16000 Hz and 1"):
        feed.push(noise(10), 8000)
    with pytest.raises(InputError, match="2 channels was pushed"):
        feed.push(noise(10, channels=2), 16_000)


def test_int16_is_scaled_and_float_is_copied() -> None:
    assert np.array_equal(as_samples(np.array([-32768, 16384], np.int16)), [[-1.0], [0.5]])
    mine = np.ones(3, np.float32)
    taken = as_samples(mine)
    mine[:] = 0
    assert taken.all()


def test_the_queue_reads_across_blocks_and_beyond() -> None:
    queue = SampleQueue()
    for start in (0, 3, 5):
        queue.append(np.arange(start, start + (3, 2, 4)[(0, 3, 5).index(start)], dtype=np.float32)[:, None])
    assert queue.read(2, 11)[:, 0].tolist() == [2, 3, 4, 5, 6, 7, 8, 0, 0]
    queue.drop_before(5)
    assert queue.read(5, 7)[:, 0].tolist() == [5, 6]
    assert queue.stop == 9


def test_the_ring_gives_silence_outside_and_the_newest_inside() -> None:
    ring, out = ColumnRing(2, 8, -4.0), np.empty((2, 5), np.float32)
    ring.append(np.arange(6, dtype=np.float32)[None].repeat(2, axis=0))
    ring.read(-2, out)
    assert out[0].tolist() == [-4, -4, 0, 1, 2]
    ring.append(np.arange(6, 26, dtype=np.float32)[None].repeat(2, axis=0))
    ring.read(22, out)
    assert out[1].tolist() == [22, 23, 24, 25, -4]


@pytest.mark.parametrize("rate_hz", [8000, 22_050, 48_000])
def test_resampling_keeps_time(rate_hz: int) -> None:
    resampler = MonoResampler(rate_hz, 16_000)
    tone = np.sin(2 * np.pi * 200 * np.arange(rate_hz) / rate_hz).astype(np.float32)[:, None].repeat(2, axis=1)
    heard = np.concatenate([resampler.push(tone), resampler.flush()])
    expected = np.sin(2 * np.pi * 200 * np.arange(len(heard)) / 16_000)
    assert len(heard) == 16_000
    assert np.abs(heard - expected)[200:-200].max() < 1e-4
