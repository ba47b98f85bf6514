"""Limits: where an answer ends."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.rounds import Round


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """An answer ends after ``max_new_tokens``, or with one of ``end_token_ids``, which is kept."""

    max_new_tokens: int
    end_token_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        require(self.max_new_tokens >= 1, "max_new_tokens must be at least 1", got=self.max_new_tokens)


def limited(rounds: Iterable[Round], limits: Limits) -> Iterator[Round]:
    """Yield the rounds of one answer, the last one cut where the answer ends."""
    max_tokens = limits.max_new_tokens
    for round_ in rounds:
        ends = (place + 1 for place, token_id in enumerate(round_.token_ids) if token_id in limits.end_token_ids)
        kept = round_.token_ids[: min(next(ends, max_tokens), max_tokens)]
        max_tokens -= len(kept)
        yield replace(
            round_,
            token_ids=kept,
            accepted=min(round_.accepted, len(kept)),
            log_probs=round_.log_probs[: len(kept)],
            top_log_probs=round_.top_log_probs[: len(kept)],
        )
        if max_tokens == 0 or kept[-1] in limits.end_token_ids:
            return
