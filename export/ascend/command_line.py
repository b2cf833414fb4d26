"""The options of ``lipforge export`` that only the target ``ascend-om`` takes, and what is printed about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from lipforge.export.sources import holds_bundle
from lipforge.kernels.errors import ConfigError
from lipforge.runtime.manifest import Manifest
from lipforge.runtime.om_conversion import SCRIPT_NAME, Conversion

if TYPE_CHECKING:
    from lipforge.export.ascend.target import AscendOptions

ASCEND = "ascend-om"
BUNDLE_ONLY = 3
"""Exit code of --require-om where the OMs could not be made."""

_PATH = click.Path(path_type=Path)
OPTIONS: dict[str, dict[str, Any]] = {
    "--soc": {"help": "Chip, as `npu-smi info` names it with Ascend in front.  [default: Ascend310P3]"},
    "--batch": {"metavar": "N,N,...", "help": "Batch sizes that the OM takes.  [default: 1,4,8]"},
    "--static": {"is_flag": True, "default": None, "help": "One sample at a time; same as --batch 1."},
    "--precision": {
        "type": click.Choice(["fp16", "mixed", "origin"]),
        "help": "fp16 is the fastest, origin (float32) the most exact.  [default: fp16]",
    },
    "--aipp": {"is_flag": True, "default": None, "help": "Let the NPU's AIPP prepare the pictures that it fits."},
    "--float-inputs": {"is_flag": True, "default": None, "help": "Let the OM take float32 instead of bytes."},
    "--fp16-budget": {
        "type": click.FloatRange(min=0, min_open=True),
        "help": "Largest absolute error that float16 may cause.  [default: flow 0.1 px, lips and colour 0.01, mask "
        "0.005, bytes 2, else 1 % of the range]",
    },
    "--ops-table": {"type": _PATH, "metavar": "FILE", "help": "Operators that ATC knows.  [default: the one inside]"},
    "--atc": {"type": _PATH, "metavar": "PATH", "help": "CANN's converter.  [default: the one on PATH, if any]"},
    "--no-atc": {"is_flag": True, "default": None, "help": f"Write the bundle only; its {SCRIPT_NAME} converts it."},
    "--require-om": {"is_flag": True, "default": None, "help": f"End with code {BUNDLE_ONLY} if no OM was made."},
}


@dataclass(frozen=True)
class AscendWords:
    """What was given of these options; None or missing where nothing was.

    Attributes:
        given: by option, with its dashes.
    """

    given: dict[str, Any]

    def refuse_for(self, target: str) -> None:
        """Check that nothing was given if the target is another.

        Raises:
            ConfigError: something was.
        """
        if self.given and target != ASCEND:
            raise ConfigError(f"{', '.join(self.given)}: only for --target {ASCEND}, not for {target}.")

    @property
    def require_om(self) -> bool:
        """Whether a bundle without OMs counts as failed."""
        return "--require-om" in self.given

    def options(self) -> AscendOptions:
        """Return the ``AscendOptions``.

        Raises:
            ConfigError: words contradict each other, or --batch holds something else than numbers.
        """
        from lipforge.export.ascend.target import AscendOptions

        names = {"--soc": "soc", "--precision": "precision", "--aipp": "aipp", "--float-inputs": "float_inputs"} | {
            "--atc": "atc",
            "--ops-table": "operator_table",
            "--fp16-budget": "fp16_budget",
        }
        values = {names[option]: value for option, value in self.given.items() if option in names}
        for one, other in (("--static", "--batch"), ("--no-atc", "--atc"), ("--no-atc", "--require-om")):
            if one in self.given and other in self.given:
                raise ConfigError(f"{one} and {other} contradict each other; give one of them.")
        if "--static" in self.given:
            values["gears"] = (1,)
        elif "--batch" in self.given:
            values["gears"] = _gears(self.given["--batch"])
        return AscendOptions(**values, convert="--no-atc" not in self.given, say=_say)


def ascend_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, which gets them as one argument ``ascend``."""

    @wraps(command)
    def packed(**values: Any) -> Any:
        keys = {option: option.removeprefix("--").replace("-", "_") for option in OPTIONS}
        found = {option: values.pop(key) for option, key in keys.items()}
        given = {option: value for option, value in found.items() if value is not None}
        return command(**values, ascend=AscendWords(given))

    decorated: Callable[..., Any] = packed
    for option, settings in reversed(OPTIONS.items()):
        settings = {**settings, "help": f"({ASCEND}) {settings['help']}"}
        decorated = click.option(option, **settings)(decorated)
    return decorated


def is_bundle(paths: Sequence[Path]) -> bool:
    """Tell whether a bundle was given instead of checkpoints: a folder with a manifest, or a name that ships."""
    return len(paths) == 1 and holds_bundle(paths[0])


def refuse_tracing_options(context: click.Context) -> None:
    """Check that nothing was asked that only tracing a checkpoint can do.

    Raises:
        ConfigError: --opset or --tolerance was given.
    """
    for name in ("opset", "tolerance"):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise ConfigError(f"--{name}: a bundle keeps its own; give checkpoints to export it anew.")


def print_ascend(manifest: Manifest, folder: Path) -> bool:
    """Print what a bundle is for Ascend NPUs; return whether it was converted."""
    entry = manifest.ascend
    if entry is None:
        return False
    batches = f"batches of {', '.join(map(str, entry.gears))}" if len(entry.gears) > 1 else f"batch {entry.gears[0]}"
    table = entry.operator_table
    click.echo(f"{entry.soc}: {batches}, precision {entry.precision}, operators of {table['name']} {table['date']}")
    for name, model in entry.models.items():
        moved = ", ".join(f"{out} {error:.1e} of {model.budget[out]:.1e}" for out, error in model.fp16_error.items())
        if moved:
            click.echo(f"  {name}: float16 moves {moved}; largest value inside {model.largest_activation:.3g} of 65504")
        if model.aipp_inputs:
            click.echo(f"  {name}: AIPP prepares {', '.join(model.aipp_inputs)}")
    conversion = Conversion.read(folder)
    if conversion is None:
        click.echo(f"bundle only, not converted: run its {SCRIPT_NAME} where CANN is installed")
        return False
    files = ", ".join(model.file for model in conversion.models.values())
    click.echo(f"converted for {conversion.soc}: {files}")
    return True


def _gears(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise ConfigError(f"--batch {text}: must be whole numbers with commas between them, such as 1,4,8.") from None


def _say(message: str) -> None:
    click.echo(message, err=True)
