"""``lipforge train``: one sub-command per network, one loop under all; published files in and out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., None]], Callable[..., None]]


@dataclass(frozen=True)
class TrainArguments:
    """The words of a ``lipforge train`` command line."""

    data: Path
    out: Path
    config: Path | None
    device: str
    resume: bool
    minutes: float | None
    threads: int | None
    settings: tuple[str, ...]
    start_from: Path | None = None


@click.group("train")
def train() -> None:
    """Train a network, or exchange its weights with the published code."""


def _options(command: Callable[..., None]) -> Callable[..., None]:
    path = click.Path(path_type=Path)
    return _decorated(
        command,
        click.option("--data", type=path, required=True, help="Dataset folder (lipforge preprocess synth writes one)."),
        click.option("--out", type=path, required=True, help="Run folder: checkpoints and TensorBoard files."),
        *_run_options(),
    )


def _published_options(command: Callable[..., None]) -> Callable[..., None]:
    """Take the published trainers' options too, with underscores or dashes."""
    path = click.Path(path_type=Path)
    return _decorated(
        command,
        click.option(
            "--data",
            "--data-root",
            "--data_root",
            "data",
            type=path,
            required=True,
            help="Folder of preprocessed clips: <clip>/<frame>.jpg and audio.wav, filelists/train.txt and val.txt.",
        ),
        click.option(
            "--out",
            "--checkpoint-dir",
            "--checkpoint_dir",
            "out",
            type=path,
            required=True,
            help="Run folder: checkpoints and TensorBoard files.",
        ),
        click.option(
            "--checkpoint-path",
            "--checkpoint_path",
            "start_from",
            type=path,
            help="Start from these weights: a checkpoint folder or a published .pth file.",
        ),
        *_run_options(),
    )


def _run_options() -> list[Decorator]:
    return [
        click.argument("settings", nargs=-1, metavar="[KEY=VALUE]..."),
        click.option("--config", type=click.Path(path_type=Path), help="YAML configuration; see train/configs."),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda[:i], npu[:i] or mps."),
        click.option("--resume", is_flag=True, help="Continue from the newest checkpoint in --out."),
        click.option(
            "--minutes",
            type=click.FloatRange(min=0, min_open=True),
            default=None,
            help="Stop after that much training time; the learning rate then follows the clock.",
        ),
        click.option("--threads", type=click.IntRange(min=1), default=None, help="CPU threads of torch."),
    ]


def _decorated(command: Callable[..., None], *decorators: Decorator) -> Callable[..., None]:
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


@train.command("audio2lips")
@_options
def audio2lips(**arguments: Any) -> None:
    """Sound to lip geometry. Settings such as loop.steps=1000 override the configuration."""
    from lipforge.train.audio2lips_task import Audio2LipsTask
    from lipforge.train.config import Audio2LipsConfig

    _train(Audio2LipsConfig, Audio2LipsTask, TrainArguments(**arguments))


@train.command("warp")
@_options
def warp(**arguments: Any) -> None:
    """Lip geometry to motion of the picture. Settings such as loop.steps=1000 override the configuration."""
    from lipforge.train.config import WarpConfig
    from lipforge.train.warp_task import WarpTask

    _train(WarpConfig, WarpTask, TrainArguments(**arguments))


@train.command("syncnet")
@_published_options
def syncnet(**arguments: Any) -> None:
    """Mouth and sound to the chance that they match. Settings such as loop.steps=1000 override the configuration."""
    from lipforge.train.syncnet_task import SyncNetTask
    from lipforge.train.wav2lip_config import SyncNetConfig

    _train(SyncNetConfig, SyncNetTask, TrainArguments(**arguments), _open_frames)


def _expert_option(command: Callable[..., None]) -> Callable[..., None]:
    names = ("--syncnet-checkpoint-path", "--syncnet_checkpoint_path", "expert")
    text = "The sync expert: a checkpoint folder or a published .pth file."
    return click.option(*names, type=click.Path(path_type=Path), help=text)(command)


@train.command("wav2lip")
@_published_options
@_expert_option
@click.option(
    "--teacher",
    type=click.Path(path_type=Path),
    help="Learn from this trained generator too, of any width: a checkpoint folder or a published .pth file. The sync "
    "expert may then be left out. train/configs/wav2lip-student.yaml is a student that a CPU can keep up with.",
)
def wav2lip(expert: Path | None, teacher: Path | None, **arguments: Any) -> None:
    """Sound and a masked face to the whole face. Settings such as loop.steps=1000 override the configuration."""
    from lipforge.train.wav2lip_config import Wav2LipConfig

    _train_generator(Wav2LipConfig, expert, TrainArguments(**arguments), teacher)


