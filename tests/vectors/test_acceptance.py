"""Greedy choices, and drafts that are kept or replaced: what TypeScript computes too."""

import numpy as np
import pytest

from edgedraft.runtime.core.sampling import draw, keeps, residual, verify_draws
from edgedraft.runtime.core.verify import accepted_prefix, confidence, greedy_choices, log_probability

HAIR = 2.0**-30
FLOAT32 = 1e-6  # exponentials of float32 logits are float32 themselves


class Script:
    """A generator that gives the numbers of a script, then zeros."""

    def __init__(self, *numbers: float) -> None:
        self.left = list(numbers)

    def random(self) -> float:
        return self.left.pop(0) if self.left else 0.0


def shares(vectors, name):
    return next(np.array(each["shares"]) for each in vectors["distributions"] if each["name"] == name)


@pytest.mark.section("rows")
def test_a_row_of_logits(case):
    row = np.array(case["logits"], dtype=np.float32)
    assert greedy_choices(row[None]) == [case["choice"]]
    assert confidence(row) == pytest.approx(np.exp(case["log_probabilities"][case["choice"]]), rel=FLOAT32)
    found = [log_probability(row, token_id) for token_id in range(len(row))]
    assert found == pytest.approx(case["log_probabilities"], rel=FLOAT32)


@pytest.mark.section("refused_rows")
def test_a_row_without_a_best(case, refused):
    with refused(case["message"]):
        greedy_choices(np.array([case["logits"]], dtype=np.float32), case["by"])


@pytest.mark.section("prefixes")
def test_an_accepted_prefix(case):
    assert accepted_prefix(list(case["draft"]), list(case["target"])) == case["accepted"]


@pytest.mark.section("distributions")
def test_draws_change_at_the_edges(case):
    distribution = np.array(case["shares"])
    tokens = [int(token_id) for token_id in np.flatnonzero(distribution)]
    starts, ends = [0.0, *case["edges"]], [*case["edges"], 1.0]
    for token_id, start, end in zip(tokens, starts, ends, strict=True):
        assert draw(distribution, Script(start)) == draw(distribution, Script(end - HAIR)) == token_id


@pytest.mark.section("pairs")
def test_a_draft_is_kept_by_its_share_and_replaced_from_the_rest(case, vectors):
    target, drafter = shares(vectors, case["by_target"]), shares(vectors, case["by_drafter"])
    np.testing.assert_array_equal(residual(target, drafter), np.array(case["residual"]))
    found = [kept_below(token_id, target, drafter) for token_id in range(len(target))]
    assert found == pytest.approx(case["keep"], abs=HAIR)


def kept_below(token_id, target, drafter):
    """Find the number below which a uniform keeps the draft, by halving 0..1."""
    low, high = 0.0, 1.0
    while high - low > HAIR / 4:
        middle = (low + high) / 2
        kept = keeps(token_id, target, drafter, Script(middle))
        low, high = (middle, high) if kept else (low, middle)
    return low


@pytest.mark.section("rounds")
def test_a_round(case, vectors):
    target = [shares(vectors, name) for name in case["by_target"]]
    drafter = [None if name is None else shares(vectors, name) for name in case["by_drafter"]]

    def committed(uniforms: list[float]) -> list[int]:
        script = Script(*uniforms)
        tokens = verify_draws(case["draft"], drafter, target, script)
        assert len(tokens) <= len(case["draft"]) or not script.left, "a uniform was left over"
        return tokens

    below = [uniform - HAIR for uniform in case["uniforms"]]
    assert committed(below) == case["committed"]
    for place, expected in enumerate(case["raised"]):
        raised = case["uniforms"][place] + HAIR
        assert committed([*below[:place], raised, *below[place + 1 :]]) == expected
    assert len(case["raised"]) == len(below)
