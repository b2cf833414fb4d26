"""Who is let in: names, origins, tokens and rates."""

from __future__ import annotations

import pytest

from lipforge.kernels.errors import ConfigError
from lipforge.runtime.serve.access import Access, host_name, same_origin
from lipforge.runtime.serve.options import ServeOptions, is_loopback
from lipforge.runtime.serve.rate import MOST_KEYS, Rate, Rates

TOKEN = "correct-horse-battery"


class Asked:
    """A request, as far as access looks at it."""

    def __init__(self, path: str = "/offer", host: str = "localhost:8080", remote: str = "127.0.0.1", **headers: str):
        self.path, self.host, self.remote = path, host, remote
        self.headers = {name.capitalize(): value for name, value in headers.items()}


def status(access: Access, request: Asked) -> int:
    refusal = access.refusal(request)
    return 200 if refusal is None else refusal[0]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "[::1]", "127.8.8.8", "LOCALHOST"])
def test_loopback_needs_no_token(host: str) -> None:
    assert is_loopback(host)
    assert ServeOptions(host).token is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_other_hosts_demand_a_token(host: str) -> None:
    with pytest.raises(ConfigError, match="--token"):
        ServeOptions(host)
    assert ServeOptions(host, token=TOKEN).token == TOKEN


@pytest.mark.parametrize("token", ["short", "with a space inside it", "ünïcodeünïcodeünïcode", ""])
def test_weak_tokens_are_refused(token: str) -> None:
    with pytest.raises(ConfigError, match="16 characters"):
        ServeOptions(token=token)


def test_certificate_and_key_belong_together(tmp_path: object) -> None:
    with pytest.raises(ConfigError, match="both or neither"):
        ServeOptions(certificate=tmp_path)


@pytest.mark.parametrize(
    ("host", "origin", "expected"),
    [
        ("localhost:8080", None, 200),
        ("127.0.0.1:8080", "http://127.0.0.1:8080", 200),
        ("[::1]:8080", "http://[::1]:8080", 200),
        ("localhost:8080", "http://localhost:9999", 403),  # another program's page on this machine
        ("localhost:8080", "https://evil.example", 403),
        ("localhost:8080", "null", 403),  # a sandboxed frame or a file
        ("localhost:8080", "http://[", 403),
        ("evil.example:8080", "http://evil.example:8080", 421),  # DNS rebinding: Origin and Host agree
        ("192.168.1.5:8080", None, 421),
        ("", None, 421),
        ("localhost:8080@evil.example", None, 421),
        ("[", None, 421),
    ],
)
def test_foreign_pages_and_names_are_refused(host: str, origin: str | None, expected: int) -> None:
    headers = {} if origin is None else {"origin": origin}
    assert status(Access(ServeOptions()), Asked(host=host, **headers)) == expected


def test_off_loopback_plain_addresses_and_allowed_names_are_answered() -> None:
    access = Access(ServeOptions("0.0.0.0", token=TOKEN, hosts=("Sync.Example",)))
    shown = {"authorization": f"Bearer {TOKEN}"}
    assert status(access, Asked(host="192.168.1.5:8080", **shown)) == 200
    assert status(access, Asked(host="sync.example", origin="https://sync.example", **shown)) == 200
    assert status(access, Asked(host="evil.example", **shown)) == 421


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (TOKEN, 401),
        (f"Basic {TOKEN}", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        (f"Bearer {TOKEN}x", 401),
        ("Bearer ", 401),
        ("Bearer \udcff\udcfe", 401),
        (None, 401),
    ],
)
def test_a_token_opens_everything_but_what_is_open_anyway(header: str | None, expected: int) -> None:
    access = Access(ServeOptions(token=TOKEN))
    headers = {} if header is None else {"authorization": header}
    for path in ("/offer", "/metrics", "/avatars", "/voice", "/page.css/../metrics"):
        assert status(access, Asked(path, **headers)) == expected
    for path in ("/", "/page.js", "/health"):
        assert status(access, Asked(path, **headers)) == 200


def test_one_address_may_not_ask_without_end_and_does_not_shut_out_others() -> None:
    now = [0.0]
    access = Access(ServeOptions(), lambda: now[0])
    answers = [status(access, Asked()) for _ in range(200)]
    assert answers == [200] * 80 + [429] * 120
    now[0] = 1.0
    assert [status(access, Asked()) for _ in range(30)] == [200] * 20 + [429] * 10
    assert status(access, Asked(remote="::1")) == 200


def test_a_rate_refills_with_time_and_never_beyond_its_burst() -> None:
    now = [0.0]
    rate = Rate(10.0, 2.0, lambda: now[0])
    assert [rate.allow() for _ in range(3)] == [True, True, False]
    assert rate.wait_s() == pytest.approx(0.1)
    now[0] = 0.1
    assert [rate.allow() for _ in range(2)] == [True, False]
    now[0] = 60.0
    assert [rate.allow() for _ in range(3)] == [True, True, False]


def test_rates_forget_the_oldest_of_too_many() -> None:
    rates = Rates[int](1.0, 1.0, lambda: 0.0)
    for key in range(MOST_KEYS + 10):
        assert rates.allow(key)
    assert len(rates._rates) == MOST_KEYS
    assert not rates.allow(MOST_KEYS + 9)


def test_host_and_origin_are_read_as_browsers_write_them() -> None:
    assert host_name("LocalHost:80") == "localhost"
    assert host_name("[::1]:80") == "::1"
    assert same_origin("https://a.example:444", "A.example:444")
    assert not same_origin("ftp://a.example", "a.example")
