"""The worker's side of the pipe: load once, then answer one prompt a JSON line; standard library only."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Task:
    """One prompt to decode greedily; ``options`` are the way's own."""

    prompt_ids: list[int]
    prompt_text: str
    max_new_tokens: int
    end_token_ids: list[int]
    options: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Timed:
    """One decoded prompt: ``timed_tokens`` are those made in ``decode_seconds``, after the prompt was read.

    ``answer`` is what equal texts are judged by: token ids where the engine tells them, else the text. ``overshoots``
    says that the limit ended it, but perhaps a few tokens late. ``rounds`` and their seconds are of the timed tokens.
    """

    answer: Sequence[int] | str
    tokens: int
    timed_tokens: int
    prompt_seconds: float
    decode_seconds: float
    proposed: int | None = None
    accepted: int | None = None
    overshoots: bool = False
    remarks: Sequence[str] = ()
    rounds: int | None = None
    drafter_seconds: float | None = None
    target_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A loaded engine: its versions, the weights it says it holds, and how it answers."""

    answer: Callable[[Task], Timed]
    versions: Mapping[str, str] = field(default_factory=dict)
    weights: str = ""


def serve(load: Callable[[Mapping[str, Any]], Engine]) -> None:
    """Load with the JSON in the first argument, then answer until standard input ends.

    Whatever a library prints goes to standard error, so that it cannot break the pipe.
    """
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as pipe:
        os.dup2(2, 1)
        engine = load(json.loads(sys.argv[1]))
        _say(pipe, {"versions": dict(engine.versions), "weights": engine.weights})
        for line in sys.stdin:
            _say(pipe, asdict(engine.answer(Task(**json.loads(line)))))


def _say(pipe: Any, message: Mapping[str, Any]) -> None:
    pipe.write(json.dumps(message) + "\n")
    pipe.flush()
