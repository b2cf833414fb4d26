"""``lipforge export``: write a bundle; ``inspect`` and ``verify`` look at one."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lipforge.export.ascend.command_line import (
    BUNDLE_ONLY,
    AscendWords,
    ascend_options,
    is_bundle,
    print_ascend,
    refuse_tracing_options,
)
from lipforge.kernels.errors import ConfigError
from lipforge.runtime.manifest import FP32

if TYPE_CHECKING:
    from lipforge.export.targets import TargetOptions
    from lipforge.runtime.manifest import Manifest

ONNX = "onnx"
DEFAULT_COMMAND = "write"
HELP = f"""Turn trained checkpoints into a bundle that runs without torch.

\b
lipforge export CHECKPOINT... --target onnx -o BUNDLE
lipforge export BUNDLE --target onnx-int8 --calibration DATA -o NEW
lipforge export CHECKPOINT... --target ascend-om -o BUNDLE
lipforge export verify BUNDLE
lipforge export selftest BUNDLE

The first form is short for `lipforge export {DEFAULT_COMMAND}`; see `lipforge export {DEFAULT_COMMAND} --help`.
"""


class DefaultCommandGroup(click.Group):
    """A group whose first word may be left out: anything that is no sub-command goes to ``DEFAULT_COMMAND``.

    A checkpoint folder that is called like a sub-command can be given as ``./verify``.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command in front unless a sub-command or the help is asked for."""
        own = {word for option in self.get_params(ctx) for word in option.opts}
        first = next((index for index, word in enumerate(args) if word not in own), None)
        if first is not None and args[first] not in self.commands:
            args = [*args[:first], DEFAULT_COMMAND, *args[first:]]
        return super().parse_args(ctx, args)


@click.group(cls=DefaultCommandGroup, no_args_is_help=True, help=HELP)
def export() -> None:
    """Hold the sub-commands."""


@export.command(DEFAULT_COMMAND)
@click.argument("checkpoints", nargs=-1, required=True, metavar="CHECKPOINT...", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, metavar="BUNDLE", type=click.Path(path_type=Path), help="New folder.")
@click.option(
    "--target",
    default="onnx",
    show_default=True,
    help="Kind of bundle: onnx, onnx-fp16, onnx-int8, openvino or ascend-om.",
)
@click.option("--opset", default=17, show_default=True, help="ONNX operator set of the graphs, 13 to 18.")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0, min_open=True),
    help="Largest absolute error against torch, for every output in its own unit. "
    "[default: flow 1e-3 px, lips 1e-3, pictures in bytes 1 level, everything else 1e-4]",
)
@click.option("--name", help="Shown to the bundle's users.  [default: the folder's name]")
@click.option("--overwrite", is_flag=True, help="Replace an existing bundle.")
@click.option(
    "--calibration",
    metavar="DATA",
    type=click.Path(path_type=Path),
    help="(onnx-int8, openvino) Dataset whose faces and voices value ranges are measured on, and mouths judged by; "
    "openvino stays in float32 without it.",
)
@click.option(
    "--psnr",
    type=click.FloatRange(min=0, min_open=True),
    help="(onnx-int8, openvino) Least PSNR in dB of the mouth against float32, on held-out samples.  [default: 35]",
)
@click.option(
    "--expert",
    metavar="BUNDLE|NAME|none",
    help="(onnx-int8, openvino) Sync expert that compares mouths in 8 bits with those in float32, made for faces cut "
    "out like the dataset's; none: nobody judges sync.  [default: the shipped one]",
)
@ascend_options
@click.pass_context
def write(
    context: click.Context,
    checkpoints: tuple[Path, ...],
    output: Path,
    target: str,
    opset: int,
    tolerance: float | None,
    name: str | None,
    overwrite: bool,
    calibration: Path | None,
    psnr: float | None,
    expert: str | None,
    ascend: AscendWords,
) -> None:
    """Export checkpoints of kinds that belong together.

    \b
    audio2lips and warp, in any order   a bundle that `lipforge sync` runs (generator warp)
    wav2lip, of any size                a bundle that `lipforge sync` runs (generator inpaint)
    syncnet, or wav2lip-disc            a bundle of one network that judges (generator none)

    One of the arguments may be a bundle, also the name of one that ships: its graphs are kept where no checkpoint
    replaces them, so that `lipforge export synth-warp runs/warp -o mine` exchanges one network.

    A published .pth file becomes a checkpoint with `lipforge train import`. A bundle is written only if ONNX Runtime
    reproduces torch on typical, random and extreme inputs. For every target but onnx one bundle may be given instead
    of checkpoints, also the name of one that ships.
    """
    ascend.refuse_for(target)
    options = _options(target, calibration, psnr, expert, ascend)
    if target != ONNX and is_bundle(checkpoints):
        from lipforge.export.from_bundle import export_from_bundle

        refuse_tracing_options(context)
        manifest = export_from_bundle(checkpoints[0], output, target, options, name=name, overwrite=overwrite)
    else:
        from lipforge.export.export_bundle import ExportRequest, export_bundle

        request = ExportRequest(checkpoints, output, target, opset, tolerance, name, overwrite, options)
        manifest = export_bundle(request)
    _print_graphs(manifest)
    _print_precision(manifest)
    converted = print_ascend(manifest, output)
    click.echo(str(output))
    if ascend.require_om and not converted:
        context.exit(BUNDLE_ONLY)


@export.command()
@click.argument("bundle", metavar="BUNDLE")
def inspect(bundle: str) -> None:
    """Print what a bundle holds.

    BUNDLE is a folder or the name of a bundle that ships.
    """
    from lipforge.runtime.bundle import Bundle

    loaded = Bundle.load(bundle)
    manifest = loaded.manifest
    click.echo(f"{manifest.name}: generator {manifest.generator}, {manifest.fps:g} frames a second, ", nl=False)
    click.echo(f"look-ahead {manifest.lookahead_ms:g} ms")
    for key, spec in manifest.specs.items():
        click.echo(f"{key}: " + ", ".join(f"{name} {value}" for name, value in spec.to_dict().items()))
    _print_graphs(manifest)
    _print_precision(manifest)
    print_ascend(manifest, loaded.folder)
    for kind, source in manifest.source.get("checkpoints", {}).items():
        click.echo(f"{kind} from step {source.get('step')}")
    for tool, version in manifest.source.get("tools", {}).items():
        click.echo(f"{tool} {version}")


@export.command()
@click.argument("bundle", metavar="BUNDLE")
@click.option(
    "--backend",
    default="onnxruntime",
    show_default=True,
    help="What runs the graphs: onnxruntime (CPU), onnxruntime-cuda, onnxruntime-tensorrt, onnxruntime-cann, openvino, "
    "acl (Ascend NPU) or auto.",
)
def verify(bundle: str, backend: str) -> None:
    """Compare a bundle on this machine with torch.

    Runs each graph on the reference inputs in the bundle. BUNDLE is a folder or the name of a bundle that ships.
    """
    from lipforge.export.verify import verify_bundle

    for report in verify_bundle(bundle, backend):
        click.echo(
            f"{report.graph}.{report.output} batch {report.batch}: max {report.max_abs:.2e}, "
            f"mean {report.mean_abs:.2e}, PSNR {report.psnr_db:.1f} dB, cosine {report.cosine:.9f}"
        )
    click.echo(f"{bundle}: verified")


@export.command()
@click.argument("bundle", metavar="BUNDLE")
@click.option("--runs", type=click.IntRange(1), default=100, show_default=True, help="Runs of each time measurement.")
@click.pass_context
def selftest(context: click.Context, bundle: str, runs: int) -> None:
    """Try a bundle on this machine's NPU and print a report to pass on.

    Versions, the chip, each graph against the reference inside the bundle at every batch size, times, and the step
    that failed if one did. Without an NPU it says so and runs the ONNX files on the CPU. The exit code is 1 if
    something that ran does not agree with the reference, or failed.
    """
    from lipforge.export.ascend.selftest import selftest_bundle

    report = selftest_bundle(bundle, runs)
    click.echo(report.to_text())
    context.exit(0 if report.passed else 1)


def _options(
    target: str, calibration: Path | None, psnr: float | None, expert: str | None, ascend: AscendWords
) -> TargetOptions:
    from lipforge.export.int8.target import LEAST_PSNR_DB, Int8Options
    from lipforge.export.targets import INT8, OPENVINO, TargetOptions
    from lipforge.runtime.evaluate.sync_expert import DEFAULT_EXPERT

    words = (("--calibration", calibration), ("--psnr", psnr), ("--expert", expert))
    given = [name for name, value in words if value is not None]
    if given and target not in (INT8, OPENVINO):
        raise ConfigError(f"{', '.join(given)}: only for --target {INT8} and {OPENVINO}, not for {target}.")
    if given and calibration is None:
        verb = "judges" if len(given) == 1 else "judge"
        raise ConfigError(f"{', '.join(given)}: {verb} 8 bits, which need --calibration DATA.")
    say = partial(click.echo, err=True)
    least = LEAST_PSNR_DB if psnr is None else psnr
    int8 = Int8Options(calibration, least, expert=expert or DEFAULT_EXPERT, say=say)
    return TargetOptions(int8=int8, ascend=ascend.options())


def _print_precision(manifest: Manifest) -> None:
    if manifest.precision != FP32:
        click.echo(f"precision {manifest.precision}")
    if manifest.openvino is not None:
        click.echo(f"verified with OpenVINO {manifest.openvino}")
    entry = manifest.int8
    if entry is None:
        return
    click.echo(
        f"8 bits: the mouth's PSNR against float32 is {entry.psnr_db:.1f} dB on {entry.judged} held-out samples, the "
        f"worst {entry.worst_psnr_db:.1f}; calibrated on {entry.calibrated}"
    )
    for name, graph in entry.graphs.items():
        left = ", ".join(graph.float_layers) or "none"
        click.echo(f"  {name}: {graph.psnr_db:.1f} dB alone; in float32 of its {graph.layers} layers: {left}")
    if entry.sync is not None:
        from lipforge.export.int8.sync import describe

        click.echo(f"sync by {entry.sync.judge} on {entry.sync.frames} frames of {entry.sync.clips} held-out clips:")
        for measure, one in entry.sync.measures.items():
            click.echo(f"  {describe(measure, one)}")


def _print_graphs(manifest: Manifest) -> None:
    for name, graph in manifest.graphs.items():
        parity = ", ".join(f"{output} {error:.1e}" for output, error in graph.parity.max_abs.items())
        ops = ", ".join(f"{count} {op}" for op, count in graph.ops.items())
        click.echo(f"{name}: opset {graph.opset}, {sum(graph.ops.values())} nodes ({ops})")
        for role, entries in (("in", graph.inputs), ("out", graph.outputs)):
            click.echo(f"  {role}: " + ", ".join(f"{t.dtype} {t.name} {list(t.shape)}" for t in entries))
        click.echo(f"  largest error against torch: {parity}")
