"""How much of a round passes outside ONNX Runtime: decode with a bundle, policy by policy, and split the time.

    python tests/benchmarks/overhead.py BUNDLE [--policy NAME ...] [--prompts N] [--max-new-tokens N] [--profile]

Session time is what `run_with_iobinding` takes; everything else of a decoding round counts as ours: binding, choosing,
verifying, policy, bookkeeping. `--profile` adds the functions that take most of it.
"""

import argparse
import cProfile
import pstats
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgedraft.calibration.data.samples import SCORE
from edgedraft.calibration.prompts import shipped_prompts, take
from edgedraft.console import Console
from edgedraft.runtime.core.padding import Padded
from edgedraft.runtime.core.policies import POLICIES
from edgedraft.runtime.engine import DecodingOptions, Engine
from edgedraft.runtime.slots import Slot


class TimedSession:
    """An ONNX Runtime session that adds up the seconds of its runs."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.seconds = 0.0

    def run_with_iobinding(self, binding: Any) -> None:
        started = time.perf_counter()
        self._session.run_with_iobinding(binding)
        self.seconds += time.perf_counter() - started


@dataclass(frozen=True, kw_only=True)
class Split:
    """Decoding rounds of one policy: how many, how long, and how much of that inside sessions."""

    rounds: int
    seconds: float
    session_seconds: float

    @property
    def overhead_share(self) -> float:
        return 1 - self.session_seconds / self.seconds


def timed(slot: Slot) -> list[TimedSession]:
    """Put a timed session under both memories of ``slot``."""
    sessions = []
    for model in (slot.target, slot.source.model):
        graph = (model._model if isinstance(model, Padded) else model)._graph
        if not isinstance(graph.session, TimedSession):
            graph.session = TimedSession(graph.session)
        sessions.append(graph.session)
    return sessions


def split(engine: Engine, sessions: list[TimedSession], policy: str, options: argparse.Namespace) -> Split:
    """Decode every prompt by ``policy``, the prompt's own pass left out."""
    rounds = 0
    seconds = session_seconds = 0.0
    for prompt in take(shipped_prompts(), SCORE, options.prompts):
        prompt_ids = engine.codec.encode_chat(prompt.messages)
        decoding = DecodingOptions(policy=policy)
        turns = engine.rounds(prompt_ids, engine.limits(options.max_new_tokens), decoding)
        next(turns)
        before, started = sum(session.seconds for session in sessions), time.perf_counter()
        rounds += sum(1 for _ in turns)
        seconds += time.perf_counter() - started
        session_seconds += sum(session.seconds for session in sessions) - before
    return Split(rounds=rounds, seconds=seconds, session_seconds=session_seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--policy", action="append", choices=POLICIES, help="default: every policy")
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--profile", action="store_true", help="list the functions that take most of the time outside")
    options = parser.parse_args()
    console = Console()
    engine = Engine.open(options.bundle, verify_hashes=False)
    with engine.slots.taken() as slot:
        sessions = timed(slot)
    rows = []
    profiler = cProfile.Profile()
    for policy in options.policy or POLICIES:
        split(engine, sessions, policy, argparse.Namespace(prompts=1, max_new_tokens=8))  # warm up
        found = split(engine, sessions, policy, options)
        each, outside = 1e3 * found.seconds / found.rounds, 1e3 * (found.seconds - found.session_seconds) / found.rounds
        rows.append((policy, str(found.rounds), f"{each:.2f}", f"{outside:.3f}", f"{found.overhead_share:.2%}"))
        if options.profile:
            profiler.enable()
            split(engine, sessions, policy, options)
            profiler.disable()
    console.table(("policy", "rounds", "ms a round", "ms outside the sessions", "share"), rows)
    if options.profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(15)


if __name__ == "__main__":
    main()
