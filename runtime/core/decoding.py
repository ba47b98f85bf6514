"""The decoding loop: one `Round` per target pass; stopping, timing and printing are the caller's."""

from collections.abc import Iterator, Sequence

from edgedraft.runtime.base.arrays import Logits
from edgedraft.runtime.core.chooser import GREEDY, Chooser, Proposal
from edgedraft.runtime.core.drafting import NO_DRAFTS, DraftPolicy
from edgedraft.runtime.core.model import LanguageModel, prefill
from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.core.verify import log_probability


def plain_rounds(
    target: LanguageModel, prompt_ids: Sequence[int], chooser: Chooser = GREEDY, *, log_probs: bool = False
) -> Iterator[Round]:
    """Decoding by the target alone, one token a pass, until its context is full."""
    return speculative_rounds(target, NO_DRAFTS, prompt_ids, chooser, log_probs=log_probs)


def speculative_rounds(
    target: LanguageModel,
    policy: DraftPolicy,
    prompt_ids: Sequence[int],
    chooser: Chooser = GREEDY,
    *,
    log_probs: bool = False,
) -> Iterator[Round]:
    """Draft-and-verify: what `plain_rounds` would settle (by drawing: in distribution), several tokens a pass.

    The target keeps the beginning of the prompt that its memory already holds; the prompt is read, by the policy's
    drafter too, before the first token. Ends when the target's context is full. May be closed at any round: the
    memories then hold what was settled. Source: Leviathan et al. 2023.
    """
    settled = list(prompt_ids)
    turn = _settle(settled, [], prefill(target, prompt_ids)[None], chooser, log_probs)
    policy.begin(prompt_ids)
    yield turn
    while len(settled) <= target.context_length:
        proposals = policy.propose(settled, target.context_length - len(settled), chooser)
        logits = target.read([settled[-1], *(proposal.token_id for proposal in proposals)])
        turn = _settle(settled, proposals, logits, chooser, log_probs)
        target.rewind(len(settled) - 1)
        policy.learn(turn)
        yield turn


def _settle(
    settled: list[int], proposals: Sequence[Proposal], logits: Logits, chooser: Chooser, log_probs: bool
) -> Round:
    """Append what this pass settles to ``settled`` and say what it was."""
    kept = chooser.settle(proposals, logits, settled)
    settled += kept
    scored = zip(logits, kept, strict=False) if log_probs else ()
    return Round(
        token_ids=tuple(kept),
        proposed=len(proposals),
        accepted=len(kept) - 1,
        log_probs=tuple(log_probability(row, token_id) for row, token_id in scored),
    )
