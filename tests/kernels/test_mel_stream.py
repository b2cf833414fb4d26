"""Streams fed in ways that hypothesis makes up, against the whole signal: every bit must be the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipforge.kernels.mel import MelStream, log_mel
from lipforge.kernels.spec import MelSpec, WhisperMelSpec

SPECS = {
    "wav2lip": MelSpec(),
    "wav2lip, zeros": MelSpec(padding="constant"),
    "whisper, running": WhisperMelSpec(clamp="running"),
    "whisper, none": WhisperMelSpec(clamp="none"),
}
LONGEST = 9000
"""Samples: more than a stream's buffer holds, so that it is moved."""

VOICE = np.random.default_rng(8).normal(0.0, 0.2, 2 * LONGEST).astype(np.float32)
VOICE *= np.abs(np.sin(np.arange(VOICE.size) / 700)).astype(np.float32)

every_recipe = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
many = settings(max_examples=40, deadline=None, database=None)

signals = st.integers(401, LONGEST).flatmap(
    lambda size: st.integers(0, VOICE.size - size).map(lambda first: VOICE[first : first + size])
)
# Single samples, chunks around a hop, and what a slow reader hands over at once; the last one is what is left.
splits = st.lists(st.one_of(st.integers(0, 3), st.integers(100, 700), st.integers(0, LONGEST)), max_size=60)


def chunks(audio: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    return np.split(audio, np.minimum(np.cumsum(sizes, dtype=int), audio.size))


def joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts, axis=1)


@every_recipe
@many
@given(signals, splits)
def test_any_split_equals_the_whole(spec, audio, sizes):
    mel = MelStream(spec)
    parts = [mel.push(chunk) for chunk in chunks(audio, sizes)]
    np.testing.assert_array_equal(joined([*parts, mel.flush()]), log_mel(audio, spec))


@every_recipe
@many
@given(signals, st.integers(1, 3))
def test_a_few_samples_at_a_time_equal_the_whole(spec, audio, size):
    audio, mel = audio[:1500], MelStream(spec)
    parts = [mel.push(audio[start : start + size]) for start in range(0, audio.size, size)]
    np.testing.assert_array_equal(joined([*parts, mel.flush()]), log_mel(audio, spec))


@every_recipe
@many
@given(st.lists(st.tuples(signals, splits), min_size=2, max_size=3), st.randoms(use_true_random=False))
def test_streams_do_not_mix_however_they_are_interleaved(spec, inputs, order):
    streams = [(MelStream(spec), chunks(*each), []) for each in inputs]
    turns = [i for i, (_, waiting, _) in enumerate(streams) for _ in waiting]
    order.shuffle(turns)
    for i in turns:
        mel, waiting, parts = streams[i]
        parts.append(mel.push(waiting.pop(0)))
    for (mel, _, parts), (audio, _) in zip(streams, inputs, strict=True):
        np.testing.assert_array_equal(joined([*parts, mel.flush()]), log_mel(audio, spec))


@every_recipe
@many
@given(signals, splits, signals, splits, st.booleans())
def test_a_reset_stream_is_a_new_one(spec, before, sizes_before, audio, sizes, flushed):
    mel = MelStream(spec)
    for chunk in chunks(before, sizes_before):
        mel.push(chunk)
    if flushed:
        mel.flush()
    mel.reset()
    parts = [mel.push(chunk) for chunk in chunks(audio, sizes)]
    np.testing.assert_array_equal(joined([*parts, mel.flush()]), log_mel(audio, spec))
