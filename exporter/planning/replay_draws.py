"""Replay of drawn answers: the drafts that any draft vocabulary and length keeps in expectation, without drawing.

A draft x is drawn from q_S, the drafter's distribution over the kept tokens S, and kept with probability
min(1, p(x) / q_S(x)), p the target's: over all texts Σ_S min(p, q_S) of the drafts are kept, and where the text goes
on with x, min(1, q_S(x) / p(x)). Source: Leviathan et al. 2023, arXiv 2211.17192, section 3.

q_S is shaped here, from the drafter's raw log-probabilities: top-k, top-p and min-p work on what trimming leaves, so
that no stored q could serve every S. It is exact wherever the tokens that a row lacks cannot be drafted: no token is
left out; or top-k finds its k, top-p its share or min-p its bound above the best token left out. Elsewhere, as with a
temperature alone, for which every token of S takes part, the weight that the row lacks bounds the error.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edgedraft.calibration.trace.rows import DrawnTrace
from edgedraft.exporter.planning.replay import Replay
from edgedraft.exporter.planning.replay_depths import by_position, require_depths
from edgedraft.runtime.base.arrays import BoolArray, Ids, Probabilities
from edgedraft.runtime.core.sampling import SamplingSettings

_PART = 1000


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ExpectedAcceptance:
    """The fate of a draft at each position; float64 (positions,) each, ``offsets`` int64 (answers + 1,).

    ``acceptance``: how probably a draft is kept, whatever token comes; ``kept``: how probably the draft was kept, given
    the token that came; ``doubt``: the most that ``acceptance`` may be off because of tokens that the trace left out.
    ``deeper``: the same of `DrawnTrace.deeper`.
    """

    acceptance: Probabilities
    kept: Probabilities
    doubt: Probabilities
    offsets: Ids
    deeper: "tuple[ExpectedAcceptance, ...]" = ()

    def kept_by_position(self, draft_length: int) -> npt.NDArray[np.float64]:
        """Return ``kept`` by position, answer and draft of the round: (longest answer, answers, ``draft_length``)."""
        if not self.deeper:
            once = by_position([self.kept], [self.offsets])
            return np.broadcast_to(once, (*once.shape[:2], draft_length))
        depths = (self, *self.deeper)
        require_depths(len(depths), draft_length)
        return by_position(
            [each.kept for each in depths[:draft_length]], [each.offsets for each in depths[:draft_length]]
        )


def expected_acceptance(trace: DrawnTrace, ranks: Ids, size: int) -> ExpectedAcceptance:
    """Compute the acceptance of a drafter with the first ``size`` tokens of the order of inverse ``ranks`` (vocab,)."""
    expected = expected_of(trace, ranks[trace.ids] < size, size)
    return replace(expected, deeper=tuple(expected_acceptance(rows, ranks, size) for rows in trace.deeper))


def expected_of(trace: DrawnTrace, inside: BoolArray, most: int) -> ExpectedAcceptance:
    """Compute the acceptance, at depth 0, of a drafter that has the entries of the trace which are ``inside``.

    ``inside``: (entries,). The drafter has ``most`` tokens at most.
    """
    parts = [_expected(part, inside[entries], most) for entries, part in _parts(trace)]
    acceptance, kept, doubt = (np.concatenate([np.zeros(0), *values]) for values in zip(*parts, strict=True))
    return ExpectedAcceptance(acceptance=acceptance, kept=kept, doubt=doubt, offsets=trace.offsets)


def expected_replay(expected: ExpectedAcceptance, draft_length: int) -> Replay:
    """Compute the expected rounds of ``draft_length`` drafts over the traced texts, float64 (answers,).

    Given the text, drafts are kept independently of each other, so what is expected follows from how probably each
    position comes as the j-th of its round: a dynamic programme over positions, all answers abreast.
    """
    lengths = np.diff(expected.offsets)
    # Chances that a position comes as the j-th draft of its round, or, in the last column, as the target's own token.
    chances = np.zeros((len(lengths), draft_length + 1))
    chances[:, 0] = 1.0
    rounds, accepted, evaluated, full = np.zeros((4, len(lengths)))
    for place, kept in enumerate(expected.kept_by_position(draft_length)):
        chances[lengths <= place] = 0.0
        drafts = chances[:, :-1]
        held = drafts * kept
        rounds += chances[:, 0]
        evaluated += drafts.sum(axis=1)
        accepted += held.sum(axis=1)
        full += held[:, -1]
        ended = chances[:, -1] + (drafts - held).sum(axis=1)
        chances = np.column_stack([ended, held])
    return Replay(rounds=rounds, tokens=lengths, accepted=accepted, evaluated=evaluated, full_rounds=full)


def _parts(trace: DrawnTrace) -> Iterator[tuple[slice, DrawnTrace]]:
    """Yield the trace in parts of `_PART` positions with their entries, at least one: its arrays then stay small."""
    bounds = np.append(trace.row_starts, len(trace.ids))
    for start in range(0, max(len(trace.target_ids), 1), _PART):
        positions = slice(start, start + _PART)
        row_wanted = trace.wanted[positions]
        entries = slice(bounds[start], bounds[start + len(row_wanted)])
        part = DrawnTrace(
            target_ids=trace.target_ids[positions],
            wanted=row_wanted,
            ids=trace.ids[entries],
            log_probs_by_drafter=trace.log_probs_by_drafter[entries],
            offsets=np.array([0, len(row_wanted)]),
            cap=trace.cap,
            log_probs_by_target=trace.log_probs_by_target[entries],
            left_by_target=trace.left_by_target[positions],
            left_by_drafter=trace.left_by_drafter[positions],
            best_left=trace.best_left[positions],
            settings=trace.settings,
        )
        yield entries, part


def _expected(trace: DrawnTrace, inside: BoolArray, size: int) -> tuple[Probabilities, Probabilities, Probabilities]:
    """Compute acceptance, kept and doubt of a part, (positions,) each."""
    drafts = _drafts(trace, inside)
    q = drafts.shaped(trace.settings, size)
    q_of_token, p_of_token = (drafts.sums(values * drafts.at_target) for values in (q, drafts.by_target))
    # min(1, q / p) without dividing by a p of 0.
    surely = q_of_token >= p_of_token
    kept = np.where(surely, q_of_token > 0, q_of_token / np.where(surely, 1.0, p_of_token))
    return drafts.sums(np.minimum(drafts.by_target, q)), kept, _doubt(trace, drafts, q, size)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Drafts:
    """The entries of a trace that a trimmed drafter has, rows one behind the other, the drafter's best first.

    ``rows``: the position of each entry; ``places``: its place in its row; ``heads``: where its row begins; ``above``:
    whether the drafter likes it better than all that the trace left out. ``left``, (positions,): the weight that was
    left out, as `weights` counts.
    """

    rows: Ids
    places: Ids
    heads: Ids
    log_probs: Probabilities
    by_target: Probabilities
    at_target: BoolArray
    above: BoolArray
    left: Probabilities

    def sums(self, values: npt.NDArray[np.float64]) -> Probabilities:
        """Sum each row, (positions,); 0 for a row without entries."""
        return np.bincount(self.rows, weights=values, minlength=len(self.left)).astype(np.float64)

    def shaped(self, settings: SamplingSettings, size: int) -> Probabilities:
        """Compute q_S of every entry, by the steps of `edgedraft.runtime.core.sampling.probabilities`."""
        drawn = self.shares(self.weights(settings, size))
        if settings.top_p < 1:
            drawn[self.before(drawn) >= settings.top_p] = 0.0
        if settings.min_p > 0:
            drawn[drawn < settings.min_p * drawn[self.heads]] = 0.0
        return self.shares(drawn)

    def weights(self, settings: SamplingSettings, size: int) -> Probabilities:
        """Weigh every entry at the temperature, the best of each row as 1; 0 where top-k leaves it out."""
        weights: Probabilities = np.exp((self.log_probs - self.log_probs[self.heads]) / settings.temperature)
        if 0 < settings.top_k < size:
            bars = np.full(len(self.left), -np.inf)
            last = self.places == settings.top_k - 1
            bars[self.rows[last]] = self.log_probs[last]
            weights[self.log_probs < bars[self.rows]] = 0.0
        return weights

    def shares(self, weights: Probabilities) -> Probabilities:
        """Scale weights to shares of their rows."""
        return weights / self.sums(weights)[self.rows]

    def before(self, shares: Probabilities) -> Probabilities:
        """Sum the shares of the row that stand before each entry."""
        before = np.cumsum(shares) - shares
        return before - before[self.heads]


def _drafts(trace: DrawnTrace, inside: BoolArray) -> _Drafts:
    lengths = trace.row_lengths
    entries = np.flatnonzero(inside & (trace.log_probs_by_drafter > -np.inf))
    rows = np.repeat(np.arange(len(lengths)), lengths)[entries]
    counts = np.bincount(rows, minlength=len(lengths))
    heads = (np.cumsum(counts) - counts)[rows]
    log_probs = trace.log_probs_by_drafter[entries].astype(np.float64)
    best = np.full(len(lengths), -np.inf)
    best[rows] = log_probs[heads]
    return _Drafts(
        rows=rows,
        places=np.arange(len(entries)) - heads,
        heads=heads,
        log_probs=log_probs,
        by_target=np.exp(trace.log_probs_by_target[entries].astype(np.float64)),
        at_target=trace.ids[entries] == trace.target_ids[rows],
        above=log_probs > trace.best_left[rows],
        left=_left(trace, best),
    )


def _left(trace: DrawnTrace, best: Probabilities) -> Probabilities:
    """Weigh all that the trace left out where an entry of log-probability ``best`` weighs 1, (positions,)."""
    starts, temperature = trace.row_starts, trace.settings.temperature
    scores = trace.log_probs_by_drafter.astype(np.float64) / temperature
    top = scores[starts]
    stored = np.add.reduceat(np.exp(scores - np.repeat(top, trace.row_lengths)), starts) if len(starts) else top
    share = trace.left_by_drafter.astype(np.float64)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        log_weight = np.log(share / (1.0 - share) * stored) + top - best / temperature
        return np.exp(log_weight)


def _doubt(trace: DrawnTrace, drafts: _Drafts, q: Probabilities, size: int) -> Probabilities:
    """Bound the error of Σ_S min(p, q_S), (positions,).

    Tokens left out only add to the weight that q_S is divided by, so of the entries above them those in q's support
    are certainly in the true one. Its weight lies between theirs and that of all entries with all that is left out,
    which bounds every true q; what the tokens left out add themselves is at most the target's probability of them.
    """
    settings = trace.settings
    filtered = 0 < settings.top_k < size or settings.top_p < 1 or settings.min_p > 0
    weights = drafts.weights(settings, size)
    certain = (q > 0) & (drafts.above if filtered else True)
    surely, possibly = drafts.sums(weights * certain), drafts.sums(weights) + drafts.left
    with np.errstate(divide="ignore", invalid="ignore"):
        least, most = (weights / total[drafts.rows] for total in (possibly, surely))
    at_least = drafts.sums(np.minimum(drafts.by_target, np.where(certain, least, 0.0)))
    at_most = drafts.sums(np.fmin(drafts.by_target, most)) + trace.left_by_target
    return np.where(_certain(trace, drafts, size), 0.0, np.minimum(at_most, 1.0) - at_least)


def _certain(trace: DrawnTrace, drafts: _Drafts, size: int) -> BoolArray:
    """Tell at which positions no token that the trace left out can be drafted, (positions,)."""
    settings = trace.settings
    decides = np.zeros(len(drafts.rows), dtype=np.bool_)
    if 0 < settings.top_k < size:
        decides = drafts.above & (drafts.places == settings.top_k - 1)
    elif settings.top_p < 1:
        weights = drafts.weights(settings, size)
        shares, before = drafts.shares(weights), drafts.before(drafts.shares(weights))
        enough = settings.top_p * (1.0 + drafts.left / np.maximum(drafts.sums(weights), 1.0))[drafts.rows]
        decides = drafts.above & (before < settings.top_p) & (before + shares >= enough)
    elif settings.min_p > 0:
        bar = drafts.log_probs + settings.temperature * np.log(settings.min_p)
        decides = (drafts.places == 0) & (bar > trace.best_left[drafts.rows])
    return np.isneginf(trace.best_left) | (drafts.sums(decides.astype(np.float64)) > 0)
