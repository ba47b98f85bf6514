"""Answer a talk piece by piece, until it is whole or a caller stops it."""

import time
from collections.abc import Callable, Iterator, Sequence

from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.engine import DecodingOptions, Engine
from edgedraft.runtime.text.streaming import Meter, TextPiece, TextStream, answer_pieces


def stoppable_pieces(
    engine: Engine,
    prompt_ids: Sequence[int],
    *,
    max_new_tokens: int,
    stop: Sequence[str],
    options: DecodingOptions,
    stopped: Callable[[], bool],
) -> Iterator[TextPiece]:
    """Answer as `Engine.pieces` does; end after the pass in which ``stopped`` becomes true.

    The last piece carries the usage also of an answer that was stopped.
    """
    limits = engine.limits(max_new_tokens)
    rounds = _until(engine.rounds(prompt_ids, limits, options), stopped)
    meter = Meter(len(prompt_ids), time.perf_counter)
    return answer_pieces(rounds, TextStream(engine.codec, stop), limits.end_token_ids, meter)


def _until(rounds: Iterator[Round], stopped: Callable[[], bool]) -> Iterator[Round]:
    for round_ in rounds:
        yield round_
        if stopped():
            return
