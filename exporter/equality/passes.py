"""The passes that check a converted model: one pass, several pieces, and passes after a rewind."""

from collections.abc import Iterator, Sequence

from edgedraft.exporter.equality.deviation import CheckedRows
from edgedraft.runtime.core.model import LanguageModel, prompt_pieces

_DRAFT_ROWS, _SINGLE_STEPS = 5, 2


def checked_passes(model: LanguageModel, token_ids: Sequence[int]) -> Iterator[CheckedRows]:
    """Read ``token_ids`` in each way that decoding does; each result is valid until the next one is requested."""
    model.rewind(0)
    yield CheckedRows(what="in one pass", start=0, logits=model.read(token_ids).logits)
    model.rewind(0)
    yield from _read_on(model, prompt_pieces(token_ids), "in pieces")
    kept = len(token_ids) * 3 // 4
    model.rewind(kept)
    model.read([*token_ids[:_DRAFT_ROWS]])  # a draft that is refused
    model.rewind(kept)
    yield from _read_on(model, _short_pieces(token_ids[kept:]), "after a rewind")


def _read_on(model: LanguageModel, pieces: Iterator[Sequence[int]], what: str) -> Iterator[CheckedRows]:
    for piece in pieces:
        yield CheckedRows(what=what, start=model.length, logits=model.read(piece).logits)


def _short_pieces(token_ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """Split ``token_ids`` into single steps first, then into pieces as long as a draft."""
    for place in range(min(_SINGLE_STEPS, len(token_ids))):
        yield token_ids[place : place + 1]
    for start in range(_SINGLE_STEPS, len(token_ids), _DRAFT_ROWS):
        yield token_ids[start : start + _DRAFT_ROWS]
