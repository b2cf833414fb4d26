"""``lipforge kernels``: compile the kernels before they are needed."""

from __future__ import annotations

import time

import click


@click.group()
def kernels() -> None:
    """Compile the kernels for this machine's CPU before they are needed.

    Without it each kernel is compiled on its first use, which takes seconds, once.
    """


@kernels.command("compile", short_help="Compile all that is not compiled yet.")
def compile_all() -> None:
    """Compile every kernel whose machine code is not in the user's cache yet; twice does no harm.

    The folder can be chosen with the environment variable LIPFORGE_CACHE. In an image for deployment run this while
    the image is built, on a CPU of the kind that will run it: other CPUs do not use the code but compile their own.
    """
    from lipforge.kernels.catalogue import OPS, kernels_of
    from lipforge.kernels.machine_code import store
    from lipforge.runtime.commands.progress import progress_shown

    started = time.perf_counter()
    everything = [kernel for op in OPS for kernel in kernels_of(op)]
    missing = [kernel for kernel in everything if not kernel.ready]
    if missing:
        with progress_shown("compiling kernels") as show:
            for done, kernel in enumerate(missing):
                show(done, len(missing))
                kernel.prepare()
            show(len(missing), len(missing))
        click.echo(f"{len(missing)} kernels compiled in {time.perf_counter() - started:.1f} s")
    click.echo(f"All {len(everything)} kernels are in {store.folder()}")
