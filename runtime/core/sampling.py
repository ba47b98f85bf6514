"""The maths of sampling and of lossless acceptance, on arrays alone.

Probabilities are float64 and sum to 1. A draft drawn from any distribution q is kept with probability min(1, p/q), and
a refused one is replaced by a draw from the rest of p: what comes out follows p, the target's own distribution, also
when q is 0 wherever the drafter has no row. Source: Leviathan et al. 2023, arXiv 2211.17192, algorithm 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edgedraft.runtime.base.arrays import Logits, Probabilities
from edgedraft.runtime.base.records import require

_COLDEST = 0.0001


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingSettings:
    """Settings of sampling; the steps have the meaning and the order of transformers' ``generate``.

    ``temperature`` 0 is greedy. ``top_k`` 0, ``top_p`` 1, ``min_p`` 0 and ``repetition_penalty`` 1 switch the step off.
    ``logit_bias`` adds to the logits of target token ids; ids may be strings, as in JSON.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        warm = self.temperature == 0 or _COLDEST <= self.temperature < np.inf
        require(warm, f"temperature must be 0, or {_COLDEST} or more", got=self.temperature)
        require(self.top_k >= 0, "top_k must be 0 or more", got=self.top_k)
        require(0 < self.top_p <= 1, "top_p must lie above 0 and up to 1", got=self.top_p)
        require(0 <= self.min_p <= 1, "min_p must lie in 0..1", got=self.min_p)
        require(self.repetition_penalty > 0, "repetition_penalty must be above 0", got=self.repetition_penalty)
        object.__setattr__(self, "logit_bias", {_token_id(key): bias for key, bias in self.logit_bias.items()})
        for token_id, bias in self.logit_bias.items():
            require(bias < np.inf, f"logit_bias: token {token_id}: expected a number or -inf", got=bias)

    @property
    def reads_context(self) -> bool:
        """Return whether the settings change logits by the tokens already in the text."""
        return self.repetition_penalty != 1.0


def _token_id(key: object) -> int:
    """Return a token id, also if it is a string, as in JSON."""
    number = int(key) if isinstance(key, str) and key.strip().isdecimal() else key
    whole = isinstance(number, int | np.integer) and not isinstance(number, bool)
    require(whole, "logit_bias: token ids must be whole numbers", got=repr(key))
    return int(number)  # type: ignore[call-overload, no-any-return]


def probabilities(logits: Logits, settings: SamplingSettings) -> Probabilities:
    """Return the distribution (vocab,) of one row of adjusted logits (vocab,), after temperature and filters."""
    scores: Probabilities = logits.astype(np.float64)
    if settings.temperature == 0:
        best = np.zeros_like(scores)
        best[int(np.argmax(logits))] = 1.0
        return best
    scores /= settings.temperature
    if 0 < settings.top_k < len(scores):
        scores[scores < np.partition(scores, -settings.top_k)[-settings.top_k]] = -np.inf
    drawn: Probabilities = _softmax(scores)
    if settings.top_p < 1:
        drawn = _nucleus(drawn, settings.top_p)
    if settings.min_p > 0:
        drawn = np.where(drawn >= settings.min_p * drawn.max(), drawn, 0.0)
    drawn /= drawn.sum()
    return drawn


def adjusted(
    logits: Logits, settings: SamplingSettings, seen_ids: npt.NDArray[np.int64], bias_ids: Mapping[int, float]
) -> Logits:
    """Return logits (vocab,) after the repetition penalty on ``seen_ids`` and the bias; ids index this row."""
    if not (settings.reads_context and len(seen_ids)) and not bias_ids:
        return logits
    scores = logits.copy()
    if settings.reads_context:
        seen = scores[seen_ids]
        scores[seen_ids] = np.where(seen < 0, seen * settings.repetition_penalty, seen / settings.repetition_penalty)
    for token_id, bias in bias_ids.items():
        scores[token_id] += bias
    require(bool(np.isfinite(scores.max())), "logit_bias must leave a token to choose", got="none")
    return scores


def draw(distribution: Probabilities, rng: np.random.Generator) -> int:
    """Draw one token, never one of probability 0."""
    cumulative = np.cumsum(distribution)
    place = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
    return min(place, int(np.flatnonzero(distribution)[-1]))


def residual(by_target: Probabilities, by_drafter: Probabilities) -> Probabilities:
    """Return norm((p - q)+), from which a refused draft is replaced; p itself where rounding leaves nothing."""
    rest: Probabilities = np.maximum(by_target - by_drafter, 0.0)
    total = float(rest.sum())
    if total == 0:
        return by_target
    rest /= total
    return rest


def keeps(draft_id: int, by_target: Probabilities, by_drafter: Probabilities, rng: np.random.Generator) -> bool:
    """Decide whether a draft drawn from ``by_drafter`` is kept: with probability min(1, p/q)."""
    return bool(rng.random() * by_drafter[draft_id] < by_target[draft_id])


def verify_draws(
    draft_ids: Sequence[int],
    by_drafter: Sequence[Probabilities | None],
    by_target: Sequence[Probabilities],
    rng: np.random.Generator,
) -> list[int]:
    """Return the tokens that a round commits: the drafts accepted, then one of the target's own.

    ``by_drafter`` has one distribution a draft, ``by_target`` one more; all are (vocab,) over the target's ids. None
    stands for a draft that was not drawn but looked up: all its probability lies on that token.
    """
    for position, draft_id in enumerate(draft_ids):
        drawn_from = by_drafter[position]
        if drawn_from is None:
            drawn_from = _certain(draft_id, len(by_target[position]))
        if not keeps(draft_id, by_target[position], drawn_from, rng):
            return [*draft_ids[:position], draw(residual(by_target[position], drawn_from), rng)]
    return [*draft_ids, draw(by_target[len(draft_ids)], rng)]


def _certain(token_id: int, vocab_size: int) -> Probabilities:
    """Return the distribution that always draws ``token_id``."""
    one = np.zeros(vocab_size)
    one[token_id] = 1.0
    return one


def _softmax(scores: Probabilities) -> Probabilities:
    weights: Probabilities = np.exp(scores - scores.max())
    weights /= weights.sum()
    return weights


def _nucleus(drawn: Probabilities, top_p: float) -> Probabilities:
    """Keep the fewest most likely tokens that reach ``top_p`` together; of equal ones the highest id goes first."""
    order = np.argsort(-drawn, kind="stable")
    before = np.cumsum(drawn[order]) - drawn[order]
    kept = drawn.copy()
    kept[order[before >= top_p]] = 0.0
    return kept
