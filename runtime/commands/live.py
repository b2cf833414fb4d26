"""``lipforge live``: a camera or an avatar says what is being said."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, NamedTuple

import click

from lipforge.runtime.commands.progress import announce_compiling, progress_shown

if TYPE_CHECKING:
    from fractions import Fraction

    from lipforge.runtime.bundle import Bundle
    from lipforge.runtime.live import Avatar
    from lipforge.runtime.live.live_options import LiveOptions
    from lipforge.runtime.live.live_run import LiveStatus
    from lipforge.runtime.live.live_stats import LiveStats
    from lipforge.runtime.sinks.sink import Sink
    from lipforge.runtime.sources.camera import CameraSource
    from lipforge.runtime.sources.source import AudioSource

DEFAULT = "default"
PLAIN_STATUS_EVERY_S = 10.0
LATE_MICROPHONE_MS = 120.0
LATE_PIPE_MS = 60.0
LATE_FILE_MS = 5000.0
"""How long sound may be late before silence takes its place; a file has no pauses of its own."""


class _Wish(NamedTuple):
    """What the user asked for, as given."""

    camera: str | None
    avatar: Path | None
    mic: str | None
    audio: Path | None
    pcm: str | None
    pcm_rate: int
    pcm_channels: int
    output: str
    speaker: str | None
    mute: bool
    size: str | None
    model: str | None
    duration: float
    overwrite: bool
    crf: int
    bitrate: int
    gate_db: float
    threads: int
    backend: str


@click.command()
@click.option(
    "--camera", metavar="N|FILE|URL", help="Camera number, video file, or rtsp:// or http:// address. [default: 0]"
)
@click.option("--avatar", type=click.Path(path_type=Path), metavar="FILE", help="A video or image that speaks instead.")
@click.option("--mic", is_flag=False, flag_value=DEFAULT, metavar="[DEVICE]", help="Speak into a microphone. [default]")
@click.option("--audio", type=click.Path(path_type=Path), metavar="FILE", help="Sound file, or a video with sound.")
@click.option("--pcm", metavar="-|HOST:PORT|listen:HOST:PORT", help="Raw signed 16-bit samples: stdin or TCP.")
@click.option("--rate", "pcm_rate", type=int, default=16_000, show_default=True, help="Sample rate of --pcm, in Hz.")
@click.option("--channels", "pcm_channels", type=click.IntRange(1, 2), default=1, show_default=True, help="Of --pcm.")
@click.option(
    "-o",
    "--output",
    default="window",
    show_default=True,
    metavar="WHERE",
    help="window; virtualcam or virtualcam:DEVICE; webrtc or webrtc:PORT for browsers on this machine; "
    "rtmp://, udp://, srt:// or tcp:// address; or a video file.",
)
@click.option(
    "--speaker",
    is_flag=False,
    flag_value=DEFAULT,
    metavar="[DEVICE]",
    help="Play the sound here, for instance into a virtual cable beside a virtual camera. A window plays --audio and "
    "--pcm on the default speaker.",
)
@click.option("--mute", is_flag=True, help="Play no sound.")
@click.option("--size", metavar="WxH", help="Ask the camera for this size, such as 1280x720.")
@click.option("--model", default=None, metavar="BUNDLE|NAME", help="Bundle folder, or the name of a shipped bundle.")
@click.option("--duration", type=click.FloatRange(min=0), default=0.0, metavar="SECONDS", help="End after so long.")
@click.option("--overwrite", is_flag=True, help="Replace an output file if it is there.")
@click.option("--crf", type=click.IntRange(0, 51), default=17, show_default=True, help="H.264 quality of a file.")
@click.option("--bitrate", type=click.IntRange(100), default=2500, show_default=True, help="Of an address, in kbit/s.")
@click.option("--gate-db", type=float, default=-46.0, show_default=True, help="Lips follow audio at least this loud.")
@click.option("--threads", type=click.IntRange(1, 64), default=1, show_default=True, help="Threads inside a network.")
@click.option("--backend", default="auto", show_default=True, help="What runs the networks; see lipforge sync --help.")
def live(**options: object) -> None:
    """Lip-sync a camera or an avatar to a voice, as it is spoken.

    \b
    lipforge live                                            camera and microphone, in a window
    lipforge live --avatar face.jpg --audio voice.wav        an image says a file, in a window
    lipforge live --avatar clip.mp4 --mic -o virtualcam --speaker Cable
    lipforge live --camera 0 --mic -o rtmp://host/live/key   to a streaming server
    some-tts | lipforge live --avatar face.jpg --pcm - --rate 24000
    lipforge live --avatar face.jpg --audio voice.wav -o out.mp4

    Frames leave as time goes by, each with the sound that belongs to it; from a file, with an avatar, to a file they
    are made as fast as can be. Where nobody speaks the real mouth is shown; where there is no face the picture passes
    through. If the machine is too slow, pictures are dropped and counted, sound never is.

    Ctrl-C ends well: a file that was being written is whole.
    """
    wish = _Wish(**options)  # type: ignore[arg-type]  # click gives what the options above say
    _check(wish)
    announce_compiling()
    _run(wish)


def _check(wish: _Wish) -> None:
    if wish.camera is not None and wish.avatar is not None:
        raise click.UsageError("--camera and --avatar: give one face.")
    voices = [name for name in ("mic", "audio", "pcm") if getattr(wish, name) is not None]
    if len(voices) > 1:
        raise click.UsageError(f"--{' and --'.join(voices)}: give one voice.")
    if wish.mute and wish.speaker is not None:
        raise click.UsageError("--mute and --speaker: give one of them.")


def _run(wish: _Wish) -> None:
    from fractions import Fraction

    from lipforge.runtime.bundle import DEFAULT_BUNDLE, Bundle
    from lipforge.runtime.live.live_run import LiveRun
    from lipforge.runtime.live.live_stream import LiveStream
    from lipforge.runtime.sinks.open_sink import OutputRequest, open_sink

    voice = _voice(wish)
    bundle = Bundle.load(wish.model or DEFAULT_BUNDLE, wish.backend)
    avatar = _avatar(wish.avatar, bundle) if wish.avatar is not None else None
    camera = _camera(wish) if avatar is None else None
    fps = avatar.info.fps if avatar is not None else Fraction(camera.fps if camera else 25).limit_denominator(1001)
    request = OutputRequest(
        output=wish.output,
        fps=fps,
        info=avatar.info if avatar is not None else None,
        inputs=tuple(path for path in (wish.avatar, wish.audio) if path is not None),
        overwrite=wish.overwrite,
        paced=camera is not None or voice.paced,
        crf=wish.crf,
        bitrate=1000 * wish.bitrate,
        say=_say,
    )
    sinks = [open_sink(request), *_speakers(wish)]
    stream = LiveStream(bundle, avatar, _options(wish, fps, voice))
    run = LiveRun(stream, voice, sinks, camera, wish.duration)
    stop = Event()
    with _ctrl_c_sets(stop), _status(run.paced) as show:
        stats = run.run(stop, _say, show)
    _report(wish, stats)


def _voice(wish: _Wish) -> AudioSource:
    if wish.audio is not None:
        from lipforge.runtime.sources.audio_file import AudioFileSource

        return AudioFileSource(wish.audio)
    if wish.pcm is not None:
        from lipforge.runtime.sources.raw_pcm import RawPcmSource

        return RawPcmSource(wish.pcm, wish.pcm_rate, wish.pcm_channels)
    from lipforge.runtime.sources.microphone import MicrophoneSource

    return MicrophoneSource(None if wish.mic in (None, DEFAULT) else wish.mic)


def _avatar(path: Path, bundle: Bundle) -> Avatar:
    from lipforge.runtime.faces import FaceTracker, face_models
    from lipforge.runtime.live import Avatar

    tracker = FaceTracker(face_models(_say), bundle.manifest.crop, bundle.manifest.lips)
    with progress_shown("preparing the avatar") as show:
        return Avatar.prepare(path, bundle, on_progress=show, tracker=tracker)


def _camera(wish: _Wish) -> CameraSource:
    from lipforge.runtime.sources.camera import CameraSource

    return CameraSource(wish.camera or "0", _size(wish.size))


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise click.UsageError(f"--size {text}: give width and height in pixels, such as 1280x720.")
    return int(width), int(height)


def _speakers(wish: _Wish) -> list[Sink]:
    own_voice = wish.audio is None and wish.pcm is None
    wanted = wish.speaker is not None or (wish.output == "window" and not own_voice)
    if wish.mute or not wanted:
        return []
    from lipforge.runtime.sinks.speaker import SpeakerSink

    return [SpeakerSink(None if wish.speaker in (None, DEFAULT) else wish.speaker)]


def _options(wish: _Wish, fps: Fraction, voice: AudioSource) -> LiveOptions:
    from lipforge.runtime.live.live_options import LiveOptions
    from lipforge.runtime.media.audio_reader import AAC_RATES_HZ, OTHER_RATE_HZ
    from lipforge.runtime.speech_gate import GateOptions

    rate = voice.sample_rate_hz
    return LiveOptions(
        fps=fps,
        sample_rate_hz=rate if rate in AAC_RATES_HZ else OTHER_RATE_HZ,
        late_audio_ms=LATE_MICROPHONE_MS if voice.paced else LATE_PIPE_MS if wish.pcm is not None else LATE_FILE_MS,
        gate=GateOptions(open_dbfs=wish.gate_db, close_dbfs=wish.gate_db - 6.0),
        threads=wish.threads,
    )


def _say(message: str) -> None:
    click.echo(message, err=True)


@contextmanager
def _ctrl_c_sets(stop: Event) -> Iterator[None]:
    """Let the first Ctrl-C, or a SIGTERM, end the run well; a second Ctrl-C ends it at once."""

    def ended(number: int, _: object) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    former = {number: signal.signal(number, ended) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextmanager
def _status(paced: bool) -> Iterator[Callable[[LiveStatus], None]]:
    """Show a line that changes on a terminal, and one line every 10 s anywhere else."""
    terminal, last = sys.stderr.isatty(), -PLAIN_STATUS_EVERY_S

    def show(status: LiveStatus) -> None:
        nonlocal last
        if terminal:
            click.echo(f"\r{_line(status, paced)}\033[K", err=True, nl=False)
        elif status.seconds - last >= PLAIN_STATUS_EVERY_S:
            last = status.seconds
            click.echo(_line(status, paced), err=True)

    try:
        yield show
    finally:
        if terminal:
            click.echo("\r\033[K", err=True, nl=False)


def _line(status: LiveStatus, paced: bool) -> str:
    minutes, seconds = divmod(int(status.seconds), 60)
    p50, _, p99 = status.stats.compute_ms
    latency = f"{status.latency_ms:.0f} ms behind  " if paced else ""
    dropped = f"{status.stats.dropped_frames} dropped"
    return f"{minutes:02}:{seconds:02}  {status.fps:.1f} fps  {p50:.1f}/{p99:.1f} ms p50/p99  {latency}{dropped}"


def _report(wish: _Wish, stats: LiveStats) -> None:
    p50, _, p99 = stats.compute_ms
    filled = f", {stats.filled_s:.2f} s of silence filled in" if stats.filled_s else ""
    click.echo(
        f"{wish.output}: {stats.frames} frames ({stats.audio_s:.2f} s), {stats.driven_frames} synced, "
        f"{stats.dropped_frames} dropped{filled}; {p50:.1f} ms a frame in the engine, p99 {p99:.1f}"
    )
    if stats.frames and not stats.driven_frames:
        _say("No lips were moved: there was no face in the picture, or nothing louder than --gate-db.")
