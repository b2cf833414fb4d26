"""``lipforge preprocess``: from raw or synthetic material to a dataset."""

from __future__ import annotations

from pathlib import Path

import click

from lipforge.kernels.errors import ConfigError

WAV2LIP_FPS = 25


@click.group()
def preprocess() -> None:
    """Make datasets for `lipforge train`."""


@preprocess.command()
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option("--clips", default=1000, show_default=True, type=click.IntRange(1), help="People to render, one a clip.")
@click.option("--seconds", default=4.0, show_default=True, type=click.FloatRange(0.5, 600), help="Length of a clip.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Same seed, same dataset.")
@click.option("--fps", default=25, show_default=True, type=click.IntRange(10, 60), help="Frames a second.")
@click.option("--mouths", default=6, show_default=True, type=click.IntRange(2, 20), help="Still mouths of a person.")
@click.option("--pairs", default=8, show_default=True, type=click.IntRange(0, 20), help="Frame pairs with true motion.")
@click.option("--video", is_flag=True, help="Also render every frame (about 30 ms each) into an MP4 with sound.")
@click.option(
    "--faces", is_flag=True, help="Also render the face in every frame (25 ms each), for the Wav2Lip trainers."
)
@click.option("--mute", is_flag=True, help="Only mouths and pairs, for `lipforge train warp`: a third of the time.")
@click.option(
    "--voices",
    default="espeak-ng",
    show_default=True,
    help="Who speaks: espeak-ng, flite, festival, or some of their voices, such as flite:slt, espeak-ng:de or "
    "espeak-ng:+Mario, with commas; a minus takes voices away. `lipforge doctor` says which are there.",
)
@click.option("--shard-clips", default=50, show_default=True, type=click.IntRange(1), help="Clips in one shard.")
@click.option("--workers", default=0, type=click.IntRange(0), help="Processes; 0 takes one per core.")
def synth(
    out: Path,
    clips: int,
    seconds: float,
    seed: int,
    fps: int,
    mouths: int,
    pairs: int,
    video: bool,
    faces: bool,
    mute: bool,
    voices: str,
    shard_clips: int,
    workers: int,
) -> None:
    """Render talking heads with exact truth into the folder OUT.

    Every clip is another person who speaks a text: sound, phoneme times, true lip motion, and crops of the face with
    the exact motion between them. A run that was stopped goes on where it was when started again with the same options,
    and with more --clips whole shards are added to a dataset.

    Needs the head and speech data once: `lipforge models fetch heads speech faces`.

    \b
    Example, 100 people, about a minute on two cores:
      lipforge preprocess synth data/small --clips 100
    Example, 3000 clips of sound and lip motion for audio2lips alone, nothing rendered:
      lipforge preprocess synth data/voices --clips 3000 --seconds 8 --pairs 0 --voices espeak-ng,flite,-flite:kal
    """
    from lipforge.preprocess.synth.clip import ClipOptions
    from lipforge.preprocess.synth.dataset import DatasetOptions, make_dataset

    if faces and fps != WAV2LIP_FPS:
        raise ConfigError(f"--faces with --fps {fps}: the Wav2Lip networks are made for {WAV2LIP_FPS} frames a second.")
    if mute and (video or faces or not pairs):
        raise ConfigError("--mute makes pairs and nothing else: leave out --video and --faces, and give --pairs.")
    if pairs > mouths * (mouths - 1):
        raise ConfigError(f"--pairs {pairs}: {mouths} mouths make {mouths * (mouths - 1)} ordered pairs at most.")
    options = ClipOptions(seconds, fps, mouths, pairs, video, faces, "" if mute else voices)
    make_dataset(out, DatasetOptions(clips=clips, seed=seed, shard_clips=shard_clips, workers=workers, clip=options))


@preprocess.command()
@click.argument("root", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--filelists", type=click.Path(path_type=Path), help="Folder of train.txt and val.txt.  [default: ROOT/filelists]"
)
@click.option("--shard-clips", default=200, show_default=True, type=click.IntRange(1), help="Clips in one shard.")
@click.option("--workers", default=0, type=click.IntRange(0), help="Threads; 0 takes one per core.")
def pack(root: Path, out: Path, filelists: Path | None, shard_clips: int, workers: int) -> None:
    """Pack preprocessed video in ROOT into shards in OUT, from which `lipforge train` reads far faster.

    ROOT is in the published Wav2Lip layout: <clip>/<frame>.jpg and <clip>/audio.wav at 25 frames a second, with
    filelists/train.txt and val.txt. Pictures are scaled to 96 px and kept as they are, 28 kB each; sound becomes
    16 kHz mono, with its mel spectrogram beside it. ROOT is not changed. What cannot be used is left out and counted.
    A run that was stopped goes on where it was when started again with the same options.

    \b
    Example:
      lipforge preprocess pack lrs2_preprocessed data/lrs2
      lipforge train syncnet --data data/lrs2 --out runs/syncnet
    """
    import os

    from lipforge.preprocess.pack import PackOptions
    from lipforge.preprocess.pack import pack as write

    outcome = write(root, out, PackOptions(filelists, shard_clips, workers or os.cpu_count() or 1))
    for reason, count in outcome.skipped.items():
        click.echo(f"{count} skipped: {reason}", err=True)
    click.echo(f"{out}: {outcome.clips} clips", err=True)
