"""The decoding loop: it yields one `Round` per target pass; the caller stops, times and prints."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgedraft.runtime.base.arrays import Logits
from edgedraft.runtime.core.acceptance import GreedyVerifier, RandomVerifier, Verifier
from edgedraft.runtime.core.drafter import NO_DRAFTS, Draft, Drafter
from edgedraft.runtime.core.model import Clock, LanguageModel, PromptPasses, nothing, stopped_clock
from edgedraft.runtime.core.rounds import Round, ScoredToken
from edgedraft.runtime.core.sampler import GreedySampler, RandomSampler, Sampler
from edgedraft.runtime.core.sampling import SamplingSettings
from edgedraft.runtime.core.switching import longest_pass_end
from edgedraft.runtime.core.verify import best_log_probabilities, log_probability


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DecodingMethod:
    """The method of choosing tokens: ``sampler`` draws drafts, ``verifier`` checks them; for one answer at a time."""

    sampler: Sampler
    verifier: Verifier


GREEDY = DecodingMethod(sampler=GreedySampler(), verifier=GreedyVerifier())
"""The best token, always."""


def sampled(settings: SamplingSettings, rng: np.random.Generator) -> DecodingMethod:
    """Return the sampling method for ``settings``; all random numbers come from ``rng``."""
    return DecodingMethod(sampler=RandomSampler(settings, rng), verifier=RandomVerifier(settings, rng))


def plain_rounds(
    target: LanguageModel, prompt_ids: Sequence[int], method: DecodingMethod = GREEDY, *, log_probs: bool = False
) -> Iterator[Round]:
    """Decode with the target alone, one token per pass, until its context is full."""
    return speculative_rounds(target, NO_DRAFTS, prompt_ids, method, log_probs=log_probs)


def speculative_rounds(
    target: LanguageModel,
    drafter: Drafter,
    prompt_ids: Sequence[int],
    method: DecodingMethod = GREEDY,
    *,
    log_probs: bool = False,
    top_log_probs: int = 0,
    clock: Clock = stopped_clock,
    before_pass: Callable[[], None] = nothing,
) -> Iterator[Round]:
    """Draft and verify: yield the same tokens as `plain_rounds` (sampled: the same distribution), several per pass.

    The target reuses the part of the prompt that its cache already holds; target and drafter read the rest before the
    first token. Ends when the target's context is full. May be closed after any round: the caches then hold the
    committed tokens. ``before_pass`` is called before each pass over the prompt and before each round; it may wait, or
    raise `AnswerCancelledError`. Source: Leviathan et al. 2023.
    """
    committed = list(prompt_ids)
    scoring = _Scoring(log_probs=log_probs, best=top_log_probs)
    passes = PromptPasses(target, prompt_ids, clock, before_pass)
    started = clock()
    drafter.begin(prompt_ids, passes)
    drafter_seconds = clock() - started - passes.seconds
    last_row = passes.last_row()
    seconds = (passes.seconds, drafter_seconds)
    first = _commit(committed, Draft(), last_row[None], method.verifier, seconds, scoring)
    yield replace(first, cached=passes.cached)
    while len(committed) <= target.context_length:
        before_pass()
        end = longest_pass_end(target, len(committed), target.context_length)
        draft = drafter.propose(committed, end - len(committed), method.sampler)
        started = clock()
        target_pass = target.read([committed[-1], *draft.token_ids])
        seconds = (clock() - started, draft.seconds)
        round_ = _commit(committed, draft, target_pass.logits, method.verifier, seconds, scoring)
        # The last committed token is the target's own choice: no pass has read it yet.
        target.rewind(len(committed) - 1)
        drafter.rewind(len(committed) - 1)
        drafter.observe(round_, target_pass)
        yield round_


def _commit(
    committed: list[int],
    draft: Draft,
    logits: Logits,
    verifier: Verifier,
    seconds: tuple[float, float],
    scoring: "_Scoring",
) -> Round:
    """Append this pass's tokens to ``committed``; return the round. ``seconds`` are the target's and the drafter's."""
    token_ids = verifier.verify(draft.tokens, logits, committed)
    committed += token_ids
    rows = list(zip(logits, token_ids, strict=False))
    return Round(
        token_ids=tuple(token_ids),
        drafted=len(draft.tokens),
        accepted=len(token_ids) - 1,
        log_probs=scoring.of(rows),
        top_log_probs=scoring.best_of(rows),
        target_seconds=seconds[0],
        drafter_seconds=seconds[1],
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Scoring:
    """The log-probabilities that a round carries: those of its tokens, and of the ``best`` ones in each place."""

    log_probs: bool
    best: int

    def of(self, rows: Sequence[tuple[Logits, int]]) -> tuple[float, ...]:
        """Return the log-probabilities of tokens, each given with its row of the target's logits."""
        return tuple(log_probability(row, token_id) for row, token_id in rows) if self.log_probs else ()

    def best_of(self, rows: Sequence[tuple[Logits, int]]) -> tuple[tuple[ScoredToken, ...], ...]:
        """Return for each row the tokens with the best log-probabilities."""
        return tuple(tuple(best_log_probabilities(row, self.best)) for row, _ in rows) if self.best else ()
