from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from lipforge.kernels.errors import InputError
from lipforge.kernels.mel import log_mel
from lipforge.kernels.spec import AudioWindowSpec, MelSpec
from lipforge.train.audio2lips_data import Audio2LipsData, MelWindows, whole_clip
from lipforge.train.audio_augment import augment_audio
from lipforge.train.clips import load_clips
from lipforge.train.config import Audio2LipsDataConfig, AudioAugmentConfig, MelAugmentConfig
from lipforge.train.models.audio2lips import Audio2Lips
from lipforge.train.shards import open_dataset
from lipforge.train.unspoken_sounds import coloured_noise, unspoken_sound

MEL, WINDOW = MelSpec(), AudioWindowSpec()
ALWAYS = AudioAugmentConfig(
    noise_share=1.0, tilt_share=1.0, band_limit_share=1.0, low_cut_share=1.0, distortion_share=1.0, reverb_share=1.0
)
UNCHANGED = MelAugmentConfig(warp=0.0, response=0.0, noise=0.0, mask_share=0.0)


def open_data(root: Path, **changes: object) -> Audio2LipsData:
    dataset = open_dataset(root)
    config = Audio2LipsDataConfig(**changes)  # type: ignore[arg-type]
    training, _ = load_clips(dataset, config.validation_share)
    return Audio2LipsData(training, MelWindows(MEL, WINDOW, dataset.fps), MEL, config, batch_size=6, seed=0)


@pytest.mark.parametrize("fps", [25.0, 30.0, 30000 / 1001, 24.0])
def test_windows_follow_the_spec(fps: float) -> None:
    """Column by column from the words of AudioWindowSpec."""
    random = np.random.default_rng(0)
    audio = random.uniform(-0.5, 0.5, 16_000).astype(np.float32)
    mel = log_mel(audio, MEL)
    windows = MelWindows(MEL, WINDOW, fps)
    prepared = windows.prepare(audio)
    for frame in range(int(fps)):
        centre = int(np.floor(frame / fps * MEL.columns_per_second + 1e-9))
        window = windows.cut(prepared, frame)
        for place, column in enumerate(range(centre - WINDOW.past_columns, centre + WINDOW.lookahead_columns + 1)):
            expected = mel[:, column] if 0 <= column < mel.shape[1] else np.full(80, -4.0)
            np.testing.assert_array_equal(window[:, place], expected)


def test_batch_depends_on_seed_and_step_only(data_root: Path) -> None:
    ahead, again = open_data(data_root), open_data(data_root)
    for step in range(4):
        ahead.batch(step)
    first, second = ahead.batch(2), again.batch(2)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["mel"], again.batch(3)["mel"])


def test_shapes(data_root: Path) -> None:
    batch = open_data(data_root, silence_share=0.0, run_windows=9, augment=AudioAugmentConfig(versions=1)).batch(0)
    assert batch["mel"].shape == (6, 80, 32 + 8 * 4)
    assert batch["lips"].shape == (6, 9, 40, 3)
    assert batch["mel"].abs().max() <= 4
    clip = whole_clip(load_clips(open_dataset(data_root), 0.03)[0][0], MelWindows(MEL, WINDOW, 25.0))
    assert clip["mel"].shape == (25, 80, 32)


def test_version_zero_is_the_clip_itself(data_root: Path) -> None:
    """Every fifth frame starts a whole number of patches later: there, runs and frames have the same windows."""
    training, _ = load_clips(open_dataset(data_root), 0.03)
    windows = MelWindows(MEL, WINDOW, 25.0)
    data = open_data(data_root, silence_share=0.0, run_windows=5, augment=AudioAugmentConfig(versions=1), mel=UNCHANGED)
    found = 0
    for step in range(40):
        batch = data.batch(step)
        for clip in (whole_clip(clip, windows) for clip in training):
            for mel, lips in zip(batch["mel"], batch["lips"], strict=True):
                same = ((clip["mel"] - mel[:, :32]).abs().amax((1, 2)) < 4e-3).nonzero()
                if len(same) == 1:
                    found += 1
                    around = clip["lips"][max(0, same[0, 0] - 1) : same[0, 0] + 2]
                    # The middle of a frame's column lies within a third of a frame of it.
                    assert (lips[0] >= around.amin(0) - 1e-5).all()
                    assert (lips[0] <= around.amax(0) + 1e-5).all()
    assert found > 5


