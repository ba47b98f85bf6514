"""A comparison of two calibrations: does the token list of one serve the prompts of the other?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgedraft.calibration.counts import TokenCounts
from edgedraft.calibration.sample_size.learning_curve import (
    covered_by_group,
    require_groups,
    share,
    tokens_by_group,
)
from edgedraft.calibration.trace.rows import AcceptanceTrace, DrawnTrace
from edgedraft.exporter.planning.ranking import counted_by_size, rank_tokens
from edgedraft.exporter.planning.replay import Replay
from edgedraft.exporter.planning.scan import replay_function
from edgedraft.runtime.base.arrays import Int64Array
from edgedraft.runtime.base.intervals import Interval
from edgedraft.runtime.base.records import require

KEPT_BLOCK_EFFICIENCY = 0.95
"""A list serves when it keeps 95 % of the τ of the domain's own list of that size, surely (the interval's low end).

Trimming a drafter makes decoding about 1.05 times as fast (README, the measured table): a list that loses more than 5 %
of τ takes away what it was made for.
"""

LOST_COVERAGE = 0.02
"""Without a trace a list serves when it surely covers at most 2 points less than the domain's own.

An uncovered token refuses one draft at most: at draft length 3 and acceptance 0.7, 2 points cost up to 3 % of τ.
"""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Domain:
    """A calibration under a name: counts that rank, the most important first; the counts and the trace that judge.

    ``judged`` may be among ``ranking``: coverage leaves each prompt's group out. The trace must be of prompts that did
    not rank, or the domain's own list looks better than it is.
    """

    name: str
    ranking: tuple[TokenCounts, ...]
    judged: TokenCounts
    trace: AcceptanceTrace | DrawnTrace | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonSettings:
    """Draft vocabulary sizes, the draft length that is replayed, and the ids (the end of turn) that lead every list."""

    sizes: tuple[int, ...]
    draft_length: int
    first_ids: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ListScore:
    """The score of a list on the judged domain: held-out coverage, and with a trace the acceptance rate and τ."""

    coverage: Interval
    acceptance_rate: float | None = None
    block_efficiency: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """The scores at one size: the other domain's list, the judged domain's own, and the full vocabulary.

    ``lost_coverage`` is the own coverage less the other's; ``kept_efficiency`` the other's τ over the own, None without
    a trace. ``listed_counted`` and ``own_counted`` of the lists' tokens stand there because they were counted; the
    others were not, and are the smallest ids.
    """

    size: int
    listed: ListScore
    own: ListScore
    full: ListScore
    lost_coverage: Interval
    kept_efficiency: Interval | None
    serves: bool
    sentence: str
    listed_counted: int = 0
    own_counted: int = 0


def compare(
    listed: Domain, judged: Domain, settings: ComparisonSettings, rng: np.random.Generator
) -> tuple[Comparison, ...]:
    """Judge the list of ``listed`` by the prompts of ``judged``, size by size.

    Coverage is cross-validated alike for both lists, so a domain compared with itself loses exactly nothing. Raises
    `EdgedraftError` for different tokenizers, impossible sizes, or prompts in fewer than two groups.
    """
    _require_one_tokenizer((*listed.ranking, *judged.ranking, judged.judged))
    require_groups(judged.judged)
    replayed = _replayed(listed, judged, settings)
    covered = [
        covered_by_group(each.ranking, judged.judged, settings.sizes, settings.first_ids) for each in (listed, judged)
    ]
    tokens = tokens_by_group(judged.judged)
    counted = [counted_by_size(each.ranking, settings.first_ids) for each in (listed, judged)]
    compared = []
    for row, size in enumerate(settings.sizes):
        evidence = _Evidence(
            names=(listed.name, judged.name),
            size=size,
            covered=(covered[0][row], covered[1][row]),
            tokens=tokens,
            replays=replayed(size) if replayed else None,
        )
        by_listed, by_own = (int(each[size - 1]) for each in counted)
        compared.append(replace(_judge(evidence, rng), listed_counted=by_listed, own_counted=by_own))
    return tuple(compared)


_Replays = tuple[Replay, Replay, Replay]

_ALL = Interval(value=1.0, low=1.0, high=1.0, level=0.95)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Evidence:
    """The tokens of each group that both lists of one size cover, and replays under the other's, the own, the full."""

    names: tuple[str, str]
    size: int
    covered: tuple[Int64Array, Int64Array]
    tokens: Int64Array
    replays: _Replays | None


