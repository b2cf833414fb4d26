"""What clients say is checked, and told in one line when it is wrong."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipforge.kernels.errors import InputError
from lipforge.runtime.serve.messages import field, one_of, parse_message, parse_object, text_up_to, whole

KINDS = ("flush", "interrupt")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "12", '"flush"', "NaN", "\x00", "[" * 100_000, b"\xff\xfe", "{} {}"]
)
def test_what_is_no_object_is_refused(text: str | bytes) -> None:
    with pytest.raises(InputError):
        parse_object(text)


@given(st.one_of(st.text(), st.binary()))
def test_nothing_but_an_input_error_comes_out_of_any_text(text: str | bytes) -> None:
    with contextlib.suppress(InputError):
        assert parse_message(text, KINDS)["type"] in KINDS


@pytest.mark.parametrize("kind", [None, 7, "start", ["flush"], {"a": 1}])
def test_other_types_are_refused_with_those_that_are_known(kind: object) -> None:
    import json

    with pytest.raises(InputError, match="flush, interrupt"):
        parse_message(json.dumps({"type": kind}), KINDS)


@pytest.mark.parametrize("value", [True, 1.5, "16000", -1, 10**30, [], float("nan")])
def test_a_whole_number_is_nothing_else(value: object) -> None:
    with pytest.raises(InputError, match=r"rate is .*; allowed are a few"):
        field({"rate": value}, "rate", whole(1, 100), "a few")


def test_defaults_and_bounds() -> None:
    assert field({}, "rate", whole(1, 100, default=5), "") == 5
    assert field({"rate": 100}, "rate", whole(1, 100), "") == 100
    assert field({}, "output", one_of("frames", "webrtc"), "") == "frames"
    assert field({"sdp": "abc"}, "sdp", text_up_to(3), "") == "abc"
    with pytest.raises(InputError):
        field({"sdp": "abcd"}, "sdp", text_up_to(3), "text")
