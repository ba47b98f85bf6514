"""Measuring steps: cases take turns, the first turn is not counted, and only the pass itself is timed."""

import numpy as np
import pytest

from edgedraft.devices.steps import DRAFTER, TARGET, StepCase, measure_steps
from edgedraft.runtime.core.model import Pass

CONTEXT = list(range(40, 60))


class FakeClock:
    """Time that passes only when a fake model lets it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class SlowModel:
    """A `LanguageModel` whose n-th timed pass takes the n-th scripted time; rewinding takes a thousand seconds."""

    context_length = 1000

    def __init__(self, name: str, clock: FakeClock, log: list, seconds: list[float]) -> None:
        self._name, self._clock, self._log, self._seconds = name, clock, log, list(seconds)
        self.length = 0

    def read(self, token_ids):
        if self.length == 0:
            self._clock.now += 5000.0
        else:
            self._clock.now += self._seconds.pop(0)
        self._log.append((self._name, self.length, list(token_ids)))
        self.length += len(token_ids)
        return Pass(logits=np.zeros((len(token_ids), 4), np.float32))

    def rewind(self, length: int) -> None:
        assert length <= self.length
        self._clock.now += 1000.0
        self.length = length


def case(model: str, rows: int, weight_bytes: int = 7) -> StepCase:
    return StepCase(model=model, role=model, precision="int4", weight_bytes=weight_bytes, rows=rows)


def measure(cases, seconds, repeats, progress=lambda *facts: None):
    clock, log = FakeClock(), []
    models = {name: SlowModel(name, clock, log, times) for name, times in seconds.items()}
    return measure_steps(models, cases, CONTEXT, clock, repeats, progress), log


def test_cases_take_turns_after_every_model_read_the_context():
    cases = [case(DRAFTER, 1), case(TARGET, 1), case(TARGET, 3)]
    _, log = measure(cases, {DRAFTER: [1.0] * 3, TARGET: [1.0] * 6}, repeats=2)
    turn = [(DRAFTER, 20, CONTEXT[:1]), (TARGET, 20, CONTEXT[:1]), (TARGET, 20, CONTEXT[:3])]
    assert log == [(DRAFTER, 0, CONTEXT), (TARGET, 0, CONTEXT), *turn * 3]


def test_a_pass_comes_after_the_one_that_precedes_it_when_decoding_untimed():
    plain = StepCase(model=TARGET, role=TARGET, precision="int4", weight_bytes=7, rows=1, after=TARGET)
    block = StepCase(model=TARGET, role=TARGET, precision="int4", weight_bytes=7, rows=3, after=DRAFTER)
    steps, log = measure([plain, block], {TARGET: [50.0, 1.0, 2.0] * 2, DRAFTER: [70.0] * 2}, repeats=1)
    one, three = CONTEXT[:1], CONTEXT[:3]
    turn = [(TARGET, 20, one), (TARGET, 20, one), (DRAFTER, 20, one), (TARGET, 20, three)]
    assert log[2:] == turn * 2
    assert [step.seconds for step in steps] == [1.0, 2.0]


def test_medians_and_quartiles_leave_out_the_first_turn():
    drafter, target = [99.0, 1.0, 2.0, 3.0, 4.0, 5.0], [77.0, 8.0, 4.0, 6.0, 2.0, 0.0]
    steps, _ = measure([case(DRAFTER, 2, 11), case(TARGET, 4, 22)], {DRAFTER: drafter, TARGET: target}, repeats=5)
    first, second = steps
    assert (first.role, first.weight_bytes, first.rows) == (DRAFTER, 11, 2)
    assert (first.seconds, first.seconds_low, first.seconds_high) == (3.0, 2.0, 4.0)
    assert (second.role, second.weight_bytes, second.rows) == (TARGET, 22, 4)
    assert (second.seconds, second.seconds_low, second.seconds_high) == (4.0, 2.0, 6.0)


def test_cases_of_one_model_are_kept_apart():
    seconds = [9.0, 9.0, 1.0, 3.0, 1.0, 3.0]
    steps, _ = measure([case(TARGET, 1), case(TARGET, 2)], {TARGET: seconds}, repeats=2)
    assert [(each.rows, each.seconds) for each in steps] == [(1, 1.0), (2, 3.0)]


def test_role_and_precision_are_the_cases_own():
    trimmed = StepCase(model="trimmed", role=DRAFTER, precision="int8", weight_bytes=3, rows=1)
    ((step,), _) = measure([trimmed], {"trimmed": [1.0] * 2}, repeats=1)
    assert (step.role, step.precision) == (DRAFTER, "int8")


def test_progress_counts_the_turns():
    seen = []
    measure([case(TARGET, 1)], {TARGET: [1.0] * 4}, 3, lambda *facts: seen.append(facts))
    assert seen == [("step-time turns", done, 4) for done in (1, 2, 3, 4)]


def test_a_model_that_has_read_before_starts_afresh():
    clock, log = FakeClock(), []
    model = SlowModel(TARGET, clock, log, [1.0, 1.0])
    model.read([1, 2, 3])
    measure_steps({TARGET: model}, [case(TARGET, 1)], CONTEXT, clock, 1)
    assert log[1] == (TARGET, 0, CONTEXT)


@pytest.mark.parametrize("rows", [1, 2, 9, 20])
def test_a_pass_reads_as_many_tokens_as_the_case_says(rows):
    _, log = measure([case(TARGET, rows)], {TARGET: [1.0, 1.0]}, repeats=1)
    assert [len(tokens) for _, _, tokens in log[1:]] == [rows, rows]
