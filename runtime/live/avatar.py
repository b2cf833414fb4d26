"""A video or image that stands in for a camera: looped without end, its faces known beforehand.

Everything slow is done once, in ``prepare``: decoding, finding the face in every frame, and writing the loop (forward,
then backward) as a stream of pictures that one decoder can play at a steady pace. What is kept takes a few percent of
the raw frames; several streams can play one avatar.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lipforge.kernels.errors import InputError
from lipforge.runtime.faces import Face
from lipforge.runtime.live.loop_codec import LoopDecoder, LoopEncoder
from lipforge.runtime.media.container import check_file
from lipforge.runtime.media.frame_pool import FramePool, PooledFrame
from lipforge.runtime.media.pingpong import PingPong
from lipforge.runtime.media.still_image import StillImage, is_image
from lipforge.runtime.media.video_info import VideoInfo, probe_video
from lipforge.runtime.picture import Picture
from lipforge.runtime.session import Tracker

if TYPE_CHECKING:
    from lipforge.runtime.bundle import Bundle

LONGEST_S = 60.0


@dataclass(frozen=True)
class AvatarFrame:
    """One picture of an avatar.

    Attributes:
        frame: its pixels; belongs to whoever receives it, until it is given back.
        face: the face in it, or None.
    """

    frame: PooledFrame
    face: Face | None


class AvatarPlayer:
    """Plays an avatar for one stream; made by ``Avatar.play``."""

    def __init__(self, avatar: Avatar) -> None:
        self._avatar, self._index = avatar, 0
        self._pool = FramePool(avatar.info.width, avatar.info.height, avatar.info.yuv_spec)
        self._decoder = LoopDecoder(avatar.packets) if avatar.packets else None

    @property
    def still(self) -> bool:
        """Whether all pictures are the same."""
        return self._decoder is None

    def next(self) -> AvatarFrame:
        """Return the next picture of the endless loop."""
        pooled = self._pool.take()
        if self._decoder is not None:
            pooled.fill(self._decoder.next())
        elif self._avatar.still is not None:
            planes = self._avatar.still.planes
            pooled.fill((planes.y, planes.u, planes.v))
        face = self._avatar.face(self._index)
        self._index += 1
        return AvatarFrame(pooled, face)

    def skip(self) -> None:
        """Pass over the next picture."""
        if self._decoder is not None:
            self._decoder.next()
        self._index += 1

    def reuse(self, frame: PooledFrame) -> None:
        """Take back a frame that nobody needs any more; its memory becomes that of a later one."""
        self._pool.give_back(frame)


class KnownFace:
    """A tracker that is told the face of the next frame."""

    def __init__(self) -> None:
        self.face: Face | None = None

    def track(self, picture: Picture) -> Face | None:
        """Return what it was told."""
        del picture
        return self.face

    def reset(self) -> None:
        """Forget it."""
        self.face = None


@dataclass(frozen=True)
class Avatar:
    """A prepared avatar; made by ``prepare``, shared by as many streams as wanted.

    Attributes:
        info: size, rate and colours of its pictures; both sides are even.
        faces: of the frames on the way forward.
        still: the picture of an image; None for a video.
        packets: the loop of a video, compressed.
    """

    info: VideoInfo
    faces: tuple[Face | None, ...]
    still: PooledFrame | None
    packets: tuple[bytes, ...] = ()

    @classmethod
    def prepare(
        cls,
        path: Path | str,
        bundle: Bundle,
        *,
        longest_s: float = LONGEST_S,
        on_progress: Callable[[int, int], None] | None = None,
        tracker: Tracker | None = None,
    ) -> Avatar:
        """Read a video or image once and keep what playing it needs.

        Args:
            path: a video, or an image (25 frames a second).
            bundle: whose crop and lips the faces are found for.
            longest_s: a longer video is used up to here.
            on_progress: called with the frames done and the frames to do (0 if unknown).
            tracker: finds faces; the default is a ``FaceTracker``.

        Raises:
            InputError: the file is not usable, or there is no face in it.
        """
        path = check_file(Path(path), "--avatar")
        tracker = tracker or _face_tracker(bundle)
        avatar = _of_image(path, tracker) if is_image(path) else _of_video(path, tracker, longest_s, on_progress)
        if not any(avatar.faces):
            raise InputError(
                f"--avatar {path}: no face was found in any of {len(avatar.faces)} frames. "
                "The face should look roughly at the camera and be at least some 60 pixels wide."
            )
        return avatar

    @property
    def bytes(self) -> int:
        """Memory that its pictures take."""
        return sum(map(len, self.packets)) or self.info.width * self.info.height * 3 // 2

    def face(self, index: int) -> Face | None:
        """Return the face in a picture of the endless loop forward, backward, forward ..."""
        count = len(self.faces)
        place = index % max(1, 2 * count - 2)
        return self.faces[place if place < count else 2 * count - 2 - place]

    def play(self) -> AvatarPlayer:
        """Start playing for one stream."""
        return AvatarPlayer(self)


def _of_image(path: Path, tracker: Tracker) -> Avatar:
    still = StillImage(path, "--avatar")
    picture = next(iter(still)).frame
    return Avatar(still.info, (tracker.track(Picture.of(picture.planes)),), picture)


def _of_video(path: Path, tracker: Tracker, longest_s: float, on_progress: Callable[[int, int], None] | None) -> Avatar:
    """Go once forward and once backward through the video; only the way forward has to be looked at for faces."""
    info = probe_video(path, "--avatar")
    most = max(1, round(longest_s * info.fps))
    video = PingPong(path, "--avatar", longest_frames=most)
    info = replace(info, width=info.width // 2 * 2, height=info.height // 2 * 2)
    encoder = LoopEncoder(info)
    faces: list[Face | None] = []
    packets: list[bytes] = []
    for index, source in enumerate(video):
        if not source.first_pass and index >= max(1, 2 * len(faces) - 2):
            break
        if source.first_pass:
            faces.append(tracker.track(Picture.of(source.frame.planes)))
        packets += encoder.encode(source.frame.planes)
        video.reuse(source)
        if on_progress is not None:
            expected = 2 * min(most, info.frames) - 2 if source.first_pass else 2 * len(faces) - 2
            on_progress(index + 1, max(0, expected))
    return Avatar(info, tuple(faces), None, tuple(packets + encoder.flush()))


def _face_tracker(bundle: Bundle) -> Tracker:
    from lipforge.runtime.faces import FaceTracker

    return FaceTracker(None, bundle.manifest.crop, bundle.manifest.lips)
