"""A face for a LiveKit voice agent: lipforge behind the ``VideoGenerator`` interface of livekit-agents.

bundle = Bundle.load().sharing()
avatar = Avatar.prepare("face.jpg", bundle)
stream = LiveStream(bundle, avatar, LiveOptions(sample_rate_hz=24_000, channels=1))
size = dict(video_width=avatar.info.width, video_height=avatar.info.height, video_fps=float(avatar.info.fps))
options = AvatarOptions(**size, audio_sample_rate=24_000, audio_channels=1)
runner = AvatarRunner(room, audio_recv=receiver, video_gen=LipforgeVideo(stream), options=options)
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
from livekit import rtc
from livekit.agents.voice.avatar import AudioSegmentEnd, VideoGenerator

from lipforge.kernels.yuv import I420Frame
from lipforge.runtime.live import LiveFrame, LiveStream, WallClock, paced_async
from lipforge.runtime.sample_queue import as_int16


class LipforgeVideo(VideoGenerator):  # type: ignore[misc]
    """Speech in, pictures and sound out.

    Args:
        stream: with an avatar; its ``sample_rate_hz`` and ``channels`` are those that the runner was told.
    """

    def __init__(self, stream: LiveStream) -> None:
        self._stream = stream

    async def push_audio(self, frame: rtc.AudioFrame | AudioSegmentEnd) -> None:
        """Take a piece of the agent's speech, or its end."""
        if isinstance(frame, AudioSegmentEnd):
            self._stream.flush()
            return
        pcm = np.frombuffer(frame.data, np.int16).reshape(-1, frame.num_channels)
        self._stream.push_audio(pcm, frame.sample_rate)

    def clear_buffer(self) -> None:
        """Stop speaking: somebody interrupted."""
        self._stream.interrupt()

    def __aiter__(self) -> AsyncIterator[rtc.VideoFrame | rtc.AudioFrame | AudioSegmentEnd]:
        """Yield pictures without end, sound while there is speech, and the end of each utterance that was heard."""
        return self._generate()

    async def _generate(self) -> AsyncIterator[rtc.VideoFrame | rtc.AudioFrame | AudioSegmentEnd]:
        async for frame in paced_async(self._stream, WallClock()):
            if frame.epoch != self._stream.epoch:
                continue  # made before an interrupt
            yield picture_of(frame)
            if frame.spoken:  # LiveKit takes all sound for speech when it counts how much was heard
                yield sound_of(frame)
            for _ in frame.finished:
                yield AudioSegmentEnd()
            self._stream.reuse(frame)


def picture_of(frame: LiveFrame) -> rtc.VideoFrame:
    """Return an avatar's frame for LiveKit: its planes as they are."""
    image = frame.image
    assert isinstance(image, I420Frame)
    height, width = image.y.shape
    data = b"".join(np.ascontiguousarray(plane).tobytes() for plane in (image.y, image.u, image.v))
    return rtc.VideoFrame(width, height, rtc.VideoBufferType.I420, data)


def sound_of(frame: LiveFrame) -> rtc.AudioFrame:
    """Return a frame's sound for LiveKit, 16-bit."""
    samples = as_int16(frame.audio)
    return rtc.AudioFrame(samples.tobytes(), frame.sample_rate_hz, samples.shape[1], samples.shape[0])
