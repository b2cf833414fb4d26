"""When frames and audio leave: on one clock, jitter only as long as it lasts, audio never lost."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from lipforge.kernels.errors import InputError
from lipforge.runtime.serve.playout import Heard, Playout, PlayoutOverflowError, Shown
from lipforge.runtime.serve.schedule import CUSHION_S, JUMP_S, UNEVEN_CUSHION_S, Schedule

RATE_HZ = 48_000
PERIOD = 0.04


def shown(index: int) -> Shown:
    return Shown(index * PERIOD, np.zeros((2, 2, 3), np.uint8), None)


def heard(index: int, value: float = 0.5) -> Heard:
    count = round(PERIOD * RATE_HZ)
    return Heard(index * count, np.full((count, 1), value, np.float32), RATE_HZ)


def test_regular_arrivals_leave_after_the_cushion() -> None:
    schedule = Schedule()
    for index in range(500):
        schedule.arrive(index * PERIOD, 100.0 + index * PERIOD)
        assert schedule.due(index * PERIOD) == pytest.approx(100.0 + index * PERIOD + CUSHION_S)


def test_a_late_item_is_due_at_once_and_its_delay_is_given_back() -> None:
    schedule = Schedule()
    for index in range(50):
        schedule.arrive(index * PERIOD, index * PERIOD)
    schedule.arrive(50 * PERIOD, 50 * PERIOD + 0.3)
    assert schedule.due(50 * PERIOD) == pytest.approx(50 * PERIOD + 0.3)
    for index in range(51, 51 + 25 * 20):
        schedule.arrive(index * PERIOD, index * PERIOD)
    assert schedule.due(0.0) == pytest.approx(CUSHION_S, abs=0.021)


@pytest.mark.parametrize("rate", [0.999, 1.001])
def test_a_sender_whose_clock_runs_wrong_is_followed(rate: float) -> None:
    schedule = Schedule()
    for index in range(15_000):  # ten minutes
        now = index * PERIOD * rate
        schedule.arrive(index * PERIOD, now)
        assert 0 <= schedule.due(index * PERIOD) - now < 0.06


@pytest.mark.parametrize("jump", [3600.0, -3600.0, JUMP_S + 0.1])
def test_a_jump_of_the_clock_starts_anew(jump: float) -> None:
    schedule = Schedule()
    schedule.arrive(0.0, 10.0)
    schedule.arrive(0.04, 10.04 + jump)
    assert schedule.due(0.04) == pytest.approx(10.04 + jump + CUSHION_S)


def run(body: object) -> None:
    asyncio.run(asyncio.wait_for(body, 10))  # type: ignore[arg-type]


class Time:
    """A clock that a test moves; whoever sleeps on the loop goes on after the test yields."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_frames_and_audio_leave_in_order_and_none_is_early() -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        playout = Playout(loop.time)
        playout.attach()
        for index in range(5):
            playout.put(shown(index), heard(index))
        for index in range(5):
            frame, sound = await asyncio.gather(playout.next_frame(), playout.next_sound())
            assert frame is not None
            assert sound is not None
            assert frame.pts == pytest.approx(index * PERIOD)
            assert sound.start == index * 1920
            assert loop.time() >= playout.schedule.due(frame.pts)
        playout.end()
        assert await playout.next_frame() is None
        assert await playout.next_sound() is None

    run(body())


def test_a_slow_taker_gets_the_newest_frame_and_all_audio() -> None:
    async def body() -> None:
        time = Time()
        playout = Playout(time)
        playout.attach()
        playout.put(shown(0), heard(0))
        time.now = UNEVEN_CUSHION_S
        first = await playout.next_sound()
        assert first is not None
        for index in range(1, 100):
            time.now = index * PERIOD
            playout.put(shown(index), heard(index))
        frame = await playout.next_frame()
        assert frame is not None
        assert frame.pts == pytest.approx(98 * PERIOD)  # number 99 is due a cushion later
        assert playout.dropped == 98
        starts = [first.start, *[(await playout.next_sound()).start for _ in range(99)]]
        assert starts == [1920 * index for index in range(100)]

    run(body())


def test_sound_that_was_due_before_somebody_listens_is_left_out() -> None:
    async def body() -> None:
        time = Time()
        playout = Playout(time)
        playout.attach()
        playout.put(shown(10), Heard(0, np.zeros((11 * 1920, 1), np.float32), 48_000))  # a camera's first frame
        for index in (11, 12):
            playout.put(shown(index), heard(index))
        time.now = UNEVEN_CUSHION_S + PERIOD + 0.019  # a connection takes its time, too
        starts = [(await playout.next_sound()).start for _ in range(2)]
        assert starts == [11 * 1920, 12 * 1920]
        time.now += 5.0  # from now on nothing is
        playout.put(shown(13), heard(13))
        playout.put(shown(14), heard(14))
        assert [(await playout.next_sound()).start for _ in range(2)] == [13 * 1920, 14 * 1920]

    run(body())


def test_a_share_of_sound_is_cut_by_whole_pieces() -> None:
    async def body() -> None:
        time = Time()
        playout = Playout(time)
        playout.attach()
        playout.put(shown(10), Heard(7, np.arange(11 * 1920, dtype=np.float32)[:, None], 48_000))
        time.now = UNEVEN_CUSHION_S
        sound = await playout.next_sound()
        assert sound is not None
        assert sound.start == 7 + 960 * 19  # 7 samples less than 20 pieces were past
        assert sound.samples[0] == 960 * 19

    run(body())


def test_audio_that_nobody_takes_ends_the_stream() -> None:
    async def body() -> None:
        playout = Playout(Time())
        playout.attach()
        for index in range(250):
            playout.put(shown(index), heard(index))
        with pytest.raises(PlayoutOverflowError):
            playout.put(shown(260), heard(260))
        assert playout.waiting_s < 11

    run(body())


def test_nothing_is_kept_for_nobody_and_only_one_may_take() -> None:
    async def body() -> None:
        playout = Playout(Time())
        for index in range(1000):
            playout.put(shown(index), heard(index))
        assert playout.waiting_s == 0
        playout.attach(sound=False)
        for index in range(1000, 2000):
            playout.put(shown(index), heard(index))
        assert playout.waiting_s == 0
        with pytest.raises(InputError, match="already"):
            playout.attach()
        playout.detach()
        playout.attach()

    run(body())


def test_muting_keeps_the_time() -> None:
    async def body() -> None:
        time = Time()
        playout = Playout(time)
        playout.attach()
        for index in range(3):
            playout.put(shown(index), heard(index))
        playout.mute()
        time.now = UNEVEN_CUSHION_S
        sounds = [await playout.next_sound() for _ in range(3)]
        assert [sound.start for sound in sounds] == [0, 1920, 3840]
        assert not any(sound.samples.any() for sound in sounds)

    run(body())


def test_a_taker_that_waits_is_woken_by_the_end() -> None:
    async def body() -> None:
        playout = Playout(asyncio.get_running_loop().time)
        playout.attach()
        waiting = asyncio.gather(playout.next_frame(), playout.next_sound())
        await asyncio.sleep(0.01)
        playout.end()
        assert await waiting == [None, None]

    run(body())