def test_a_run_is_its_windows(data_root: Path) -> None:
    batch = open_data(data_root, run_windows=5).batch(0)
    network = Audio2Lips(width=8, hidden=8).eval()
    with torch.no_grad():
        runs = network(batch["mel"]).reshape(batch["lips"].shape)
        for number in range(5):
            window = batch["mel"][:, :, 4 * number : 4 * number + 32]
            torch.testing.assert_close(network(window), runs[:, number], atol=1e-5, rtol=1e-5)


def test_times_of_a_run() -> None:
    windows = MelWindows(MEL, WINDOW, 25.0)
    np.testing.assert_allclose(windows.frames(16, 3), (np.array([16, 20, 24]) + 0.5) * 25 / 80)
    for frame in range(40):
        assert frame <= windows.frames(windows.column(frame), 1)[0] + 0.16, "the column's middle, half a column early"
        assert abs(windows.frames(windows.column(frame), 1)[0] - frame) < 0.5


def test_clips_shorter_than_a_run_end_in_silence(data_root: Path) -> None:
    batch = open_data(data_root, silence_share=0.0, run_windows=60, augment=AudioAugmentConfig(versions=1)).batch(0)
    assert batch["mel"].shape == (6, 80, 32 + 59 * 4)
    assert batch["lips"].shape == (6, 60, 40, 3)


def test_quiet_windows_want_a_shut_mouth(data_root: Path) -> None:
    batch = open_data(data_root, silence_share=1.0).batch(0)
    assert batch["lips"].abs().max() == 0
    assert batch["mel"].std((1, 2)).max() > 0


def test_unspoken_sounds_have_unit_power_and_repeat() -> None:
    for seed in range(24):
        first, again = (unspoken_sound(16_000, 16_000, np.random.default_rng(seed)) for _ in range(2))
        assert first.dtype == np.float32
        assert first.shape == (16_000,)
        assert np.sqrt(np.mean(np.square(first))) == pytest.approx(1.0, rel=1e-3)
        np.testing.assert_array_equal(first, again)


def test_augmented_sound_stays_in_place_and_in_range() -> None:
    random = np.random.default_rng(0)
    click = np.zeros(16_000, np.float32)
    click[8000] = 0.9
    for seed in range(12):
        config = AudioAugmentConfig(**{**vars(ALWAYS), "noise_share": 0.0})
        changed = augment_audio(click, 16_000, config, np.random.default_rng(seed))
        assert changed.dtype == np.float32
        assert changed.shape == click.shape
        assert abs(int(np.argmax(np.abs(changed))) - 8000) <= 1
    loud = augment_audio(random.uniform(-1, 1, 5001).astype(np.float32), 16_000, ALWAYS, random)
    assert np.abs(loud).max() <= 1


def test_noise_has_the_asked_ratio() -> None:
    config = AudioAugmentConfig(
        noise_share=1.0,
        tilt_share=0.0,
        band_limit_share=0.0,
        low_cut_share=0.0,
        distortion_share=0.0,
        reverb_share=0.0,
        gain_db=0.0,
        snr_db=(20.0, 20.0),
    )
    tone = 0.3 * np.sin(np.arange(32_000) * 0.3).astype(np.float32)
    for seed in range(4):
        noise = augment_audio(tone, 16_000, config, np.random.default_rng(seed)) - tone
        ratio_db = 20 * np.log10(tone.std() / noise.std())
        assert abs(ratio_db - 20.0) < 0.5


def test_silence_survives() -> None:
    assert np.isfinite(augment_audio(np.zeros(999, np.float32), 16_000, ALWAYS, np.random.default_rng(0))).all()


def test_noise_is_sometimes_pink() -> None:
    slopes = []
    for seed in range(20):
        power = np.abs(np.fft.rfft(coloured_noise(16_384, np.random.default_rng(seed)))) ** 2
        slopes.append(power[10:100].mean() / power[4000:8000].mean())
    assert min(slopes) < 2
    assert max(slopes) > 20


def test_wrong_length_of_sound(new_dataset: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    dataset = dataclasses.replace(open_dataset(new_dataset()), fps=30.0)
    with pytest.raises(InputError, match=r"\.wav: 16000 samples, 25 frames need 13333"):
        load_clips(dataset, 0.03)
