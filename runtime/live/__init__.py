"""Live lip-sync: audio in as it is spoken, frames out with the audio that belongs to them."""

from lipforge.runtime.live.avatar import Avatar
from lipforge.runtime.live.clock import AudioClock, WallClock
from lipforge.runtime.live.live_frame import LiveFrame
from lipforge.runtime.live.live_options import LiveOptions
from lipforge.runtime.live.live_stats import LiveStats
from lipforge.runtime.live.live_stream import LiveStream
from lipforge.runtime.live.pacing import paced, paced_async
from lipforge.runtime.live.playback import Playback

__all__ = [
    "AudioClock",
    "Avatar",
    "LiveFrame",
    "LiveOptions",
    "LiveStats",
    "LiveStream",
    "Playback",
    "WallClock",
    "paced",
    "paced_async",
]
