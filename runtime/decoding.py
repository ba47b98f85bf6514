"""The decoding loops: one `Round` per target pass; stopping, timing and printing are the caller's."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgedraft.runtime.chooser import GREEDY, Chooser, Proposal
from edgedraft.runtime.index_map import IndexMap
from edgedraft.runtime.model import LanguageModel, Logits

PREFILL_ROWS = 32


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Drafter:
    """A model that proposes ``draft_length`` tokens a round, and what its ids mean to the target."""

    model: LanguageModel
    index_map: IndexMap
    draft_length: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """One target pass: the tokens it settled, how many drafts it was given and how many of those it kept.

    The first ``accepted`` tokens were drafted; the one after them is the target's own, unless the answer was cut.
    """

    token_ids: tuple[int, ...]
    proposed: int = 0
    accepted: int = 0


def prefill(model: LanguageModel, token_ids: Sequence[int]) -> Logits:
    """Read a prompt piece by piece and return the last row of logits, (vocab,).

    Pieces bound the logits buffer; no piece is a single row, because one-row kernels may round differently.
    """
    *earlier, last = prompt_pieces(token_ids)
    for piece in earlier:
        model.read(piece)
    logits: Logits = model.read(last)[-1]
    return logits


def prompt_pieces(token_ids: Sequence[int], rows: int = PREFILL_ROWS) -> Iterator[Sequence[int]]:
    """Cut ``token_ids`` into pieces of at most ``rows`` + 1, never leaving a last piece of one."""
    start = 0
    while start < len(token_ids):
        end = start + rows
        if end >= len(token_ids) - 1:
            end = len(token_ids)
        yield token_ids[start:end]
        start = end


def plain_rounds(target: LanguageModel, prompt_ids: Sequence[int], chooser: Chooser = GREEDY) -> Iterator[Round]:
    """Decoding by the target alone, one token a pass, until its context is full. The target starts empty."""
    settled = list(prompt_ids)
    row = prefill(target, prompt_ids)
    while True:
        settled += chooser.settle([], row[None], settled)
        yield Round(token_ids=(settled[-1],))
        if target.length >= target.context_length:
            return
        row = target.read([settled[-1]])[-1]


def speculative_rounds(
    target: LanguageModel, drafter: Drafter, prompt_ids: Sequence[int], chooser: Chooser = GREEDY
) -> Iterator[Round]:
    """Draft-and-verify: what `plain_rounds` would settle (by drawing: in distribution), several tokens a pass.

    Models start empty; both read the prompt before the first token. Ends when the target's context is full and drafts
    nothing once the drafter's is. Source: Leviathan et al. 2023.
    """
    settled = [*prompt_ids, *chooser.settle([], prefill(target, prompt_ids)[None], prompt_ids)]
    if len(prompt_ids) <= drafter.model.context_length:
        prefill(drafter.model, prompt_ids)
    yield Round(token_ids=(settled[-1],))
    while len(settled) <= target.context_length:
        room = min(target.context_length, drafter.model.context_length) - len(settled)
        proposals = draft(drafter, settled, max(room, 0), chooser)
        logits = target.read([settled[-1], *(proposal.token_id for proposal in proposals)])
        kept = chooser.settle(proposals, logits, settled)
        settled += kept
        target.rewind(len(settled) - 1)
        drafter.model.rewind(min(drafter.model.length, len(settled) - 1))
        yield Round(token_ids=tuple(kept), proposed=len(proposals), accepted=len(kept) - 1)


def draft(drafter: Drafter, settled: Sequence[int], room: int, chooser: Chooser) -> list[Proposal]:
    """Let the drafter catch up with the settled text and propose what follows, at most ``room`` tokens."""
    proposals: list[Proposal] = []
    context = list(settled)
    while len(proposals) < min(drafter.draft_length, room):
        last_row = prefill(drafter.model, context[drafter.model.length :])
        proposals.append(chooser.propose(last_row, drafter.index_map, context))
        context.append(proposals[-1].token_id)
    return proposals
