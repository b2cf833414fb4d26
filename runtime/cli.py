"""The command ``lipforge``: a table of sub-commands, each imported only when it is asked for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NamedTuple

import click

from lipforge.kernels.errors import LipforgeError
from lipforge.runtime.packages import explain_import

EXIT_FAULT, EXIT_USER_ERROR, EXIT_INTERRUPTED = 1, 2, 130


class Entry(NamedTuple):
    """Where a sub-command is (``module:attribute``) and what ``lipforge --help`` says about it."""

    target: str
    help: str


COMMANDS = {
    "doctor": Entry(
        "lipforge.runtime.commands.doctor:doctor", "Check this machine and say how to mend what is missing."
    ),
    "models": Entry("lipforge.runtime.commands.models:models", "Fetch and list the models that lipforge builds on."),
    "kernels": Entry("lipforge.runtime.commands.kernels:kernels", "Compile the kernels before they are needed."),
    "sync": Entry("lipforge.runtime.commands.sync:sync", "Make the mouth of a video or picture follow a voice."),
    "live": Entry("lipforge.runtime.commands.live:live", "Lip-sync a camera or an avatar to a voice as it is spoken."),
    "serve": Entry(
        "lipforge.runtime.commands.serve:serve", "Live lip-sync for browsers (WebRTC) and voice agents (WebSocket)."
    ),
    "bench": Entry("lipforge.runtime.commands.bench:bench", "Measure this machine against what lipforge promises."),
    "preprocess": Entry("lipforge.preprocess.cli:preprocess", "Make training data."),
    "train": Entry("lipforge.train.cli:train", "Train a network from training data."),
    "export": Entry("lipforge.export.cli:export", "Turn checkpoints into a verified bundle for the runtime."),
}
"""Every sub-command, in the order of ``lipforge --help``."""


class LazyGroup(click.Group):
    """A group that imports a sub-command when it is run or its own help is asked for, and not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of ``COMMANDS``."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a sub-command, or None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        _accept_debug(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the sub-command, or end with the nearest name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Commands are {', '.join(COMMANDS)}."
            ctx.fail(f"No such command {args[0]!r}. {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of sub-commands from the table, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


def _debug_option() -> click.Option:
    # Only so that click accepts and documents it; main() looks for the word itself.
    return click.Option(["--debug"], is_flag=True, expose_value=False, help="Show the traceback of an error.")


def _accept_debug(command: click.Command) -> None:
    """Let a command and everything below it take --debug too, so that it may stand anywhere on the line."""
    if not any("--debug" in parameter.opts for parameter in command.params):
        command.params.append(_debug_option())
    if isinstance(command, click.Group):
        for child in command.commands.values():
            _accept_debug(child)


@click.group(cls=LazyGroup, params=[_debug_option()], context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lipforge", message="%(prog)s %(version)s")
def lipforge() -> None:
    """Lip-sync that warps a video's real pixels: training, verified export and a lean real-time runtime."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return the exit code.

    0 is success, 1 a fault of lipforge, 2 something that the user can mend, 130 Ctrl-C. Other codes are a command's
    own. Errors are one line on stderr; ``--debug`` adds the traceback.

    Args:
        arguments: the words after ``lipforge``; by default those of this process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        # Not standalone: click then raises what it would otherwise print and turn into exit codes of its own.
        result: Any = lipforge.main(words, prog_name="lipforge", standalone_mode=False)
    except click.Abort:
        click.echo("Interrupted.", err=True)
        return EXIT_INTERRUPTED
    except click.ClickException as error:
        error.show()
        return EXIT_USER_ERROR
    except Exception as error:
        if "--debug" in words:  # also when the command that takes it could not even be imported
            _print_traceback()
        message, code = _describe(error)
        click.echo(f"Error: {message}", err=True)
        return code
    return result if isinstance(result, int) else 0


def _describe(error: Exception) -> tuple[str, int]:
    """Return what to tell the user about an exception and the exit code that goes with it."""
    if isinstance(error, LipforgeError):
        return str(error), EXIT_USER_ERROR
    advice = explain_import(error)
    if advice is not None:
        return advice, EXIT_USER_ERROR
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}.", EXIT_USER_ERROR
    kind = type(error).__name__
    return f"{kind}: {error} (a fault in lipforge; please report it with what --debug adds)", EXIT_FAULT


def _print_traceback() -> None:
    import traceback

    traceback.print_exc(file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
