"""The decoding loops: one `Round` per target pass; stopping, timing and printing are the caller's."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgedraft.runtime.index_map import IndexMap
from edgedraft.runtime.model import LanguageModel, Logits
from edgedraft.runtime.verify import accepted_prefix, greedy_choices

PREFILL_ROWS = 32


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


def plain_rounds(target: LanguageModel, prompt_ids: Sequence[int]) -> Iterator[Round]:
    """Greedy decoding by the target alone, one token a pass, until its context is full."""
    token = greedy_choices(prefill(target, prompt_ids)[None])[0]
    yield Round(token_ids=(token,))
    while target.length < target.context_length:
        token = greedy_choices(target.read([token]))[0]
        yield Round(token_ids=(token,))


def speculative_rounds(
    target: LanguageModel, drafter: LanguageModel, index_map: IndexMap, prompt_ids: Sequence[int], draft_length: int
) -> Iterator[Round]:
    """Greedy draft-and-verify: the same tokens as `plain_rounds`, ``draft_length`` of them drafted before each pass.

    Models start empty; both read the prompt before the first token. Ends when the target's context is full and drafts
    nothing once the drafter's is. Source: Leviathan et al. 2023, greedy case.
    """
    token = greedy_choices(prefill(target, prompt_ids)[None])[0]
    if len(prompt_ids) <= drafter.context_length:
        prefill(drafter, prompt_ids)
    yield Round(token_ids=(token,))
    settled = [*prompt_ids, token]
    while len(settled) <= target.context_length:
        room = min(target.context_length, drafter.context_length) - len(settled)
        drafts = draft(drafter, index_map, settled, min(draft_length, max(room, 0)))
        choices = greedy_choices(target.read([settled[-1], *drafts]))
        accepted = accepted_prefix(drafts, choices)
        settled += choices[: accepted + 1]
        target.rewind(len(settled) - 1)
        drafter.rewind(min(drafter.length, len(settled) - 1))
        yield Round(token_ids=tuple(choices[: accepted + 1]), proposed=len(drafts), accepted=accepted)


def draft(drafter: LanguageModel, index_map: IndexMap, settled: Sequence[int], draft_length: int) -> list[int]:
    """Let the drafter catch up with the settled text and propose the next ``draft_length`` target tokens."""
    drafts: list[int] = []
    unread: Sequence[int] = settled[drafter.length :]
    while len(drafts) < draft_length:
        last_row = prefill(drafter, unread)
        drafts.append(index_map.to_target(greedy_choices(last_row[None])[0]))
        unread = drafts[-1:]
    return drafts
