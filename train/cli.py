"""``lipforge train``: one sub-command per network, one loop under all; published files in and out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., None]], Callable[..., None]]


PATH = click.Path(path_type=Path)
EXIT_USER_ERROR, EXIT_INTERRUPTED = 2, 130

RANKS = """
\b
Several cards, or machines: every rank trains on its rows of the same batch, so loop.batch_size stays as it is.
  torchrun --standalone --nproc-per-node 8 --no-python lipforge train ...
"""


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
    critic_from: Path | None = None


@click.group("train")
def train() -> None:
    """Train a network, or exchange its weights with the published code."""


def _option(*names: str, help: str, **settings: Any) -> Decorator:
    """Return an option whose long names are also taken with underscores, as the published trainers have them."""
    flags = [flag for name in names for flag in dict.fromkeys((name, "--" + name[2:].replace("-", "_")))]
    destination = settings.pop("destination", None)
    decorate: Decorator = click.option(*flags, *([destination] if destination else []), help=help, **settings)
    return decorate


DATASET = _option("--data", type=PATH, required=True, help="Dataset folder (`lipforge preprocess synth` writes one).")
FRAME_FOLDERS = _option(
    "--data",
    "--data-root",
    destination="data",
    type=PATH,
    required=True,
    help="Folder of preprocessed clips: <clip>/<frame>.jpg and audio.wav, filelists/train.txt and val.txt.",
)
OUT = "Run folder: checkpoints, TensorBoard files, metrics.jsonl. It has to be new, or see --resume."
START_FROM = _option(
    "--checkpoint-path",
    destination="start_from",
    type=PATH,
    help="Begin with these weights, at step 0 and with a fresh optimiser: a checkpoint or a published .pth file.",
)
EXPERT = _option(
    "--syncnet-checkpoint-path",
    destination="expert",
    type=PATH,
    help="The trained sync expert, which stays as it is: a run folder, a checkpoint or a published .pth file.",
)
CRITIC_FROM = _option(
    "--disc-checkpoint-path",
    destination="critic_from",
    type=PATH,
    help="Begin with these weights of the picture critic: a checkpoint of a wav2lip-gan run or a published .pth file.",
)


def _run_options() -> list[Decorator]:
    return [
        click.argument("settings", nargs=-1, metavar="[KEY=VALUE]..."),
        _option(
            "--config",
            type=PATH,
            help="YAML file of settings, such as those in train/configs. KEY=VALUE words come after it. Unknown keys "
            "are refused, and the resolved settings are stored in every checkpoint.",
        ),
        _option(
            "--device",
            default="auto",
            show_default=True,
            help="auto (the accelerator if there is one), cpu, cuda[:i], npu[:i] or mps.",
        ),
        _option(
            "--resume",
            is_flag=True,
            help="Go on from the newest checkpoint in the run folder, with its settings, exactly as if never stopped.",
        ),
        _option(
            "--minutes",
            type=click.FloatRange(min=0, min_open=True),
            default=None,
            help="Stop after that much training time, over all resumes; the learning rate then follows the clock.",
        ),
        _option(
            "--threads", type=click.IntRange(min=1), default=None, help="CPU threads of torch.  [default: torch's own]"
        ),
    ]


def _trainer(name: str, example: str, *options: Decorator) -> Decorator:
    """Make a command of a function: its own options, those of every trainer, and an example below its help."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        for option in reversed([*options, *_run_options()]):
            function = option(function)
        return train.command(name, epilog=f"\b\nExample:\n  {example}\n{RANKS}")(function)

    return decorate


@_trainer(
    "audio2lips",
    "lipforge train audio2lips --data data/synth --out runs/audio2lips loop.steps=12000",
    DATASET,
    _option("--out", type=PATH, required=True, help=OUT),
)
def audio2lips(**arguments: Any) -> None:
    """Train the network from sound to lip geometry."""
    from lipforge.train.audio2lips_task import Audio2LipsTask
    from lipforge.train.config import Audio2LipsConfig

    _train(Audio2LipsConfig, Audio2LipsTask, TrainArguments(**arguments))


@_trainer(
    "warp",
    "lipforge train warp --data data/synth --out runs/warp loop.steps=20000",
    DATASET,
    _option("--out", type=PATH, required=True, help=OUT),
    _option(
        "--checkpoint-path",
        destination="start_from",
        type=PATH,
        help="Begin with these weights, at step 0 and with a fresh optimiser: a checkpoint or a bundle's warp.onnx.",
    ),
)
def warp(**arguments: Any) -> None:
    """Train the network from lip geometry to motion of the picture."""
    from lipforge.train.config import WarpConfig
    from lipforge.train.warp_task import WarpTask

    _train(WarpConfig, WarpTask, TrainArguments(**arguments))


PUBLISHED = (
    FRAME_FOLDERS,
    _option("--out", "--checkpoint-dir", destination="out", type=PATH, required=True, help=OUT),
    START_FROM,
)


@_trainer("syncnet", "lipforge train syncnet --data_root lrs2_preprocessed --checkpoint_dir runs/syncnet", *PUBLISHED)
def syncnet(**arguments: Any) -> None:
    """Train the sync expert: do this mouth and this sound belong together?

    The defaults are the published ones: batches of 64, Adam at 1e-4, evaluation and checkpoint every 10,000 steps. Good
    enough for the generator is an evaluation loss of 0.25.
    """
    from lipforge.train.syncnet_task import SyncNetTask
    from lipforge.train.wav2lip_config import SyncNetConfig

    _train(SyncNetConfig, SyncNetTask, TrainArguments(**arguments), _open_frames)


