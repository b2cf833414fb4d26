"""Browsers over WebRTC: camera and microphone in, synced frames with their audio out.

No STUN or TURN server is asked: the machines reach each other directly, on loopback or in one network.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lipforge.kernels.errors import InputError
from lipforge.runtime.live import LiveOptions
from lipforge.runtime.serve.control import Control
from lipforge.runtime.serve.incoming import Incoming
from lipforge.runtime.serve.live_session import LiveSession, ShownSession
from lipforge.runtime.serve.messages import field, one_of, text_up_to
from lipforge.runtime.serve.places import Place, Places
from lipforge.runtime.serve.sender_clock import attach, shorten_audio_buffer
from lipforge.runtime.serve.sender_reports import StreamTime, tell_stream_time
from lipforge.runtime.serve.studio import MICROPHONE_LATE_MS, Studio

if TYPE_CHECKING:
    from aiortc import MediaStreamTrack, RTCDataChannel, RTCPeerConnection

CONNECT_S = 20.0
"""A browser that has not connected by then never will."""

FAREWELL_S = 0.3
"""For the last word to reach the page."""

AUDIO_HZ = 48_000


class Peers:
    """Answers offers; used on the event loop.

    Args:
        studio: makes sessions.
        places: bounds them.
    """

    def __init__(self, studio: Studio, places: Places) -> None:
        self._studio, self._places = studio, places
        self._peers: set[Peer] = set()

    async def answer(self, message: dict[str, Any]) -> dict[str, str]:
        """Start a stream for a browser's offer.

        Args:
            message: ``sdp`` and ``type`` of the offer; ``source``: ``camera`` or ``avatar``, and then ``avatar``: its
                id; or ``agent``, and then ``session``: whose frames are looked at.

        Returns:
            ``sdp`` and ``type`` of the answer, and the session's id.

        Raises:
            InputError: the offer is not usable.
            FullError: all places are taken.
        """
        sdp = field(message, "sdp", text_up_to(self._studio.limits.json_bytes), "the text of an offer")
        field(message, "type", one_of("offer"), "offer")
        source = field(message, "source", one_of("camera", "avatar", "agent"), "camera, avatar and agent")
        if source == "agent":
            return await self._look_at(message, sdp)
        check_offer(sdp)
        place = self._places.take()
        try:
            place.session = await self._open(source, message)
            incoming = Incoming(place.session, self._studio.limits.frame_pixels)
            return await self._connect(Peer(place.session, incoming, place), sdp)
        except BaseException:
            if place.session is not None:
                await place.session.close()
            place.leave()
            raise

    async def close(self) -> None:
        """Close every connection."""
        await asyncio.gather(*(peer.close() for peer in list(self._peers)))

    async def _open(self, source: str, message: dict[str, Any]) -> LiveSession:
        avatar = None
        if source == "avatar":
            avatar_id = None if message.get("avatar") is None else field(message, "avatar", text_up_to(80), "an id")
            avatar = self._studio.avatar(avatar_id)
        options = LiveOptions(fps=25, sample_rate_hz=AUDIO_HZ, late_audio_ms=MICROPHONE_LATE_MS)
        return await self._studio.open(source, avatar, options, microphone=True)

    async def _look_at(self, message: dict[str, Any], sdp: str) -> dict[str, str]:
        session = self._places.find(field(message, "session", text_up_to(80), "the id of an agent's session"))
        if session is None or session.kind != "agent":
            raise InputError("there is no such session of an agent.")
        session.playout.require_free()
        return await self._connect(Peer(session), sdp)

    async def _connect(self, peer: Peer, sdp: str) -> dict[str, str]:
        self._peers.add(peer)
        peer.when_closed(lambda: self._peers.discard(peer))
        try:
            return await peer.answer(sdp)
        except BaseException:
            await peer.close()
            raise


class Peer:
    """One connection and the tasks that serve it.

    Args:
        session: whose frames it gets.
        incoming: takes in what the browser sends; None leaves that unused.
        place: freed, and its session closed, at the end; None if the session is another one's.
        on_connected: called when the browser is there.
    """

    def __init__(
        self,
        session: ShownSession,
        incoming: Incoming | None = None,
        place: Place | None = None,
        on_connected: Callable[[], None] = lambda: None,
    ) -> None:
        from aiortc import RTCConfiguration, RTCPeerConnection

        self._session, self._incoming, self._place, self._on_connected = session, incoming, place, on_connected
        self._connection: RTCPeerConnection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._connection.on("track", self._on_track)
        self._connection.on("datachannel", self._on_channel)
        self._connection.on("connectionstatechange", self._on_state)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closers: set[asyncio.Task[None]] = set()  # a connection's own tasks end before it is closed, these do not
        self._closing: asyncio.Task[None] | None = None
        self._on_closed: list[Callable[[], object]] = []

    def when_closed(self, call: Callable[[], object]) -> None:
        """Have ``call`` called once the connection is closed."""
        self._on_closed.append(call)

    async def answer(self, sdp: str) -> dict[str, str]:
        """Take the offer and return the answer.

        Raises:
            InputError: the offer cannot be used.
        """
        from aiortc import RTCSessionDescription

        connection = self._connection
        try:
            await connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        except Exception as error:  # aiortc meets bad SDP with errors of many kinds
            raise InputError(f"the offer cannot be understood ({type(error).__name__}).") from error
        self._offer_tracks()
        try:
            await connection.setLocalDescription(await connection.createAnswer())
        except ValueError as error:
            raise InputError(f"the offer and this server have no codec in common ({error}).") from error
        self._start(self._watch())
        local = connection.localDescription
        return {"sdp": local.sdp, "type": local.type, "session": self._session.id}

    async def close(self) -> None:
        """Close the connection, and the session if it is this connection's. Twice does no harm."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._session.playout.detach()
        if self._place is not None:
            await self._session.close()
            self._place.leave()
        await self._connection.close()
        for call in self._on_closed:
            call()

    def _offer_tracks(self) -> None:
        from aiortc import RTCRtpSender

        from lipforge.runtime.serve.tracks import VIDEO_CLOCK_HZ, SyncedAudio, SyncedVideo

        kinds = {transceiver.kind: transceiver for transceiver in self._connection.getTransceivers()}
        codecs = RTCRtpSender.getCapabilities("video").codecs
        # VP8 costs a third of what H.264 does on a CPU, and every browser has it.
        kinds["video"].setCodecPreferences(sorted(codecs, key=lambda codec: codec.mimeType.lower() != "video/vp8"))
        schedule = self._session.playout.schedule
        video, time = SyncedVideo(self._session), StreamTime(lambda: schedule.due(0.0))
        tell_stream_time(self._connection.addTrack(video), video, VIDEO_CLOCK_HZ, time.ntp)
        if "audio" in kinds:
            audio = SyncedAudio(self._session)
            tell_stream_time(self._connection.addTrack(audio), audio, AUDIO_HZ, time.ntp)
        self._session.playout.attach(sound="audio" in kinds)

    def _on_track(self, track: MediaStreamTrack) -> None:
        incoming = self._incoming
        wanted = incoming is not None and (track.kind == "audio" or self._session.kind == "camera")
        if incoming is None or not wanted:
            self._start(_drain(track))
            return
        receiver = next(item.receiver for item in self._connection.getTransceivers() if item.receiver.track is track)
        if track.kind == "audio":
            shorten_audio_buffer(receiver)
            incoming.audio_clock = attach(receiver, AUDIO_HZ)
            self._start(incoming.listen(track))
        else:
            incoming.video_clock = attach(receiver, 90_000)
            self._start(incoming.watch(track))

    def _on_channel(self, channel: RTCDataChannel) -> None:
        if channel.label == "control":
            self._start(Control(channel, self._session).report())

    def _on_state(self) -> None:
        if self._connection.connectionState == "connected":
            self._on_connected()
        if self._connection.connectionState in ("failed", "closed"):
            self._start(self.close(), own=False)

    async def _watch(self) -> None:
        """Close a connection that does not come about, or whose session has ended."""
        session = self._session
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(session.closed.wait(), CONNECT_S)
        if self._connection.connectionState == "connected":
            await session.closed.wait()
            await asyncio.sleep(FAREWELL_S)
        self._start(self.close(), own=False)

    def _start(self, work: Coroutine[Any, Any, None], *, own: bool = True) -> None:
        task = asyncio.get_running_loop().create_task(work)
        tasks = self._tasks if own else self._closers
        tasks.add(task)
        task.add_done_callback(tasks.discard)


def check_offer(sdp: str) -> None:
    """Check an offer before a stream is made for it.

    Raises:
        InputError: it is none, or has not one video and at most one audio.
    """
    from aiortc.sdp import SessionDescription

    try:
        kinds = [media.kind for media in SessionDescription.parse(sdp).media]
    except Exception as error:  # aiortc meets bad SDP with errors of many kinds
        raise InputError(f"the offer cannot be understood ({type(error).__name__}).") from error
    if kinds.count("video") != 1 or kinds.count("audio") > 1:
        raise InputError("an offer has one video (a camera, or one that only receives) and at most one audio.")


async def _drain(track: MediaStreamTrack) -> None:
    """Take what nobody wants, or it would pile up in aiortc."""
    from aiortc.mediastreams import MediaStreamError

    with suppress(MediaStreamError):
        while True:
            await track.recv()
