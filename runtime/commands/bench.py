"""``lipforge bench``: the engine measured against what it promises."""

from __future__ import annotations

import json
from pathlib import Path

import click

from lipforge.kernels.errors import ConfigError
from lipforge.runtime.commands.progress import announce_compiling


@click.group()
def bench() -> None:
    """Measure this machine against what lipforge promises."""


@bench.command(short_help="Measure the live engine against its specification.")
@click.option("--model", default=None, metavar="BUNDLE|NAME", help="Bundle folder, or the name of a shipped bundle.")
@click.option("--face", type=click.Path(path_type=Path), metavar="FILE", help="Video or image; a sample by default.")
@click.option("--seconds", type=click.FloatRange(min=4), default=8.0, show_default=True, help="Of speech, each time.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    help="Of the memory's and the drift's test.",
)
@click.option(
    "--only", multiple=True, metavar="NAME", help="Measure this line alone; repeatable. A wrong name lists all."
)
@click.option("--backend", default="auto", show_default=True, help="What runs the networks; see lipforge sync --help.")
@click.option("--strict", is_flag=True, help="End with code 1 if a target is missed.")
def live(
    model: str | None,
    face: Path | None,
    seconds: float,
    minutes: float,
    only: tuple[str, ...],
    backend: str,
    strict: bool,
) -> int:
    """Print the live engine's specification beside what is measured, and as JSON on the last line.

    Look-ahead, chunking, interrupt and overload are checked on a made-up clock, so they hold or fail whatever else the
    machine does. Compute times are of the machine as it is: leave it alone meanwhile, or take the best of several runs
    of --only compute.
    """
    from lipforge.runtime.bundle import DEFAULT_BUNDLE, Bundle
    from lipforge.runtime.live_bench.material import Material
    from lipforge.runtime.live_bench.row import as_json, table
    from lipforge.runtime.live_bench.specification import MEASUREMENTS, measure

    unknown = [name for name in only if name not in MEASUREMENTS]
    if unknown:
        raise ConfigError(f"--only {unknown[0]}: there is no such line. Here are: {', '.join(MEASUREMENTS)}.")
    announce_compiling()
    bundle = Bundle.load(model or DEFAULT_BUNDLE, backend).sharing()
    material = Material(bundle, face, seconds)
    rows = measure(
        material,
        minutes,
        lambda name: click.echo(f"measuring: {name}", err=True),
        lambda row: click.echo(f"  {row.what.strip()}: {row.measured}", err=True),
        only,
    )
    click.echo(table(rows))
    click.echo(json.dumps({"model": bundle.manifest.name, "backend": bundle.choice.backend, "rows": as_json(rows)}))
    return 1 if strict and any(row.met is False for row in rows) else 0
