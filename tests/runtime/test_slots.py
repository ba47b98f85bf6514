"""Answers that run at once never share a memory; one that goes on from another gets its memory back."""

import threading

import pytest

from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.sources import ModelSources
from edgedraft.runtime.slots import IDLE_SLOTS, SlotPool


class FakeGraph:
    """Opens a scripted model whenever one is asked for."""

    def __init__(self, open_one):
        self._open_one, self.opened = open_one, []

    def new_model(self):
        self.opened.append(self._open_one())
        return self.opened[-1]


@pytest.fixture
def pool(scripted, by_hash, make_plan):
    graphs = [FakeGraph(lambda: scripted(by_hash(1, 9), 9)) for _ in range(2)]
    sources = ModelSources(graph=graphs[1], index_map=IndexMap.identity(9))
    pool = SlotPool(graphs[0], sources, make_plan())
    pool.opened = graphs[0].opened
    return pool


def answer(pool, prompt, tokens):
    """Take a slot for ``prompt`` and leave ``tokens`` in its models."""
    with pool.taken(prompt) as slot:
        slot.clear()
        slot.target.read(tokens)
        slot.source.model.read(tokens)
        return slot


def test_answers_at_once_get_slots_of_their_own(pool):
    together, seen = threading.Barrier(4, timeout=30), []

    def run():
        with pool.taken([1, 2]) as slot:
            seen.append(slot)
            together.wait()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(model) for slot in seen for model in (slot.target, slot.source, slot.pass_times)}) == 12


def test_many_threads_never_hold_one_slot_twice(pool):
    held, faults, lock = set(), [], threading.Lock()

    def run(number):
        for turn in range(50):
            with pool.taken([number, turn]) as slot:
                with lock:
                    faults.extend([slot] if id(slot) in held else [])
                    held.add(id(slot))
                slot.target.rewind(0)
                slot.target.read([number, turn])
                faults.extend([] if slot.target.tokens == [number, turn] else [slot])
                with lock:
                    held.remove(id(slot))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_an_answer_after_another_goes_on_in_its_slot(pool):
    first = answer(pool, [1, 2], [1, 2, 3])
    with pool.taken([1, 2, 3, 4]) as slot:
        assert slot is first
        assert slot.target.tokens == slot.source.model.tokens == [1, 2, 3]
    assert len(pool.opened) == 1


@pytest.mark.parametrize(("prompt", "place"), [([1, 2, 9], 0), ([1, 5, 6, 7], 1), ([4], 0)])
def test_the_longest_shared_beginning_wins(pool, prompt, place):
    with pool.taken() as one, pool.taken() as other:
        one.target.read([1, 2, 3])
        other.target.read([1, 5, 6])
    slots = [other, one]  # the inner one was given back first
    expected = {0: one, 1: other}[place] if prompt != [4] else slots[0]
    with pool.taken(prompt) as slot:
        assert slot is expected


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_on_the_way_empties_the_slot_and_keeps_it(pool, error):
    answer(pool, [1], [1, 2, 3])
    seen = []

    def fail():
        with pool.taken([1, 2, 3]) as slot:
            seen.append(slot)
            slot.target.read([4])
            raise error

    with pytest.raises(error):
        fail()
    with pool.taken([1, 2, 3]) as again:
        assert again is seen[0]
        assert again.target.tokens == again.source.model.tokens == []


def test_leaving_an_answer_early_keeps_what_was_read(pool):
    def rounds():
        with pool.taken([1]) as slot:
            slot.target.read([1, 2])
            yield slot
            raise AssertionError("went on")

    running = rounds()
    slot = next(running)
    running.close()
    with pool.taken([1, 2]) as again:
        assert again is slot
        assert again.target.tokens == [1, 2]


def test_few_idle_slots_are_kept_and_the_rest_is_freed(pool):
    many = IDLE_SLOTS + 3

    def nested(count):
        if count:
            with pool.taken([count]):
                nested(count - 1)

    nested(many)
    assert len(pool.opened) == many
    nested(many)
    assert len(pool.opened) == 2 * many - IDLE_SLOTS


def test_a_slot_keeps_its_pass_times_and_a_new_one_begins_with_the_plans(pool, make_plan):
    slot = answer(pool, [1], [1])
    slot.pass_times.target.record(1, 9.0)
    with pool.taken([1]) as again, pool.taken([1]) as new:
        assert again.pass_times.target.seconds(1) == 9.0
        assert new.pass_times.target.seconds(1) == make_plan().target_pass_seconds[0]
        assert new.pass_times.acceptance_rate == make_plan().predicted_acceptance_rate
