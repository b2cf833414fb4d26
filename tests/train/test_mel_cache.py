"""Spectrograms that are kept: made once, never stale, and never in the way."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lipforge.kernels.mel import log_mel
from lipforge.kernels.spec import MelSpec
from lipforge.train import mel_cache
from lipforge.train.clip_mels import ClipMels
from lipforge.train.mel_cache import NAME, kept_mel

MEL = MelSpec()
SOUND, OTHER = (np.random.default_rng(seed).normal(0, 0.1, 8000).astype(np.float32) for seed in (1, 2))


@pytest.fixture(autouse=True)
def user_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIPFORGE_CACHE", str(tmp_path / "user"))
    return tmp_path / "user"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "clip").mkdir()
    return tmp_path / "clip"


@pytest.fixture
def get(folder: Path) -> Callable[..., tuple[np.ndarray, bool]]:
    """Returns the spectrogram of a sound, and whether it was made anew."""

    def call(sound: np.ndarray = SOUND, mel: MelSpec = MEL) -> tuple[np.ndarray, bool]:
        made = []
        found = kept_mel(folder, sound.tobytes(), mel, lambda: made.append(1) or sound)
        np.testing.assert_array_equal(found, log_mel(sound, mel).astype(np.float16))
        return found, bool(made)

    return call


def test_made_once(get, folder: Path, user_cache: Path) -> None:
    assert get()[1]
    assert not get()[1]
    assert [path.name for path in folder.iterdir()] == [NAME]
    assert not user_cache.exists()


def test_another_sound_recipe_or_version_is_never_served_from_it(get, monkeypatch: pytest.MonkeyPatch) -> None:
    get()
    assert get(OTHER)[1]
    assert get(OTHER, MelSpec(fmin_hz=60.0))[1]
    monkeypatch.setattr(mel_cache, "VALUES_VERSION", 99)
    assert get(OTHER, MelSpec(fmin_hz=60.0))[1]
    assert not get(OTHER, MelSpec(fmin_hz=60.0))[1]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"hello"])
def test_a_damaged_file_is_made_again(get, folder: Path, content: bytes) -> None:
    get()
    (folder / NAME).write_bytes(content)
    assert get()[1]
    assert not get()[1]


def test_a_file_of_another_shape_is_made_again(get, folder: Path) -> None:
    key = mel_cache.mel_key(SOUND.tobytes(), MEL)
    np.savez(folder / NAME, key=np.array(key), mel=np.zeros((3, 4), np.float16))
    assert get()[1]


def test_where_the_clip_is_read_only_it_is_kept_for_the_user(
    get, folder: Path, user_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def refusing(source: str, target: Path) -> None:
        if Path(target).parent == folder:
            raise PermissionError("read-only file system")
        replace(source, target)

    monkeypatch.setattr(mel_cache.os, "replace", refusing)
    assert get()[1]
    assert not get()[1]
    assert list(folder.iterdir()) == [], "nothing is left behind"
    assert len(list(user_cache.rglob("*.npz"))) == 1


def test_nowhere_to_keep_it_is_no_error(get, user_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(mel_cache.tempfile, "mkstemp", refuse)
    assert get()[1]
    assert get()[1]


class Hum:
    """A clip of 32 bytes whose columns are its number."""

    def __init__(self, number: int) -> None:
        self.number, self.reads = number, 0

    def read_mel(self, mel: MelSpec) -> np.ndarray:
        self.reads += 1
        return np.full((2, 8), self.number, np.float16)


def test_memory_is_bounded_and_windows_end_in_silence() -> None:
    clips = [Hum(number) for number in range(4)]
    mels = ClipMels(clips, MEL, memory_bytes=64)  # type: ignore[arg-type]
    out = np.empty((2, 4), np.float32)
    for number in (0, 1, 0, 2, 0, 1):
        mels.window(number, 2, out)
        assert (out == number).all()
    assert [clip.reads for clip in clips] == [1, 2, 1, 0], "the one that was not used longest is forgotten"
    for first, wanted in ((-2, [-4, -4, 3, 3]), (6, [3, 3, -4, -4]), (9, [-4] * 4), (-9, [-4] * 4)):
        mels.window(3, first, out)
        assert out[0].tolist() == wanted
