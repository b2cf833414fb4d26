"""What ``lipforge serve`` was asked for, checked before anything is opened."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from lipforge.kernels.errors import ConfigError

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
SHORTEST_TOKEN = 16


@dataclass(frozen=True)
class Limits:
    """Bounds on what a client may ask for.

    Attributes:
        sessions: streams at the same time.
        json_bytes: of a request or message that is JSON; an offer of a browser has about 8 KB.
        avatar_bytes: of an uploaded picture or video.
        avatars: uploaded pictures and videos that are kept; the oldest that nobody uses goes first.
        frame_pixels: width times height of a picture that is synced.
        audio_message_bytes: of one binary WebSocket message.
        audio_ahead_s: voice that may wait to be played. More is refused.
        messages_per_s: WebSocket messages of one client, sustained; twice as many at once. More are read later.
        bad_messages: after so many that cannot be understood a WebSocket is closed.
        requests_per_s: HTTP requests of one address, sustained; four times as many at once.
    """

    sessions: int = 4
    json_bytes: int = 64 << 10
    avatar_bytes: int = 64 << 20
    avatars: int = 8
    frame_pixels: int = 1920 * 1088
    audio_message_bytes: int = 1 << 20
    audio_ahead_s: float = 60.0
    messages_per_s: float = 200.0
    bad_messages: int = 50
    requests_per_s: float = 20.0


@dataclass(frozen=True)
class ServeOptions:
    """Where the server listens, whom it lets in, and how much.

    Attributes:
        host: address to bind to.
        port: 0 lets the system choose.
        token: what a client has to show; None only on loopback.
        hosts: further names under which browsers reach the server, such as that of a reverse proxy.
        certificate: TLS certificate chain (PEM); None serves plain HTTP.
        key: the certificate's private key (PEM).
        limits: bounds for the clients.

    Raises:
        ConfigError: the combination is not safe or not usable.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    token: str | None = None
    hosts: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise ConfigError(f"--port is {self.port}; allowed are 0 to 65535.")
        if self.limits.sessions < 1:
            raise ConfigError(f"--max-sessions is {self.limits.sessions}; allowed are 1 and more.")
        if (self.certificate is None) != (self.key is None):
            raise ConfigError("--certificate and --key belong together. Give both or neither.")
        if self.token is not None and (len(self.token) < SHORTEST_TOKEN or not _printable(self.token)):
            raise ConfigError(
                f"--token needs at least {SHORTEST_TOKEN} characters, printable ASCII without spaces. "
                'Make one: python -c "import secrets; print(secrets.token_urlsafe())"'
            )
        if self.token is None and not is_loopback(self.host):
            raise ConfigError(
                f"--host {self.host} can be reached from other machines, and no --token was given. "
                "Give a token (or LIPFORGE_TOKEN), or bind to 127.0.0.1."
            )

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""
        return "http" if self.certificate is None else "https"


def is_loopback(host: str) -> bool:
    """Tell whether a name or address means this machine only."""
    name = host.strip("[]").lower()
    if name in LOOPBACK_NAMES:
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _printable(token: str) -> bool:
    return all(33 <= ord(letter) <= 126 for letter in token)
