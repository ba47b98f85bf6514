"""The law of held-out coverage: each group is judged by a list that was ranked without it, token by token."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.calibration.data.samples import GROUPS
from edgedraft.calibration.sample_size.learning_curve import covered_by_group, learning_curve
from edgedraft.runtime.base.errors import EdgedraftError

VOCAB = 12
FIRST = (5,)

groups = st.lists(st.lists(st.integers(0, 3), min_size=VOCAB, max_size=VOCAB), min_size=2, max_size=GROUPS).filter(
    lambda rows: sum(any(row) for row in rows) >= 2
)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def held_out_coverage(counts, size, first_ids):
    """The last point of a curve: every group is judged by a list ranked on all the others."""
    return learning_curve(counts, size, first_ids, rng()).points[-1].coverage


def covered_naively(ranking: np.ndarray, judged: np.ndarray, size: int) -> list[int]:
    """Group by group: sort the tokens of the other groups, take the first, count what they hold."""
    covered = []
    for group in range(len(judged)):
        others = [sum(row[token] for i, row in enumerate(ranking) if i != group) for token in range(VOCAB)]
        order = sorted(range(VOCAB), key=lambda token: (token not in FIRST, -others[token], token))
        if judged[group].any():
            covered.append(int(judged[group][order[:size]].sum()))
    return covered


# --- the law ---------------------------------------------------------------------------------------------------------


@given(rows=groups, others=groups, size=st.integers(1, VOCAB))
@settings(max_examples=50, deadline=None)
def test_every_group_is_judged_by_the_others(make_counts, rows, others, size):
    listed, judged = make_counts(others), make_counts(rows)
    got = covered_by_group([listed], judged, (size, VOCAB), FIRST)
    assert got[0].tolist() == covered_naively(listed.by_group, judged.by_group, size)
    assert got[1].sum() == judged.tokens


@given(rows=groups, size=st.integers(1, VOCAB))
@settings(max_examples=50, deadline=None)
def test_held_out_coverage_is_the_share_of_all_tokens(make_counts, rows, size):
    counts = make_counts(rows)
    got = held_out_coverage(counts, size, FIRST)
    assert got.value == sum(covered_naively(counts.by_group, counts.by_group, size)) / counts.tokens
    assert 0 <= got.low <= got.high <= 1


@given(rows=groups)
def test_coverage_grows_with_the_list_up_to_everything(make_counts, rows):
    counts = make_counts(rows)
    covered = covered_by_group([counts], counts, tuple(range(1, VOCAB + 1)), FIRST)
    assert (np.diff(covered, axis=0) >= 0).all()
    assert held_out_coverage(counts, VOCAB, FIRST).value == 1


@given(rows=groups, data=st.data(), size=st.integers(1, VOCAB))
@settings(max_examples=30, deadline=None)
def test_shards_may_be_merged_in_any_order(make_counts, rows, data, size):
    shards = [make_counts(np.eye(len(rows), dtype=np.int64)[[i]].T * rows[i]) for i in range(len(rows))]
    shuffled = data.draw(st.permutations(shards))
    assert learning_curve(sum_of(shards), size, FIRST, rng()) == learning_curve(sum_of(shuffled), size, FIRST, rng())


def sum_of(shards):
    whole = shards[0]
    for shard in shards[1:]:
        whole = whole + shard
    return whole


def test_a_prompt_does_not_vouch_for_itself(make_counts):
    own_words = np.eye(VOCAB, dtype=np.int64)
    assert held_out_coverage(make_counts(own_words), 3, ()).value < 0.3
    shared_words = np.tile([5, 4, 3] + [0] * (VOCAB - 3), (VOCAB, 1))
    assert held_out_coverage(make_counts(shared_words), 3, ()).value == 1


# --- the curve -------------------------------------------------------------------------------------------------------


@given(rows=groups, size=st.integers(1, VOCAB))
@settings(max_examples=50, deadline=None)
def test_the_curve_doubles_its_prompts_up_to_all_but_one_group(make_counts, rows, size):
    counts = make_counts(rows)
    filled = int(counts.by_group.any(axis=1).sum())
    curve = learning_curve(counts, size, FIRST, rng())
    assert curve.size == size
    assert len(curve.points) == 1 + min(4, int(np.log2(filled - 1)))
    assert curve.points[-1].prompts == filled - 1
    for fewer, more in zip(curve.points[:-1], curve.points[1:], strict=True):
        assert more.prompts / fewer.prompts == pytest.approx(2, rel=0.1)
    if len(curve.points) == 1:
        assert curve.last_gain is None
    else:
        rise = curve.points[-1].coverage.value - curve.points[-2].coverage.value
        assert curve.last_gain.value == pytest.approx(rise)


def test_more_prompts_cover_more_of_a_wide_domain(make_counts):
    draw = np.random.default_rng(1)
    shares = draw.permutation(1 / np.arange(1, 2001))
    counts = make_counts(draw.poisson(200 * shares / shares.sum(), (GROUPS, 2000)))
    covered = [point.coverage.value for point in learning_curve(counts, 300, (), rng()).points]
    assert len(covered) == 5
    assert covered == sorted(covered)
    assert covered[-1] > covered[0] + 0.05


def test_the_interval_of_the_last_gain_is_paired(make_counts):
    draw = np.random.default_rng(2)
    wordy = draw.integers(1, 60, GROUPS)[:, None]
    counts = make_counts(draw.poisson(wordy * (1 / np.arange(1, 501)), (GROUPS, 500)))
    curve = learning_curve(counts, 100, (), rng())
    gain, coverage = curve.last_gain, curve.points[-1].coverage
    assert gain.low <= gain.value <= gain.high
    assert gain.high - gain.low < coverage.high - coverage.low


# --- what is refused -------------------------------------------------------------------------------------------------


def test_one_group_cannot_be_held_out(make_counts):
    with pytest.raises(EdgedraftError) as error:
        learning_curve(make_counts([1, 2, 3]), 2, (), rng())
    rule = "held-out coverage: expected prompts in at least two groups"
    assert str(error.value) == f"{rule}, got 1 prompts in 1 - give more prompts"


@pytest.mark.parametrize("size", [0, 4])
def test_a_list_has_one_token_up_to_all(make_counts, size):
    with pytest.raises(EdgedraftError, match=rf"^draft vocabulary size: expected 1\.\.3, got {size}$"):
        learning_curve(make_counts([[1, 2, 3], [1, 0, 0]]), size, (), rng())
