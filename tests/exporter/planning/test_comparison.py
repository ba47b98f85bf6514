"""The law of comparison: a domain's list serves itself without loss, a foreign one does not, the full vocabulary does.

Domains are Zipf's law over tokens that they share in part; the drafter of a trace likes the target's token best mostly.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.calibration.data.samples import GROUPS
from edgedraft.exporter.planning.comparison import (
    KEPT_BLOCK_EFFICIENCY,
    LOST_COVERAGE,
    ComparisonSettings,
    Domain,
    ListScore,
    compare,
)
from edgedraft.exporter.planning.ranking import rank_tokens, ranks_of
from edgedraft.exporter.planning.replay import acceptance_windows, replay
from edgedraft.runtime.base.errors import EdgedraftError

VOCAB, END = 600, 599
SIZES = (16, 64, 150, 400, VOCAB)
SETTINGS = ComparisonSettings(sizes=SIZES, draft_length=3, first_ids=(END,))


def shares_of(start: int, active: int = 200) -> np.ndarray:
    """Shares of a domain whose tokens begin at ``start``: two starts far apart share none, near ones share most."""
    shares = np.zeros(VOCAB)
    ids = start + np.random.default_rng(1).permutation(active)
    shares[ids] = 1 / np.arange(1, active + 1)
    shares[END] = 0.05 * shares.sum()
    return shares / shares.sum()


def rows_of(shares: np.ndarray, seed: int, tokens: int = 400) -> np.ndarray:
    return np.random.default_rng(seed).poisson(tokens * shares, (GROUPS, VOCAB))


@pytest.fixture(scope="module")
def domain(make_counts, greedy_trace):
    """``domain("chat", start)``: a calibration of the domain; ``seed`` draws other prompts from it."""

    def trace(shares: np.ndarray, seed: int):
        rng = np.random.default_rng([seed, 9])
        targets = rng.choice(VOCAB, 900, p=shares)
        scores = rng.random((900, VOCAB)) + 3 * shares / shares.max()
        scores[np.arange(900), targets] += np.where(rng.random(900) < 0.75, 9, 0)
        return greedy_trace(np.argsort(-scores, axis=1), targets, np.arange(0, 901, 30))

    def make(name: str, start: int, *, seed: int = 0, traced: bool = True, tokens: int = 400) -> Domain:
        shares = shares_of(start)
        counts = make_counts(rows_of(shares, seed, tokens))
        return Domain(name=name, ranking=(counts,), judged=counts, trace=trace(shares, seed) if traced else None)

    return make


def compared(listed: Domain, judged: Domain, settings: ComparisonSettings = SETTINGS):
    return compare(listed, judged, settings, np.random.default_rng(0))


def values(score: ListScore) -> tuple:
    return score.coverage.value, score.acceptance_rate, score.block_efficiency


# --- no loss ---------------------------------------------------------------------------------------------------------


def test_a_domain_serves_itself_without_any_loss(domain):
    chat = domain("chat", 0)
    for got in compared(chat, chat):
        assert got.serves
        assert got.lost_coverage.value == got.lost_coverage.low == got.lost_coverage.high == 0
        assert got.kept_efficiency.value == got.kept_efficiency.low == 1
        assert values(got.listed) == values(got.own)


def test_other_prompts_of_the_same_domain_lose_nothing_within_the_interval(domain):
    for got in compared(domain("code", 0, seed=1), domain("chat", 0)):
        assert got.serves
        assert got.lost_coverage.low - 0.005 <= 0 <= got.lost_coverage.high + 0.005
        assert got.kept_efficiency.low - 0.01 <= 1 <= got.kept_efficiency.high + 0.01


def test_the_full_vocabulary_loses_nothing_whoever_ranked_it(domain):
    got = compared(domain("code", 300), domain("chat", 0))[-1]
    assert got.size == VOCAB
    assert got.serves
    assert got.listed == got.own
    assert got.listed.coverage.value == got.full.coverage.value == 1
    assert got.listed.block_efficiency == got.full.block_efficiency


# --- loss ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("traced", [True, False])
def test_a_domain_that_shares_nothing_does_not_serve(domain, traced):
    for got in compared(domain("code", 300), domain("chat", 0, traced=traced))[:3]:
        assert not got.serves
        assert got.lost_coverage.low > LOST_COVERAGE
        assert got.sentence.startswith("code's list does not serve chat: ")
        assert got.sentence.endswith("; calibrate on chat's prompts")


def test_the_less_two_domains_share_the_more_is_lost(domain):
    chat = domain("chat", 0)
    lost = [compared(domain("code", start), chat)[2] for start in (0, 40, 100, 300)]
    assert [got.lost_coverage.value for got in lost] == sorted(got.lost_coverage.value for got in lost)
    kept = [got.kept_efficiency.value for got in lost]
    assert kept == sorted(kept, reverse=True)
    assert lost[0].serves
    assert not lost[-1].serves


@pytest.mark.parametrize("start", [0, 60, 300])
def test_coverage_grows_with_the_size(domain, start):
    got = compared(domain("code", start), domain("chat", 0))
    for scores in ([each.listed for each in got], [each.own for each in got]):
        covered = [score.coverage.value for score in scores]
        assert covered == sorted(covered)
        assert covered[0] < covered[-1]


# --- what is told ----------------------------------------------------------------------------------------------------


def test_with_a_trace_rates_are_the_replays_own(domain):
    code, chat = domain("code", 60), domain("chat", 0)
    for got in compared(code, chat):
        for score, counts, size in ((got.listed, code, got.size), (got.own, chat, got.size), (got.full, chat, VOCAB)):
            windows = acceptance_windows(chat.trace, ranks_of(rank_tokens(counts.ranking, (END,))))
            expected = replay(windows, size, SETTINGS.draft_length)
            assert score.block_efficiency == expected.block_efficiency
            assert score.acceptance_rate == expected.acceptance_rate
        assert got.kept_efficiency.value == pytest.approx(got.listed.block_efficiency / got.own.block_efficiency)
        assert got.kept_efficiency.low <= got.kept_efficiency.value <= got.kept_efficiency.high
        told = f"τ {got.listed.block_efficiency:.2f} of {got.own.block_efficiency:.2f} with their own at {got.size:,}"
        assert told in got.sentence


def test_without_a_trace_coverage_decides(domain):
    got = compared(domain("code", 0, seed=1), domain("chat", 0, traced=False))[2]
    assert got.kept_efficiency is got.listed.block_efficiency is got.listed.acceptance_rate is None
    listed, own = got.listed.coverage.value, got.own.coverage.value
    facts = f"it covers {listed:.1%} of the tokens, their own {own:.1%}, at 150"
    assert got.sentence == f"code's list serves chat: {facts}"


def test_a_trace_without_positions_is_no_trace(domain, greedy_trace):
    chat = domain("chat", 0, traced=False)
    empty = greedy_trace(np.zeros((0, VOCAB), np.int64), np.zeros(0, np.int64), np.array([0, 0]))
    traced = Domain(name="chat", ranking=chat.ranking, judged=chat.judged, trace=empty)
    assert compared(domain("code", 60), traced) == compared(domain("code", 60), chat)


def test_a_small_loss_that_may_be_a_large_one_is_told_as_such(make_counts):
    rows = np.zeros((GROUPS, VOCAB), np.int64)
    rows[:, 1], rows[:2, 2] = 100, 25
    chat = Domain(name="chat", ranking=(make_counts(rows),), judged=make_counts(rows))
    rows = np.where(np.arange(VOCAB) == 1, 1, np.zeros((GROUPS, 1), np.int64))
    code = Domain(name="code", ranking=(make_counts(rows),), judged=make_counts(rows))
    got = compared(code, chat, ComparisonSettings(sizes=(2,), draft_length=3, first_ids=()))[0]
    assert got.lost_coverage.value == 50 / 3250 < LOST_COVERAGE < got.lost_coverage.high
    assert not got.serves
    assert got.sentence.startswith("code's list may serve chat, more prompts would tell: it covers 98.5% of the tokens")


def test_the_end_of_turn_leads_every_list(domain):
    got = compared(
        domain("code", 300), domain("chat", 0), ComparisonSettings(sizes=(1,), draft_length=1, first_ids=(END,))
    )
    counts = domain("chat", 0).judged
    assert got[0].listed.coverage.value == got[0].own.coverage.value == counts.counts[END] / counts.tokens


@given(seed=st.integers(0, 1000), order=st.permutations(range(GROUPS)))
@settings(max_examples=10, deadline=None)
def test_shards_may_be_merged_in_any_order(make_counts, seed, order):
    rows = rows_of(shares_of(0), seed, tokens=40)
    shards = [make_counts(np.where(np.arange(GROUPS)[:, None] == group, rows, 0)) for group in range(GROUPS)]
    whole, shuffled = (sum_of([shards[place] for place in places]) for places in (range(GROUPS), order))
    other = make_counts(rows_of(shares_of(50), seed + 1, tokens=40))
    found = [
        compared(
            Domain(name="a", ranking=(counts,), judged=counts), Domain(name="b", ranking=(other, counts), judged=other)
        )
        for counts in (whole, shuffled)
    ]
    assert found[0] == found[1]


def sum_of(shards):
    whole = shards[0]
    for shard in shards[1:]:
        whole = whole + shard
    return whole


def test_prompts_that_both_calibrations_hold_do_not_flatter(make_counts):
    """Every prompt has words of its own: whoever ranked on them, they are unheard-of where they judge."""
    rows = np.eye(GROUPS, VOCAB, 300, dtype=np.int64) * 50
    rows[:, 1] = 1
    same = Domain(name="same", ranking=(make_counts(rows),), judged=make_counts(rows))
    got = compared(same, same, ComparisonSettings(sizes=(64,), draft_length=1, first_ids=()))[0]
    assert got.listed.coverage.value == pytest.approx(1 / 51)


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{"tokenizer_fingerprint": "other"}, {"counts": np.ones((GROUPS, 9), np.int64)}])
def test_counts_of_different_tokenizers_are_refused(domain, make_counts, changes):
    counts = make_counts(**{"counts": rows_of(shares_of(0), 0), **changes})
    foreign = Domain(name="code", ranking=(counts,), judged=counts)
    for pair in ((foreign, domain("chat", 0)), (domain("chat", 0), foreign)):
        with pytest.raises(EdgedraftError) as error:
            compared(*pair)
        rule = "comparison: expected counts of one tokenizer, got 2"
        assert str(error.value) == f"{rule} - calibrate both domains with the same target"


def test_one_group_of_prompts_cannot_judge(domain, make_counts):
    counts = make_counts(rows_of(shares_of(0), 0)[0])
    with pytest.raises(EdgedraftError, match=r"^held-out coverage: expected prompts in at least two groups"):
        compared(domain("chat", 0), Domain(name="one", ranking=(counts,), judged=counts))


@pytest.mark.parametrize("size", [0, VOCAB + 1])
def test_sizes_lie_in_the_vocabulary(domain, size):
    with pytest.raises(EdgedraftError, match=rf"^draft vocabulary size: expected 1\.\.{VOCAB}, got {size}$"):
        compared(domain("a", 0), domain("b", 0), ComparisonSettings(sizes=(4, size), draft_length=1, first_ids=()))


def test_both_rules_agree_on_what_a_usual_draft_may_lose():
    """τ of independent drafts, (1 - a^(γ+1)) / (1 - a): every uncovered token refuses a draft that was right."""
    efficiency = [sum(rate**draft for draft in range(4)) for rate in (0.7, 0.7 - LOST_COVERAGE)]
    assert KEPT_BLOCK_EFFICIENCY < efficiency[1] / efficiency[0] < 0.98
