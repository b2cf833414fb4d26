from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lipforge.kernels.errors import InputError
from lipforge.runtime.media.audio_reader import AudioReader, probe_audio

MakeWav = Callable[..., Path]


def read(path: Path) -> np.ndarray:
    with AudioReader(path) as reader:
        return np.concatenate(list(reader.blocks()))


@pytest.mark.parametrize(("rate_hz", "channels"), [(16_000, 1), (44_100, 2), (48_000, 1), (8000, 2)])
def test_wav_samples_come_back_exactly(make_wav: MakeWav, rate_hz: int, channels: int) -> None:
    samples = np.random.default_rng(1).integers(-3000, 3000, (rate_hz + 7, channels)) / 32767
    path = make_wav(rate_hz=rate_hz, channels=channels, samples=samples)
    info = probe_audio(path)
    assert (info.sample_rate_hz, info.channels) == (rate_hz, channels)
    assert info.duration_s == pytest.approx(len(samples) / rate_hz, abs=1e-3)
    heard = read(path)
    assert heard.dtype == np.float32
    assert heard.shape == samples.shape
    assert np.abs(heard - np.round(samples * 32767) / 32768).max() < 1e-4


def test_odd_rates_and_many_channels_become_what_aac_can_carry(make_wav: MakeWav) -> None:
    path = make_wav(rate_hz=37_000, channels=6, seconds=0.5)
    info = probe_audio(path)
    assert (info.sample_rate_hz, info.channels) == (48_000, 2)
    assert read(path).shape == (pytest.approx(24_000, abs=2), 2)


def test_blocks_are_bounded(make_wav: MakeWav) -> None:
    with AudioReader(make_wav(seconds=3.1)) as reader:
        sizes = [len(block) for block in reader.blocks()]
    assert max(sizes) <= 4000
    assert sum(sizes) == 49_600


def test_sound_of_a_video_is_read(make_video: Callable[..., Path], voice: Callable[..., np.ndarray]) -> None:
    sound = voice(48_000, 48_000)
    heard = read(make_video(sound=sound))[:48_000, 0]
    assert np.corrcoef(heard, sound)[0, 1] > 0.97


def test_leaving_early_ends_the_child(make_wav: MakeWav) -> None:
    with AudioReader(make_wav(seconds=60)) as reader:
        next(reader.blocks())
        child = reader._process
        assert child.poll() is None
    assert child.poll() is not None


def test_no_samples_is_an_error(make_wav: MakeWav) -> None:
    with pytest.raises(InputError, match="no audio samples"):
        read(make_wav(samples=np.zeros((0, 1))))


def test_a_silent_video_has_no_sound_track(make_video: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="no sound track"):
        AudioReader(make_video())


def test_what_is_no_sound_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "voice.wav"
    path.write_text("hello " * 100)
    with pytest.raises(InputError, match="cannot be read"):
        AudioReader(path)


def test_names_with_spaces_quotes_and_colons(make_wav: MakeWav, tmp_path: Path) -> None:
    odd = tmp_path / '-pipe:1 it\'s a "voice" %d.wav'
    make_wav(seconds=0.1).rename(odd)
    assert len(read(odd)) == 1600
