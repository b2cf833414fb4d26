"""When something with a given time in the stream is due: the stream's own clock, laid over the machine's once.

Only the audio's sample counter tells the time of frames and sound. The schedule holds a single number, the distance
from that clock to the machine's; both tracks go by it, so they cannot drift apart. What arrives late moves the
distance out, and when everything arrives early for a while it creeps back in: jitter costs latency only as long as it
lasts, and a microphone whose second is not quite a second is followed.
"""

from __future__ import annotations

CUSHION_S = 0.010
"""What arrives this much before it is due is in time."""

UNEVEN_CUSHION_S = CUSHION_S + 0.020
"""Where frames do not bring whole pieces of 20 ms of sound, the rest of a piece comes with the next frame. Sent as late
as that, every second piece or so would be late, and a receiver would hold all sound back for it, not the picture."""

WINDOW_S = 0.5
"""How long everything has to be early before the distance is shortened."""

STEP_S = 0.010
"""By how much it is shortened then; a receiver stretches sound by such amounts unheard."""

LONG_S = 0.1
"""Of a delay longer than this, half goes at once: a stumble of the machine, or of the network, that is over."""

JUMP_S = 1.0
"""What is early or late by more than this follows a jump of the clock, and the distance is measured anew."""


class Schedule:
    """Maps times of the stream to times of the machine, both in seconds.

    Args:
        cushion_s: what arrives this much before it is due is in time.
    """

    def __init__(self, cushion_s: float = CUSHION_S) -> None:
        self._cushion_s = cushion_s
        self._distance: float | None = None
        self._window_end = 0.0
        self._least_slack = float("inf")

    def arrive(self, pts: float, now: float) -> None:
        """Take notice that what is shown at ``pts`` is there, at ``now``."""
        if self._distance is None or abs(self._distance + pts - now) > JUMP_S:
            self._restart(pts, now)
            return
        slack = self._distance + pts - now
        if slack < 0:
            self._distance -= slack
            slack = 0.0
        self._least_slack = min(self._least_slack, slack)
        if now >= self._window_end:
            early = max(0.0, self._least_slack - self._cushion_s)
            self._distance -= max(min(early, STEP_S), early / 2 if early > LONG_S else 0.0)
            self._open_window(now)

    def due(self, pts: float) -> float:
        """Return when ``pts`` is due; at once if nothing arrived yet."""
        return (self._distance or 0.0) + pts

    def _restart(self, pts: float, now: float) -> None:
        self._distance = now + self._cushion_s - pts
        self._open_window(now)

    def _open_window(self, now: float) -> None:
        self._window_end = now + WINDOW_S
        self._least_slack = float("inf")
