"""``lipforge sync``: give the face in a video or image the lips that a voice asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from lipforge.runtime.commands.progress import announce_compiling, progress_shown

INTERRUPTED = 130


@click.command()
@click.option("--face", required=True, type=click.Path(path_type=Path), help="Video, or an image.")
@click.option("--audio", required=True, type=click.Path(path_type=Path), help="Sound file, or a video with sound.")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Video to write: .mp4, .m4v, .mov or .mkv."
)
@click.option("--model", default=None, metavar="BUNDLE|NAME", help="Bundle folder, or the name of a shipped bundle.")
@click.option("--keep-tail", is_flag=True, help="Keep the rest of a video that is longer than the audio, silent.")
@click.option("--overwrite", is_flag=True, help="Replace the output if it is there.")
@click.option(
    "--crf",
    type=click.IntRange(0, 51),
    default=17,
    show_default=True,
    help="H.264 quality; lower is better and larger.",
)
@click.option("--threads", type=click.IntRange(1, 64), default=1, show_default=True, help="Threads inside a network.")
@click.option(
    "--backend",
    default="auto",
    show_default=True,
    help="What runs the networks: auto, onnxruntime (CPU), onnxruntime-cuda, onnxruntime-tensorrt, onnxruntime-cann, "
    "openvino or acl (Ascend NPU). One that is named never falls back to another.",
)
def sync(
    face: Path,
    audio: Path,
    output: Path,
    model: str | None,
    keep_tail: bool,
    overwrite: bool,
    crf: int,
    threads: int,
    backend: str,
) -> None:
    """Lip-sync the face in a video or image to a voice.

    The output keeps the size, frame rate and colours of the video and carries the given sound. A video that is shorter
    than the sound runs forward and backward in turn; one that is longer ends with it, unless --keep-tail is given.
    Frames without a face pass through untouched.
    """
    from lipforge.runtime.bundle import DEFAULT_BUNDLE, Bundle
    from lipforge.runtime.media.video_writer import EncoderOptions
    from lipforge.runtime.sync import SyncJob
    from lipforge.runtime.sync import sync as run_sync

    announce_compiling()
    job = SyncJob(face, audio, output, keep_tail, overwrite, EncoderOptions(crf=crf), threads)
    with _interruptible(output):
        bundle = Bundle.load(model or DEFAULT_BUNDLE, backend)
        if bundle.manifest.ascend is not None:
            _say(f"Running on {bundle.choice.backend}: {bundle.choice.reason}")
        with progress_shown("syncing") as show:
            report = run_sync(job, bundle, lambda progress: show(progress.frames, progress.expected_frames), _say)
    faceless = f", {report.faceless_frames} without a face passed through" if report.faceless_frames else ""
    click.echo(
        f"{output}: {report.frames} frames ({report.duration_s:.2f} s), {report.driven_frames} synced{faceless}; "
        f"{report.median_ms['total']:.1f} ms a frame in the engine ({report.median_ms['track']:.1f} face, "
        f"{report.median_ms['net']:.1f} networks, {report.median_ms['composite']:.1f} picture)"
    )


def _say(message: str) -> None:
    click.echo(message, err=True)


@contextmanager
def _interruptible(output: Path) -> Iterator[None]:
    """Turn Ctrl-C into one line and the exit code that shells expect; the part file is gone by then."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"Interrupted: {output} was not written.", err=True)
        raise SystemExit(INTERRUPTED) from None