GENERATOR_WORDS = "--data_root lrs2_preprocessed --syncnet_checkpoint_path runs/syncnet"


TEACHER = _option(
    "--teacher",
    type=PATH,
    help="Learn from this trained generator too, of any width: a checkpoint folder or a published .pth file. The sync "
    "expert may then be left out. train/configs/wav2lip-student.yaml is a student that a CPU can keep up with.",
)


@_trainer(
    "wav2lip",
    f"lipforge train wav2lip {GENERATOR_WORDS} --checkpoint_dir runs/wav2lip",
    *PUBLISHED,
    EXPERT,
    TEACHER,
)
def wav2lip(expert: Path | None, teacher: Path | None, **arguments: Any) -> None:
    """Train the generator: sound and a masked face to the whole face, under a frozen sync expert.

    The defaults are the published ones: batches of 16, Adam at 1e-4, evaluation and checkpoint every 3,000 steps. Good
    is an evaluation's sync loss of 0.2.
    """
    from lipforge.train.wav2lip_config import Wav2LipConfig

    _train_generator(Wav2LipConfig, expert, TrainArguments(**arguments), teacher)


@_trainer(
    "wav2lip-gan",
    f"lipforge train wav2lip-gan {GENERATOR_WORDS} --checkpoint_dir runs/wav2lip-gan",
    *PUBLISHED,
    EXPERT,
    CRITIC_FROM,
)
def wav2lip_gan(expert: Path | None, **arguments: Any) -> None:
    """Train the generator with a picture critic beside the sync expert.

    The defaults are the published ones: as of wav2lip, with betas 0.5 and 0.999 for both networks.
    """
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
    from lipforge.train.face_clips import open_face_clips

    data = config.data
    return open_face_clips(root, Path(data.filelists) if data.filelists else None, data.validation_share)


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
    from lipforge.kernels.errors import ConfigError, LipforgeError
    from lipforge.train.ranks import ranks_of_this_process

    ranks = ranks_of_this_process()
    try:
        outcome = _run(config_kind, task_kind, arguments, open_data, ranks)
    except LipforgeError as error:
        if ranks.is_first:
            raise
        if type(error) not in (ConfigError, LipforgeError):  # those meet every rank, and rank 0 tells them
            click.echo(f"Error: rank {ranks.rank}: {error}", err=True)
        raise SystemExit(EXIT_USER_ERROR) from error
    if ranks.is_first:
        click.echo(str(outcome.checkpoint))
    if outcome.interrupted:
        raise SystemExit(EXIT_INTERRUPTED)  # what a shell reports after Ctrl-C


def _run(config_kind: Any, task_kind: Any, arguments: TrainArguments, open_data: Any, ranks: Any) -> Any:
    from lipforge.kernels.errors import ConfigError
    from lipforge.train.config import load_config
    from lipforge.train.device import open_device, prepare_cpu
    from lipforge.train.loop import Loop, RunOptions
    from lipforge.train.ranks import joined
    from lipforge.train.shards import open_dataset

    config = load_config(
        config_kind, stored=_stored_config(arguments), file=arguments.config, overrides=arguments.settings
    )
    if ranks.size > 1 and ":" in arguments.device:
        raise ConfigError(
            f"--device {arguments.device}: of {ranks.size} ranks each takes its own, so leave out the number."
        )
    device = open_device(arguments.device, config.loop.autocast, ranks.local_rank)
    prepare_cpu(arguments.threads)
    with joined(ranks, device.torch_device):
        dataset = open_dataset(arguments.data) if open_data is None else open_data(arguments.data, config)
        task = task_kind(dataset, config)
        _start_from(arguments, task)
        options = RunOptions(arguments.out, arguments.resume, arguments.minutes)
        return Loop(task, options, device, ranks=ranks).run()


def _stored_config(arguments: TrainArguments) -> dict[str, Any] | None:
    """Return the settings of the run that is resumed."""
    from lipforge.kernels.errors import ConfigError
    from lipforge.train.checkpoint import load_checkpoint
    from lipforge.train.run_folder import newest_checkpoint

    if not arguments.resume:
        return None
    newest = newest_checkpoint(arguments.out)
    if newest is None:
        raise ConfigError(f"{arguments.out}: no checkpoint to resume; leave out --resume to start there.")
    if arguments.start_from is not None or arguments.critic_from is not None:
        raise ConfigError(
            "--checkpoint-path, --disc-checkpoint-path and --resume exclude each other: --resume goes on from --out."
        )
    return load_checkpoint(newest).config


def _start_from(arguments: TrainArguments, task: Any) -> None:
    from lipforge.kernels.errors import ConfigError
    from lipforge.train.models import quality_discriminator
    from lipforge.train.pth_exchange import start_from

    critic = quality_discriminator.KIND
    if arguments.start_from is not None and arguments.start_from.suffix == ".onnx" and task.kind == "warp":
        from lipforge.train.warp_start import MEASURED_BATCHES, start_from_graph

        start_from_graph(task.networks[task.kind], arguments.start_from, task.typical_inputs(MEASURED_BATCHES))
    elif arguments.start_from is not None:
        start_from(arguments.start_from, task.kind, task.networks[task.kind])
    if arguments.critic_from is not None:
        if critic not in task.networks:
            raise ConfigError(
                "--disc-checkpoint-path: with loss.adversary=0 there is no critic; leave one of them out."
            )
        start_from(arguments.critic_from, critic, task.networks[critic])
