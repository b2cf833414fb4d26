"""How a live stream works."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from lipforge.runtime.speech_gate import GateOptions


@dataclass(frozen=True)
class LiveOptions:
    """Delays, queues, fades and formats of a live stream.

    Attributes:
        fps: frames a second of the pushed frames; an avatar brings its own rate.
        sample_rate_hz: of the audio that comes out; None takes that of the first audio pushed (48 kHz if frames are
            asked for before). Audio of any other rate is resampled.
        channels: of the audio that comes out; None takes that of the first audio.
        late_audio_ms: how long silence waits for audio that is late before it takes its place. 0 for speech that is
            pushed ahead of time, some 100 for a microphone.
        late_video_ms: a frame that is later than this is dropped if there is a newer one; its audio is kept.
        audio_queue_ms: audio that may wait; more is refused.
        video_queue_ms: camera frames that may wait, beyond those that wait for their look-ahead; then the oldest is
            dropped.
        fade_ms: time in which the lips leave the frame's own mouth, and come back to it.
        gate: which audio is speech; None takes all of it, silence too.
        threads: threads inside a network.
    """

    fps: Fraction | float = 25
    sample_rate_hz: int | None = None
    channels: int | None = None
    late_audio_ms: float = 0.0
    late_video_ms: float = 120.0
    audio_queue_ms: float = 60_000.0
    video_queue_ms: float = 120.0
    fade_ms: float = 120.0
    gate: GateOptions | None = field(default_factory=GateOptions)
    threads: int = 1
