"""``lipforge doctor``: what this machine has, what it lacks, and how to mend it."""

from __future__ import annotations

import json
from importlib.metadata import version
from itertools import groupby
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lipforge.runtime.doctor import Finding

COLOURS = {"ok": "green", "missing": "yellow", "problem": "red", "optional": "bright_black"}
JSON_SCHEMA = 1


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON document.")
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Check this machine and say how to mend what is missing.

    Each row is ok, missing (fetch or install it), problem (there, but not as it should be) or optional (only some
    features want it). The exit code is 1 if something that `lipforge sync` needs is not in order, else 0.
    """
    from lipforge.runtime.doctor import examine, healthy

    findings = examine()
    if as_json:
        rows = [row.to_dict() for row in findings]
        report = {"schema": JSON_SCHEMA, "lipforge": version("lipforge"), "healthy": healthy(findings)}
        click.echo(json.dumps({**report, "findings": rows}, indent=2))
    else:
        _print_table(findings)
    context.exit(0 if healthy(findings) else 1)


def _print_table(findings: list[Finding]) -> None:
    from lipforge.runtime.doctor import healthy

    width = max(len(row.name) for row in findings)
    for section, rows in groupby(findings, key=lambda row: row.section):
        click.secho(section, bold=True)
        for row in rows:
            click.echo(
                f"  {click.style(f'{row.status:<8}', fg=COLOURS[row.status])}  {row.name:<{width}}  {row.detail}"
            )
            if row.fix and row.status != "ok":
                click.echo(f"  {'':<8}  {'':<{width}}  -> {row.fix}")
    if healthy(findings):
        click.secho("lipforge sync has all that it needs.", fg="green")
    else:
        broken = [row.name for row in findings if row.required and row.status != "ok"]
        click.secho(f"lipforge sync needs: {', '.join(broken)}.", fg="red")
