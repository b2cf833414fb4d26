"""The fetched model files and the bundles that ship with the package."""

from __future__ import annotations

from lipforge.kernels.errors import LipforgeError
from lipforge.runtime.doctor.finding import Finding
from lipforge.runtime.wheel_assets import ASSETS, FACES, WheelAsset, expected_sha256, locate

SECTION = "models"


def model_findings() -> list[Finding]:
    """Look for every fetched asset and check every shipped bundle."""
    return [*map(_asset, ASSETS), *_bundles()]


def _asset(asset: WheelAsset) -> Finding:
    folder = locate(asset)
    if folder is not None:
        return Finding(SECTION, asset.group, "ok", f"{asset.name} {asset.version}, {folder}")
    try:
        expected_sha256(asset)
    except LipforgeError as error:  # not made for this platform
        return Finding(SECTION, asset.group, "optional", str(error), asset.elsewhere)
    fix = f"lipforge models fetch {asset.group}"
    if asset is FACES:  # sync fetches them by itself, so a fresh installation is not broken
        return Finding(SECTION, asset.group, "missing", "not fetched yet; the first sync does it", fix)
    return Finding(SECTION, asset.group, "optional", f"not fetched; {asset.purpose}", fix)


def _bundles() -> list[Finding]:
    from lipforge.runtime.bundle import DEFAULT_BUNDLE, shipped_bundles

    names = shipped_bundles()
    rows = [_bundle(name, name == DEFAULT_BUNDLE) for name in names]
    if DEFAULT_BUNDLE not in names:
        fix = "pip install --force-reinstall --no-deps lipforge, or give `lipforge sync` a bundle with --model"
        rows.append(Finding(SECTION, f"bundle {DEFAULT_BUNDLE}", "missing", "not in the package", fix, required=True))
    return rows


def _bundle(name: str, required: bool) -> Finding:
    from lipforge.runtime.bundle import Bundle

    try:
        bundle = Bundle.load(name)
    except LipforgeError as error:
        fix = "pip install --force-reinstall --no-deps lipforge"
        return Finding(SECTION, f"bundle {name}", "problem", str(error), fix, required=required)
    return Finding(SECTION, f"bundle {name}", "ok", f"hashes match, {bundle.folder}", required=required)