def _replayed(listed: Domain, judged: Domain, settings: ComparisonSettings) -> Callable[[int], _Replays] | None:
    """Build the replays of the judged trace by size; None without a trace that has positions."""
    trace = judged.trace
    if trace is None or not len(trace.target_ids):
        return None
    by_listed, by_own = (
        replay_function(trace, rank_tokens(each.ranking, settings.first_ids)) for each in (listed, judged)
    )
    length = settings.draft_length
    full = by_own(judged.judged.vocab_size, length)
    return lambda size: (by_listed(size, length), by_own(size, length), full)


def _judge(evidence: _Evidence, rng: np.random.Generator) -> Comparison:
    by_listed, by_own = evidence.covered
    lost = share(by_own - by_listed, evidence.tokens, rng)
    covered = [*(share(part, evidence.tokens, rng) for part in evidence.covered), _ALL]
    runs = evidence.replays or (None, None, None)
    scores = [_score(part, run) for part, run in zip(covered, runs, strict=True)]
    kept = _kept(evidence.replays, rng) if evidence.replays else None
    serves = lost.high <= LOST_COVERAGE if kept is None else kept.low >= KEPT_BLOCK_EFFICIENCY
    likely = lost.value <= LOST_COVERAGE if kept is None else kept.value >= KEPT_BLOCK_EFFICIENCY
    facts = _facts(evidence, scores)
    return Comparison(
        size=evidence.size,
        listed=scores[0],
        own=scores[1],
        full=scores[2],
        lost_coverage=lost,
        kept_efficiency=kept,
        serves=serves,
        sentence=_sentence(evidence.names, facts, serves, likely),
    )


def _score(coverage: Interval, run: Replay | None) -> ListScore:
    if run is None:
        return ListScore(coverage=coverage)
    return ListScore(coverage=coverage, acceptance_rate=run.acceptance_rate, block_efficiency=run.block_efficiency)


def _kept(replays: _Replays, rng: np.random.Generator) -> Interval:
    """Estimate the other list's τ over the own, bootstrapped by answers."""
    listed, own, _ = replays
    # Both emit the same tokens, so the ratio of τ is that of the own rounds to the other's.
    walked = np.flatnonzero(listed.rounds > 0)
    return share(own.rounds[walked], listed.rounds[walked], rng)


def _facts(evidence: _Evidence, scores: Sequence[ListScore]) -> str:
    listed, own, full = scores
    if listed.block_efficiency is None:
        shares = f"{listed.coverage.value:.1%} of the tokens, their own {own.coverage.value:.1%}"
        return f"it covers {shares}, at {evidence.size:,}"
    return (
        f"τ {listed.block_efficiency:.2f} of {own.block_efficiency:.2f} with their own at {evidence.size:,}"
        f" ({full.block_efficiency:.2f} with the full vocabulary)"
    )


def _sentence(names: tuple[str, str], facts: str, serves: bool, likely: bool) -> str:
    listed, judged = names
    if serves:
        return f"{listed}'s list serves {judged}: {facts}"
    if likely:
        return f"{listed}'s list may serve {judged}, more prompts would tell: {facts}"
    return f"{listed}'s list does not serve {judged}: {facts}; calibrate on {judged}'s prompts"


def _require_one_tokenizer(counts: Sequence[TokenCounts]) -> None:
    tokenizers = {(part.provenance.tokenizer_fingerprint, part.vocab_size) for part in counts}
    require(
        len(tokenizers) == 1,
        "comparison: expected counts of one tokenizer",
        got=f"{len(tokenizers)}",
        remedy="calibrate both domains with the same target",
    )
