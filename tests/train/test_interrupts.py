from __future__ import annotations

import signal
import time

import pytest

from lipforge.train.interrupts import InterruptGuard


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_is_a_request(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with InterruptGuard() as guard:
        assert not guard.requested
        signal.raise_signal(number)
        assert guard.requested
        assert signal.getsignal(number) is before  # the second one works as usual
    assert signal.getsignal(number) is before


def test_an_echo_is_the_same_signal_and_a_later_one_is_not() -> None:
    with InterruptGuard(echo_seconds=0.2) as guard:
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)
        assert guard.requested
        time.sleep(0.25)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
