"""Targets that share passes: what reads together, what reads alone, and when sharing is not worth it."""

from random import Random

import numpy as np
import pytest

from edgedraft.runtime.core.model import Pass
from edgedraft.runtime.serving.openai.joint import MOST_TOKENS, JointTargets, measured_costs, spans
from edgedraft.runtime.serving.openai.turns import Turns
from tests.runtime.serving.openai.turn_threads import run_together

VOCAB, CONTEXT = 50, 200


def scores(tokens, count):
    """Logits of the last ``count`` tokens of a text."""
    ends = range(len(tokens) - count + 1, len(tokens) + 1)
    return np.array([np.roll(np.arange(VOCAB), sum(tokens[:end])) for end in ends], dtype=np.float32)


class Row:
    context_length = CONTEXT

    def __init__(self, batch):
        self.token_ids, self.batch = [], batch

    @property
    def length(self):
        return len(self.token_ids)

    def read(self, token_ids):
        self.batch.passes.append({self.batch.rows.index(self): list(token_ids)})
        self.batch.now += self.batch.seconds(1)
        self.token_ids += token_ids
        return Pass(logits=scores(self.token_ids, len(token_ids)))

    def rewind(self, length):
        del self.token_ids[length:]


class Together:
    """A batch of texts whose passes take ``seconds(rows)`` of its own clock."""

    def __init__(self, rows, seconds=lambda rows: 1.0, rounding=0.0):
        self.rows = [Row(self) for _ in range(rows)]
        self.passes, self.now, self.seconds, self.rounding = [], 0.0, seconds, rounding

    def takes(self, token_ids):
        return all(self.rows[row].length + len(ids) <= 60 for row, ids in token_ids.items())

    def read(self, token_ids):
        if any(13 in ids for ids in token_ids.values()):
            raise OSError("thirteen")
        self.passes.append({row: list(ids) for row, ids in token_ids.items()})
        self.now += self.seconds(max(token_ids) - min(token_ids) + 1)
        for row, ids in token_ids.items():
            self.rows[row].token_ids += ids
        return {row: scores(self.rows[row].token_ids, len(ids)) + self.rounding for row, ids in token_ids.items()}


@pytest.mark.parametrize(
    ("rows", "seconds", "groups"),
    [
        ([0, 1, 2, 3], lambda rows: 1 + 0.1 * rows, [[0, 1, 2, 3]]),
        ([0, 1, 2, 3], lambda rows: rows, [[0], [1], [2], [3]]),
        ([0, 5, 6], lambda rows: 1 + 0.3 * rows, [[0], [5, 6]]),
        ([0, 2], lambda rows: 1 + 0.3 * rows, [[0, 2]]),
        ([3], lambda rows: 1, [[3]]),
        ([], lambda rows: 1, []),
    ],
)
def test_a_row_joins_a_pass_that_costs_less_than_its_own(rows, seconds, groups):
    assert spans(rows, seconds) == groups


def test_many_threads_read_their_own_texts():
    batch, turns, wrong = Together(4), Turns(), []
    targets = JointTargets(batch, turns, lambda rows: 1.0)

    def answer(model, seed):
        random, text = Random(seed), []
        with turns.taken():
            for _ in range(40):
                turns.pass_on()
                ids = [random.randrange(14, VOCAB) for _ in range(random.choice([1, 2, 3, MOST_TOKENS + 1]))]
                text += ids
                if not np.array_equal(model.read(ids).logits, scores(text, len(ids))) or model.token_ids != text:
                    wrong.append(text)
                del text[random.randrange(max(len(text) - 5, 0), len(text) + 1) :]
                if len(text) > CONTEXT - 60:
                    text.clear()
                model.rewind(len(text))

    run_together(turns, answer, [(targets.new_model(), seed) for seed in range(4)])
    assert wrong == []
    assert any(len(each) > 1 for each in batch.passes)
    assert all(len(each) == 1 for each in batch.passes if max(map(len, each.values())) > MOST_TOKENS)


def test_an_error_ends_those_alone_whose_pass_it_was():
    batch, turns, ended = Together(4), Turns(), {}
    # Neighbours share a pass, others do not.
    targets = JointTargets(batch, turns, lambda rows: 1.0 if rows <= 2 else 9.0)

    def answer(row, model, ids):
        with turns.taken():
            try:
                ended[row] = len(model.read(ids).logits)
            except OSError as error:
                ended[row] = str(error)

    asked = [[20], [13, 21], [22, 23], [24]]
    run_together(turns, answer, [(row, targets.new_model(), ids) for row, ids in enumerate(asked)])
    assert ended == {0: "thirteen", 1: "thirteen", 2: 2, 3: 1}


def test_passes_are_shared_where_one_for_all_is_faster_and_gives_the_same_bits():
    batch = Together(4, lambda rows: 1 + 0.1 * (rows - 1))
    costs = measured_costs(batch, 3, lambda: batch.now)
    assert [costs(rows) for rows in (1, 2, 4)] == pytest.approx([1.0, 1.1, 1.3])
    assert [row.length for row in batch.rows] == [0] * 4
    slow = Together(4, lambda rows: rows)
    assert measured_costs(slow, 3, lambda: slow.now) is None
    other = Together(4, rounding=1e-6)
    assert measured_costs(other, 3, lambda: other.now) is None
    alone = Together(1)
    assert measured_costs(alone, 3, lambda: alone.now) is None
