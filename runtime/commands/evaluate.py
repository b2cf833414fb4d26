"""``lipforge evaluate``: judge the lip-sync of videos."""

from __future__ import annotations

from pathlib import Path

import click

from lipforge.runtime.commands.progress import announce_compiling, progress_shown

SOME_NOT_JUDGED, INTERRUPTED = 2, 130
PATH = click.Path(path_type=Path)


@click.command()
@click.argument("videos", nargs=-1, required=True, type=PATH, metavar="VIDEO...")
@click.option("--reference", type=PATH, help="Video with the true lips: what VIDEO was made from, or a real recording.")
@click.option(
    "--reference-folder", type=PATH, help="Folder with one reference for each VIDEO, of the same name before the dot."
)
@click.option("--expert", metavar="BUNDLE|NAME", help="Sync expert: an exported bundle.  [default: the shipped one]")
@click.option(
    "--transcript",
    metavar="TEXT|FILE.txt|FOLDER",
    help="What is said in English, so that p, b and m can be found; a folder holds <name>.txt of a VIDEO.",
)
@click.option("--json", "json_path", type=PATH, metavar="FILE", help="Write everything as JSON.")
@click.option("--html", "html_path", type=PATH, metavar="FILE", help="Write a page with curves and pictures.")
@click.option("--overwrite", is_flag=True, help="Replace the files to write if they are there.")
@click.option("--threads", type=click.IntRange(1, 64), default=1, show_default=True, help="Threads inside a network.")
@click.pass_context
def evaluate(
    context: click.Context,
    videos: tuple[Path, ...],
    reference: Path | None,
    reference_folder: Path | None,
    expert: str | None,
    transcript: str | None,
    json_path: Path | None,
    html_path: Path | None,
    overwrite: bool,
    threads: int,
) -> None:
    """Judge the lip-sync of one or more videos.

    A VIDEO alone is judged by the sync expert and by how still its mouth is in pauses. With a reference the lips, the
    sharpness, and what changed beside the mouth are compared too. A VIDEO may be a folder: all videos in it.

    \b
    Examples:
      lipforge evaluate out.mp4
      lipforge evaluate out.mp4 --reference face.mp4 --html out.html
      lipforge evaluate results/ --reference-folder faces/ --json results.json
    """
    from lipforge.runtime.evaluate.run import Job, run
    from lipforge.runtime.evaluate.table import lines_of
    from lipforge.runtime.evaluate.written_files import write_html, write_json

    announce_compiling()
    outputs = {path: write for path, write in ((json_path, write_json), (html_path, write_html)) if path is not None}
    job = Job(videos, reference, reference_folder, expert, threads, transcript)
    job.check_outputs(list(outputs), overwrite=overwrite)
    try:
        with progress_shown("evaluating") as show:
            report = run(job, show, lambda message: click.echo(message, err=True))
    except KeyboardInterrupt:
        click.echo("Interrupted: nothing was written.", err=True)
        raise SystemExit(INTERRUPTED) from None
    for line in lines_of(report):
        click.echo(line)
    for path, write in outputs.items():
        write(report, path)
        click.echo(f"{path} written", err=True)
    context.exit(SOME_NOT_JUDGED if report.faults else 0)
