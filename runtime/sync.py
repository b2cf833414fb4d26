"""Lip-sync of files: the streaming engine, fed from a video or image and a sound file, written to a video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from lipforge.runtime.bundle import Bundle
from lipforge.runtime.media.audio_reader import AudioReader
from lipforge.runtime.media.container import check_file
from lipforge.runtime.media.output_file import OutputFile
from lipforge.runtime.media.pingpong import PingPong
from lipforge.runtime.media.still_image import StillImage, is_image
from lipforge.runtime.media.video_reader import FrameSource, SourceFrame
from lipforge.runtime.media.video_writer import EncoderOptions, VideoWriter
from lipforge.runtime.session import OutputFrame, Session, SessionOptions, Tracker
from lipforge.runtime.sync_report import Progress, SyncReport, Tally

__all__ = ["Progress", "SyncJob", "SyncReport", "sync"]

PRIME_MS = 1000.0
PRIME_BYTES = 64 << 20
"""Most memory that the pictures which are looked at ahead may take: 1 s of 720p, 0.8 s of 1080p."""


@dataclass(frozen=True)
class SyncJob:
    """What to sync, and how.

    Attributes:
        face: a video, or an image that becomes a video of 25 frames a second.
        audio: any sound file, or a video with sound.
        output: the video to write.
        keep_tail: keep the rest of a video that is longer than the audio, untouched and silent.
        overwrite: replace ``output`` if it is there.
        encoder: how the picture is encoded.
        threads: threads inside a network.
    """

    face: Path
    audio: Path
    output: Path
    keep_tail: bool = False
    overwrite: bool = False
    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    threads: int = 1


def sync(
    job: SyncJob,
    bundle: Bundle,
    on_progress: Callable[[Progress], None] | None = None,
    on_message: Callable[[str], None] | None = None,
    tracker: Tracker | None = None,
) -> SyncReport:
    """Lip-sync ``job.face`` to ``job.audio`` and write ``job.output``, which appears only when it is whole.

    Args:
        job: the files and options.
        bundle: the model.
        on_progress: called after every frame.
        on_message: called with what the user should know, such as that the face models are fetched.
        tracker: finds faces; the default is a ``FaceTracker``.

    Raises:
        InputError: a file is not usable, no face was found, or the output may not be written; nothing was written.
        ConfigError: the model or an option is not usable.
        BackendError: a network cannot be run.
    """
    inputs = (job.face, job.audio)
    with OutputFile(job.output, inputs, overwrite=job.overwrite) as output:
        source = _open_face(job.face)
        with AudioReader(job.audio) as audio:
            sound = audio.blocks()
            first_block = next(sound)  # before the models are loaded: a file without samples is told at once
            tracker = tracker or _face_tracker(bundle, on_message)
            options = SessionOptions(prime_ms=_prime_ms(source), threads=job.threads)
            tally = Tally(_expected_frames(source, audio.info.duration_s, keep_tail=job.keep_tail), on_progress)
            with Session(bundle, source.info.fps, options, tracker) as session:
                session.push_audio(first_block, audio.info.sample_rate_hz)
                frames = _synced(session, source, sound, audio.info.sample_rate_hz, keep_tail=job.keep_tail)
                writer = VideoWriter(output.part, output.container_format, source.info, audio.info, job.encoder)
                _write(frames, source, writer, tally, job.face)
    return tally.report(source.info.fps)


def _write(frames: Iterator[OutputFrame], source: FrameSource, writer: VideoWriter, tally: Tally, face: Path) -> None:
    try:
        for frame in frames:
            pushed = cast(SourceFrame, frame.source)
            writer.write(pushed.frame.encodable, frame.pts, frame.audio)
            source.reuse(pushed)
            tally.add(frame)
        tally.check_faces(face)
        writer.close()
    except BaseException:
        writer.abandon()
        raise


def _open_face(path: Path) -> FrameSource:
    check_file(path, "--face")
    return StillImage(path) if is_image(path) else PingPong(path)


def _face_tracker(bundle: Bundle, on_message: Callable[[str], None] | None) -> Tracker:
    from lipforge.runtime.faces import FaceTracker, face_models

    return FaceTracker(face_models(on_message), bundle.manifest.crop, bundle.manifest.lips)


def _prime_ms(source: FrameSource) -> float:
    frames = PRIME_BYTES // (source.info.width * source.info.height * 3 // 2)
    return min(PRIME_MS, float(1000 * frames / source.info.fps))


def _expected_frames(source: FrameSource, audio_s: float, *, keep_tail: bool) -> int:
    frames = ceil(audio_s * float(source.info.fps))
    return max(frames, source.info.frames) if keep_tail and frames else frames


def _synced(
    session: Session, source: FrameSource, sound: Iterator[NDArray[np.float32]], sample_rate_hz: int, *, keep_tail: bool
) -> Iterator[OutputFrame]:
    """Feed the session frame by frame, with just the audio that the frame waits for."""
    sounding = True
    for frame in source:
        while sounding and session.audio_seconds < session.audio_until(frame.time):
            block = next(sound, None)
            sounding = block is not None
            if block is None:
                session.end_audio()
            else:
                session.push_audio(block, sample_rate_hz)
        if frame.time >= session.audio_seconds and not (keep_tail and frame.first_pass):
            break
        session.push_frame(frame.frame.planes, frame.time, frame)
        yield from session
    session.flush()
    yield from session
