"""What all sessions share: the loaded model, the avatars, and the threads in which pictures are computed."""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lipforge.kernels.errors import InputError
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.live import AudioClock, Avatar, LiveOptions, LiveStream, WallClock
from lipforge.runtime.serve.live_session import LiveSession
from lipforge.runtime.serve.metrics import Metrics
from lipforge.runtime.serve.options import Limits
from lipforge.runtime.session import Tracker

MICROPHONE_LATE_MS = 100.0
"""Longer than a microphone's packets are apart, and than the jitter of a home network."""

AVATAR_ENDINGS = {
    "image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp", "image/bmp": ".bmp", "video/mp4": ".mp4",
    "video/webm": ".webm", "video/quicktime": ".mov", "video/x-matroska": ".mkv",
}  # fmt: skip


@dataclass
class ShelvedAvatar:
    """An avatar that clients can choose.

    Attributes:
        name: for people.
        avatar: prepared.
        kept: whether it was given at the start; others make room for newer ones.
        id: for programs.
    """

    name: str
    avatar: Avatar
    kept: bool
    id: str

    def described(self) -> dict[str, object]:
        """Return what clients are told."""
        info = self.avatar.info
        return {"id": self.id, "name": self.name, "width": info.width, "height": info.height, "fps": float(info.fps)}


class Studio:
    """Makes sessions.

    Args:
        bundle: the model.
        limits: bounds.
        make_tracker: makes what finds faces; None takes a ``FaceTracker``.
        threads: for computing pictures; None takes one a core.
    """

    def __init__(
        self,
        bundle: Bundle,
        limits: Limits,
        make_tracker: Callable[[], Tracker] | None = None,
        threads: int | None = None,
    ) -> None:
        self.bundle, self.limits = bundle.sharing(), limits
        self._make_tracker: Callable[[], Tracker | None] = make_tracker or (lambda: None)
        self.metrics = Metrics()
        self.executor = ThreadPoolExecutor(threads or os.cpu_count() or 1, "lipforge-picture")
        self._shelf: dict[str, ShelvedAvatar] = {}
        self._preparing = asyncio.Lock()

    def close(self) -> None:
        """Free the threads."""
        self.executor.shutdown(wait=True, cancel_futures=True)

    def avatars(self) -> list[ShelvedAvatar]:
        """Return the avatars, oldest first."""
        return list(self._shelf.values())

    def avatar(self, avatar_id: str | None) -> Avatar:
        """Return an avatar; None means the first one.

        Raises:
            InputError: there is none of that name, or none at all.
        """
        if avatar_id is None and self._shelf:
            return next(iter(self._shelf.values())).avatar
        if avatar_id is None or avatar_id not in self._shelf:
            known = ", ".join(self._shelf) or "none; start the server with --avatar FILE, or upload one"
            raise InputError(f"there is no avatar {str(avatar_id)[:40]!r}; there are: {known}.")
        return self._shelf[avatar_id].avatar

    def add_file(self, path: Path, name: str | None = None, *, kept: bool = True) -> ShelvedAvatar:
        """Prepare an avatar and shelve it; takes seconds for a video.

        Raises:
            InputError: the file is not usable, or there is no face in it.
        """
        avatar = Avatar.prepare(path, self.bundle, tracker=self._make_tracker())
        if avatar.info.width * avatar.info.height > self.limits.frame_pixels:
            raise InputError(
                f"the avatar has {avatar.info.width}x{avatar.info.height} pixels; allowed are as many as "
                f"{self.limits.frame_pixels} in all. Make it smaller."
            )
        shelved = ShelvedAvatar(name or path.name, avatar, kept, self._free_id(path, kept))
        self._shelf[shelved.id] = shelved
        self._make_room()
        return shelved

    async def add_upload(self, body: bytes, content_type: str, name: str) -> ShelvedAvatar:
        """Prepare what a client sent; one at a time, so that uploads do not crowd out the streams.

        Raises:
            InputError: it is not usable as an avatar.
        """
        ending = AVATAR_ENDINGS.get(content_type)
        if ending is None:
            raise InputError(f"an avatar of type {content_type[:40]!r}; allowed are {', '.join(AVATAR_ENDINGS)}.")
        async with self._preparing:
            return await asyncio.to_thread(self._add_bytes, body, ending, name)

    async def open(self, kind: str, avatar: Avatar | None, options: LiveOptions, *, microphone: bool) -> LiveSession:
        """Start a session.

        Args:
            kind: ``camera``, ``avatar`` or ``agent``.
            avatar: None for a camera.
            options: of the stream; its ``sample_rate_hz`` is set.
            microphone: whether the audio comes as it is spoken, and its clock is followed.
        """
        stream = await asyncio.get_running_loop().run_in_executor(self.executor, self._stream, avatar, options)
        clock = AudioClock(lambda: stream.audio_seconds) if microphone else WallClock()
        assert options.sample_rate_hz is not None
        return LiveSession(kind, stream, clock, options.sample_rate_hz, self.metrics, self.executor)

    def _stream(self, avatar: Avatar | None, options: LiveOptions) -> LiveStream:
        return LiveStream(self.bundle, avatar, options, None if avatar is not None else self._make_tracker())

    def _add_bytes(self, body: bytes, ending: str, name: str) -> ShelvedAvatar:
        with tempfile.TemporaryDirectory(prefix="lipforge-") as folder:
            path = Path(folder) / f"avatar{ending}"
            path.write_bytes(body)
            try:
                return self.add_file(path, name[:80] or "avatar", kept=False)
            except InputError as error:
                raise InputError(str(error).replace(f"--avatar {path}: ", "")) from error

    def _free_id(self, path: Path, kept: bool) -> str:
        wanted = "".join(letter if letter.isalnum() else "-" for letter in path.stem.lower())[:40] or "avatar"
        if not kept:
            return f"upload-{secrets.token_urlsafe(8)}"
        return wanted if wanted not in self._shelf else f"{wanted}-{len(self._shelf)}"

    def _make_room(self) -> None:
        uploads = [shelved.id for shelved in self._shelf.values() if not shelved.kept]
        for avatar_id in uploads[: max(0, len(uploads) - self.limits.avatars)]:
            del self._shelf[avatar_id]
