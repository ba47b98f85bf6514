"""Turns are taken one at a time, first come first served; a shared pass runs when nobody can go on without it."""

import threading
import time

from edgedraft.runtime.serving.openai.turns import Turns
from tests.runtime.serving.openai.turn_threads import run_together


def test_answers_take_turns_in_order_and_never_together():
    turns, order, inside, together = Turns(), [], [0], []

    def run(number):
        with turns.taken():
            for _ in range(30):
                inside[0] += 1
                together.append(inside[0])
                order.append(number)
                time.sleep(0.0005)
                inside[0] -= 1
                turns.pass_on()

    run_together(turns, run, [(number,) for number in range(4)])
    assert set(together) == {1}
    assert [order.count(number) for number in range(4)] == [30] * 4
    # Once all wait for turns, each has one before anyone has a second.
    for place in range(20, 80):
        assert len(set(order[place : place + 4])) == 4


def test_an_answer_alone_does_not_wait():
    turns, shared = Turns(), []
    with turns.taken():
        started = time.perf_counter()
        for _ in range(1000):
            turns.pass_on()
            turns.share(1, shared.extend)
        assert time.perf_counter() - started < 5
    assert shared == [1] * 1000


def test_the_clock_stands_still_while_others_have_their_turn():
    turns = Turns()
    with turns.taken():
        waiting = threading.Thread(target=lambda: hold(turns, 0.2))
        waiting.start()
        while not turns._waiting:
            time.sleep(0.001)
        began, wall = turns.clock(), time.perf_counter()
        turns.pass_on()
        assert time.perf_counter() - wall >= 0.2
        assert turns.clock() - began < 0.1
        waiting.join()


def hold(turns, seconds):
    with turns.taken():
        time.sleep(seconds)


def test_the_clock_counts_what_is_charged_of_a_shared_pass():
    turns = Turns()
    with turns.taken():
        began = turns.clock()
        turns.share(1, lambda parts: time.sleep(0.2))
        assert turns.clock() - began < 0.1
        turns.charge(5.0)
        assert 5.0 <= turns.clock() - began < 5.1


def test_all_who_read_share_each_pass_and_one_at_a_time_goes_on():
    turns, passes, inside, together = Turns(), [], [0], []

    def run(number):
        with turns.taken():
            for _ in range(50):
                inside[0] += 1
                together.append(inside[0])
                time.sleep(0.0002)
                inside[0] -= 1
                turns.share(number, passes.append)
                turns.pass_on()

    run_together(turns, run, [(number,) for number in range(4)])
    assert set(together) == {1}
    assert sorted(number for parts in passes for number in parts) == sorted([*range(4)] * 50)
    assert sum(len(parts) == 4 for parts in passes) >= 40


def test_a_long_prompt_is_read_in_turn_with_shared_passes():
    turns, done = Turns(), []

    def run(number):
        with turns.taken():
            for _ in range(40):
                turns.pass_on()
                if number == 2:
                    done.append("piece")
                    time.sleep(0.0005)
                else:
                    turns.share(number, lambda parts: done.append(len(parts)))

    run_together(turns, run, [(number,) for number in range(3)])
    middle = done[10:60]
    assert middle.count(2) >= 20
    assert max(len(run) for run in "".join("p" if each == "piece" else "s" for each in middle).split("s")) == 1


def test_who_leaves_lets_a_shared_pass_run():
    turns, passes = Turns(), []
    with turns.taken():
        reader = threading.Thread(target=lambda: share_once(turns, passes))
        reader.start()
        while not turns._waiting:
            time.sleep(0.001)
    reader.join(30)
    assert passes == [["part"]]


def share_once(turns, passes):
    with turns.taken():
        turns.share("part", passes.append)


def test_an_error_of_a_shared_pass_leaves_nobody_waiting():
    turns, ended = Turns(), []

    def fail(parts):
        if len(parts) > 1:
            raise OSError("no memory")

    def run(number):
        try:
            with turns.taken():
                turns.share(number, fail)
                ended.append("well")
        except OSError as error:
            ended.append(str(error))

    run_together(turns, run, [(number,) for number in range(3)])
    assert sorted(ended) == ["no memory", "well", "well"]
