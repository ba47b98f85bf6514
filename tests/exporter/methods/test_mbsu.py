"""VocabTrim's modelled memory-bound speed-up: its published arithmetic, and its maximum over a replayed grid."""

import itertools

import numpy as np
import pytest

from edgedraft.exporter.methods.mbsu import (
    DRAFT_LENGTHS,
    ParameterCosts,
    maximise_mbsu,
)
from edgedraft.exporter.planning.planner import candidate_sizes
from edgedraft.exporter.planning.ranking import rank_tokens
from edgedraft.exporter.planning.scan import replay_function
from edgedraft.runtime.base.errors import EdgedraftError

VOCAB = 5000


@pytest.fixture(scope="module")
def replayed(greedy_trace, make_counts):
    """A drafter that likes the target's token best in about half of 300 positions."""
    rng = np.random.default_rng(3)
    preferences = np.argsort(rng.random((300, VOCAB)), axis=1)
    targets = preferences[np.arange(300), rng.integers(0, 2, 300)]
    trace = greedy_trace(preferences, targets, np.array([0, 120, 300]))
    return replay_function(trace, rank_tokens([make_counts(np.bincount(targets, minlength=VOCAB))], []))


@pytest.mark.parametrize(("draft_length", "gain"), [(2, "1.160"), (3, "1.227"), (4, "1.286"), (5, "1.339")])
def test_gain_ceilings_of_the_paper(replayed, draft_length, gain):
    """Where trimming costs no acceptance it raises MBSU by (c·γ + 1) / (c'·γ + 1), with the paper's c and c'."""
    before, after = (
        maximise_mbsu(
            replayed, ParameterCosts(drafter=lambda _, c=c: c, target=100_000), (VOCAB,), (draft_length,)
        ).best
        for c in (15_984, 6_874)
    )
    assert (before.cost_ratio, after.cost_ratio) == (0.15984, 0.06874)
    assert f"{after.mbsu / before.mbsu:.3f}" == gain


def test_the_best_option_is_the_best_of_the_grid(replayed):
    costs = ParameterCosts(drafter=lambda size: 1_000_000 + 512 * size, target=40_000_000)
    sizes = candidate_sizes(VOCAB)
    found = maximise_mbsu(replayed, costs, sizes)
    grid = {
        (size, length): replayed(size, length).block_efficiency / ((1_000_000 + 512 * size) / 40_000_000 * length + 1)
        for size, length in itertools.product(sizes, range(1, 9))
    }
    best = found.best
    assert best == found.options[0]
    assert {(each.draft_vocab_size, each.draft_length): each.mbsu for each in found.options} == pytest.approx(grid)
    assert best.mbsu == pytest.approx(max(grid.values()))
    assert (best.draft_vocab_size, best.draft_length) == max(grid, key=grid.get)
    assert best.cost_ratio == (1_000_000 + 512 * best.draft_vocab_size) / 40_000_000
    assert [each.mbsu for each in found.options] == sorted((each.mbsu for each in found.options), reverse=True)


def test_a_free_drafter_drafts_as_long_as_it_helps_and_a_costly_one_once(replayed):
    free, costly = (
        maximise_mbsu(replayed, ParameterCosts(drafter=lambda size: 1, target=target), (VOCAB,)).best
        for target in (10**12, 2)
    )
    assert free.block_efficiency == replayed(VOCAB, DRAFT_LENGTHS[-1]).block_efficiency
    assert costly.draft_length == 1


def test_an_empty_grid_and_an_empty_trace_are_refused(replayed, greedy_trace):
    costs = ParameterCosts(drafter=lambda size: size, target=10)
    with pytest.raises(EdgedraftError, match=r"^mbsu: expected at least one size and one draft length, got none$"):
        maximise_mbsu(replayed, costs, ())
    trace = greedy_trace(np.zeros((0, VOCAB), dtype=np.int64), np.zeros(0, dtype=np.int64), np.array([0, 0]))
    with pytest.raises(EdgedraftError) as raised:
        maximise_mbsu(replay_function(trace, np.arange(VOCAB)), costs, (VOCAB,))
    assert str(raised.value) == (
        "mbsu: expected answers of two tokens or more, got only shorter ones"
        " - allow longer answers or use other prompts"
    )


def test_a_target_without_parameters_is_refused():
    with pytest.raises(EdgedraftError, match=r"^mbsu: expected a target of at least one parameter, got 0$"):
        ParameterCosts(drafter=lambda size: size, target=0)
