"""Worker: edgedraft itself, through its public API; a bundle opened once answers with and without speculation."""

import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from worker_protocol import Engine, Task, Timed, serve

from edgedraft.runtime.core.decoding import plain_rounds
from edgedraft.runtime.core.limits import limited
from edgedraft.runtime.engine import DecodingOptions
from edgedraft.runtime.engine import Engine as BundleEngine


def load(config: Mapping[str, Any]) -> Engine:
    """Open the bundle."""
    engine = BundleEngine.open(
        Path(config["bundle"]), threads=config["threads"], context_length=config["context_length"]
    )

    alone = engine.inexact_target()  # the target alone is timed without what exact mode costs

    def answer(task: Task) -> Timed:
        options = DecodingOptions(policy=task.options["policy"])
        drafts = task.options["policy"] != "plain"
        with engine.slots.taken() as slot:
            slot.clear()  # another way may have read this prompt before
        started = time.perf_counter()
        limits = engine.limits(task.max_new_tokens)
        if drafts or alone is None:
            rounds = engine.rounds(task.prompt_ids, limits, options)
        else:
            alone.rewind(0)
            rounds = limited(plain_rounds(alone, task.prompt_ids), limits)
        first = next(rounds)
        prompted = time.perf_counter()
        rest = list(rounds)
        ended = time.perf_counter()
        ids = [token for turn in (first, *rest) for token in turn.token_ids]
        return Timed(
            answer=ids,
            tokens=len(ids),
            timed_tokens=len(ids) - len(first.token_ids),
            prompt_seconds=prompted - started,
            decode_seconds=ended - prompted,
            proposed=sum(turn.drafted for turn in rest) if drafts else None,
            accepted=sum(turn.accepted for turn in rest) if drafts else None,
            rounds=len(rest),
            drafter_seconds=sum(turn.drafter_seconds for turn in rest),
            target_seconds=sum(turn.target_seconds for turn in rest),
        )

    return Engine(answer=answer, versions={name: version(name) for name in ("edgedraft", "onnxruntime")})


if __name__ == "__main__":
    serve(load)
