"""A face for a Pipecat voice agent: a processor that stands between the text-to-speech service and the transport.

    bundle = Bundle.load().sharing()
    avatar = Avatar.prepare("face.jpg", bundle)
    stream = LiveStream(bundle, avatar, LiveOptions(sample_rate_hz=24_000, channels=1))
    pipeline = Pipeline([transport.input(), stt, user, llm, tts, LipforgeVideo(stream), transport.output(), assistant])

The transport is made with ``audio_out_enabled``, ``video_out_enabled``, ``video_out_width`` and ``video_out_height``
(those of ``avatar.info``) and ``video_out_framerate`` (25 for a picture). The sample rate is best that of the speech.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import numpy as np
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    OutputImageRawFrame,
    StartFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from lipforge.runtime.live import LiveFrame, LiveStream, WallClock, paced_async
from lipforge.runtime.picture import Picture
from lipforge.runtime.sample_queue import as_int16


class LipforgeVideo(FrameProcessor):  # type: ignore[misc]
    """Speech in; pictures, and the speech that belongs to them, out. Everything else passes through.

    Args:
        stream: with an avatar; closed when the pipeline ends.
        options: of Pipecat's processors, such as ``name``.
    """

    def __init__(self, stream: LiveStream, **options: Any) -> None:
        super().__init__(**options)
        self._stream = stream
        self._showing: asyncio.Task[None] | None = None
        self._stops: deque[TTSStoppedFrame] = deque()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Take what concerns speech; pass the rest on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            pcm = np.frombuffer(frame.audio, np.int16).reshape(-1, frame.num_channels)
            self._stream.push_audio(pcm, frame.sample_rate)
            return
        if isinstance(frame, TTSStoppedFrame):
            self._stream.flush()
            self._stops.append(frame)  # passed on when the end of its speech was heard
            return
        if isinstance(frame, InterruptionFrame):
            self._stream.interrupt()
            self._stops.clear()
        elif isinstance(frame, EndFrame) and self._showing is not None:
            self._stream.end()
            await self._showing  # what was said so far is still shown
        elif isinstance(frame, CancelFrame):
            self._stream.close()
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame):
            self._showing = self.create_task(self._show())

    async def cleanup(self) -> None:
        """Close the stream."""
        self._stream.close()
        if self._showing is not None:
            await self._showing
        await super().cleanup()

    async def _show(self) -> None:
        async for frame in paced_async(self._stream, WallClock()):
            if frame.epoch == self._stream.epoch:  # not one that was made before an interrupt
                await self.push_frame(picture_of(frame))
                if frame.spoken:  # Pipecat takes the audio of speech for the time in which the agent speaks
                    await self.push_frame(sound_of(frame))
                for _ in range(min(len(frame.finished), len(self._stops))):
                    await self.push_frame(self._stops.popleft())
            self._stream.reuse(frame)


def picture_of(frame: LiveFrame) -> OutputImageRawFrame:
    """Return a frame's picture for Pipecat: shown when the sound before it has been sent."""
    picture = Picture.of(frame.image)
    rgb = picture.resized(picture.whole, picture.width, picture.height)[..., ::-1]
    shown = OutputImageRawFrame(np.ascontiguousarray(rgb).tobytes(), (picture.width, picture.height), "RGB")
    shown.sync_with_audio = True
    return shown


def sound_of(frame: LiveFrame) -> TTSAudioRawFrame:
    """Return a frame's sound for Pipecat, 16-bit."""
    return TTSAudioRawFrame(as_int16(frame.audio).tobytes(), frame.sample_rate_hz, frame.audio.shape[1])