@train.command("wav2lip-gan")
@_published_options
@_expert_option
def wav2lip_gan(expert: Path | None, **arguments: Any) -> None:
    """The same with a picture critic. Settings such as loop.steps=1000 override the configuration."""
    from lipforge.train.wav2lip_config import Wav2LipGanConfig

    _train_generator(Wav2LipGanConfig, expert, TrainArguments(**arguments))


def _train_generator(
    config_kind: Any, expert: Path | None, arguments: TrainArguments, teacher: Path | None = None
) -> None:
    from dataclasses import replace

    from lipforge.train.wav2lip_task import Wav2LipTask

    def make_task(dataset: Any, config: Any) -> Wav2LipTask:
        # Into the configuration, so that it is stored and --resume finds it.
        if expert is not None:
            config = replace(config, loss=replace(config.loss, expert=str(expert)))
        if teacher is not None:
            config = replace(config, distillation=replace(config.distillation, teacher=str(teacher)))
        return Wav2LipTask(dataset, config)

    _train(config_kind, make_task, arguments, _open_frames)


def _open_frames(root: Path, config: Any) -> Any:
    from lipforge.train.frame_folders import open_frame_folders

    return open_frame_folders(root, Path(config.data.filelists) if config.data.filelists else None)


@train.command("import")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.pth")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, metavar="CHECKPOINT", help="New folder."
)
@click.option(
    "--mel-offset-frames",
    type=click.IntRange(-5, 5),
    default=None,
    help="Frames between a picture and the start of the sound that the weights were trained to see with it.  "
    "[default: as the published trainers have it: generator -1, SyncNet 0]",
)
def import_(file: Path, output: Path, mel_offset_frames: int | None) -> None:
    """Read a published Wav2Lip, SyncNet or discriminator file; nothing in it is executed."""
    from lipforge.train.pth_exchange import import_pth
    from lipforge.train.published import TITLES

    folder, published = import_pth(file, output, mel_offset_frames)
    click.echo(f"{file}: {TITLES[published.kind]}, step {published.step}", err=True)
    click.echo(str(folder))


@train.command("export-pth")
@click.argument("checkpoint", type=click.Path(path_type=Path), metavar="CHECKPOINT")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="FILE.pth", help="New file.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def export_pth(checkpoint: Path, output: Path, overwrite: bool) -> None:
    """Write a Wav2Lip, SyncNet or discriminator checkpoint as the published code saves it."""
    from lipforge.train import pth_exchange

    pth_exchange.export_pth(checkpoint, output, overwrite=overwrite)
    click.echo(str(output))


def _train(config_kind: Any, task_kind: Any, arguments: TrainArguments, open_data: Any = None) -> None:
    from lipforge.kernels.errors import ConfigError
    from lipforge.train.checkpoint import load_checkpoint, newest_checkpoint
    from lipforge.train.config import load_config
    from lipforge.train.device import open_device, prepare_cpu
    from lipforge.train.loop import Loop, RunOptions
    from lipforge.train.shards import open_dataset

    stored = None
    if arguments.resume:
        newest = newest_checkpoint(arguments.out)
        if newest is None:
            raise ConfigError(f"{arguments.out}: no checkpoint to resume; leave out --resume to start there.")
        if arguments.start_from is not None:
            raise ConfigError("--checkpoint-path and --resume exclude each other: --resume goes on from --out.")
        stored = load_checkpoint(newest).config
    config = load_config(config_kind, stored=stored, file=arguments.config, overrides=arguments.settings)
    device = open_device(arguments.device, config.loop.autocast)
    prepare_cpu(arguments.threads)
    dataset = open_dataset(arguments.data) if open_data is None else open_data(arguments.data, config)
    task = task_kind(dataset, config)
    if arguments.start_from is not None:
        from lipforge.train.pth_exchange import start_from

        start_from(arguments.start_from, task.kind, task.networks[task.kind])
    options = RunOptions(arguments.out, arguments.resume, arguments.minutes)
    outcome = Loop(task, options, device).run()
    click.echo(str(outcome.checkpoint))
    if outcome.interrupted:
        raise SystemExit(130)  # what a shell reports after Ctrl-C
