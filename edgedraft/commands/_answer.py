"""Answering one prompt in the terminal: stream the text, keep the counts."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgedraft.commands._options import decoding_options
from edgedraft.console import Console
from edgedraft.runtime.core.model import Clock
from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.core.statistics import DraftStatistics, count_rounds
from edgedraft.runtime.engine import Engine
from edgedraft.runtime.text.streaming import text_pieces


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerResult:
    """One answer and what it took; ``tokens_per_second`` is decoding after the first token.

    ``log_probs`` has one entry a token where they were asked for.
    """

    text: str
    token_ids: tuple[int, ...]
    log_probs: tuple[float, ...]
    first_token_seconds: float
    tokens_per_second: float
    statistics: DraftStatistics

    @property
    def summary(self) -> str:
        """One line for people."""
        speculation = ", without speculation"
        if proposed := self.statistics.draft_tokens_proposed:
            kept, tau = self.statistics.draft_tokens_accepted, self.statistics.block_efficiency
            speculation = f", {kept} of {proposed} drafts kept, τ {tau:.2f}"
        return (
            f"[{len(self.token_ids)} tokens, first after {self.first_token_seconds:.2f} s, "
            f"then {self.tokens_per_second:.1f} tokens/s{speculation}]"
        )


def answer(
    engine: Engine, prompt_ids: Sequence[int], options: argparse.Namespace, console: Console, clock: Clock
) -> AnswerResult:
    """Stream one answer to ``console``."""
    seen: list[Round] = []
    started = first = clock()
    rounds = engine.rounds(prompt_ids, engine.limits(options.max_new_tokens), decoding_options(options))

    def noted() -> Iterator[Round]:
        nonlocal first
        for turn in rounds:
            if not seen:
                first = clock()
            seen.append(turn)
            yield turn

    text = ""
    for piece in text_pieces(noted(), engine.codec, options.stop):
        text += piece.text
        console.piece(piece.text)
    ended = clock()
    console.say()
    statistics = count_rounds(seen[1:])
    return AnswerResult(
        text=text,
        token_ids=tuple(token_id for turn in seen for token_id in turn.token_ids),
        log_probs=tuple(value for turn in seen for value in turn.log_probs),
        first_token_seconds=first - started,
        tokens_per_second=statistics.tokens / (ended - first) if statistics.tokens else 0.0,
        statistics=statistics,
    )
