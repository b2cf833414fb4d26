"""What leaves a live stream."""

from __future__ import annotations

from dataclasses import dataclass

from lipforge.runtime.live.playback import Playback
from lipforge.runtime.output_frame import OutputFrame


@dataclass(frozen=True)
class LiveFrame(OutputFrame):
    """A finished frame, the audio that is heard while it is seen, and how far speech is with it.

    Attributes:
        sample_rate_hz: of ``audio``.
        epoch: the stream's ``epoch`` when the frame was made. Whoever queues frames drops those of an older one: an
            interrupt came in between.
        playback: the utterance that was heard last.
        finished: utterances that were heard to their end with this frame.
        spoken: whether there is speech in ``audio``, and not only the silence that stands in for it.
    """

    sample_rate_hz: int
    epoch: int
    playback: Playback
    finished: tuple[Playback, ...] = ()
    spoken: bool = False
