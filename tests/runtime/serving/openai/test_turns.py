"""Turns are taken one at a time, first come first served; waiting does not count as time of a pass."""

import threading
import time

from edgedraft.runtime.serving.openai.turns import Turns, TurnTaker


def test_answers_take_turns_in_order_and_never_together():
    turns, order, inside, together = Turns(), [], [0], []
    start = threading.Barrier(4)

    def run(number):
        start.wait()
        with TurnTaker(turns) as taker:
            for _ in range(30):
                inside[0] += 1
                together.append(inside[0])
                order.append(number)
                time.sleep(0.0005)
                inside[0] -= 1
                taker.next()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert set(together) == {1}
    assert [order.count(number) for number in range(4)] == [30] * 4
    # Once all wait for turns, each has one before anyone has a second.
    for place in range(20, 80):
        assert len(set(order[place : place + 4])) == 4


def test_an_answer_alone_does_not_wait():
    with TurnTaker(Turns()) as taker:
        started = time.perf_counter()
        for _ in range(1000):
            taker.next()
        assert time.perf_counter() - started < 5


def test_the_clock_stands_still_while_others_have_their_turn():
    turns = Turns()
    with TurnTaker(turns) as one:
        waiting = threading.Thread(target=lambda: _hold(turns, 0.2))
        waiting.start()
        while not turns._waiting:
            time.sleep(0.001)
        began, wall = one.clock(), time.perf_counter()
        one.next()
        assert time.perf_counter() - wall >= 0.2
        assert one.clock() - began < 0.1
        waiting.join()


def _hold(turns, seconds):
    with TurnTaker(turns):
        time.sleep(seconds)
