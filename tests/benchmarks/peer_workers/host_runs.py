"""The interleaved measurement: every prompt by every way, in an order that turns round by one each prompt."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peer_workers.host_process import Launch, Worker
from peer_workers.host_setup import note
from peer_workers.host_ways import Way

_WARM_UP_TOKENS = 8


@dataclass(frozen=True, kw_only=True)
class Question:
    """One prompt as every engine gets it: the same ids, or the text they are made from."""

    id: str
    prompt_ids: tuple[int, ...]
    prompt_text: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """One prompt decoded one way. ``idle_share`` is what the waiting workers used meanwhile, in cores."""

    way: str
    prompt: str
    answer: list[int] | str
    tokens: int
    timed_tokens: int
    prompt_seconds: float
    decode_seconds: float
    proposed: int | None
    accepted: int | None
    overshoots: bool
    remarks: list[str]
    idle_share: float
    load: float
    rounds: int | None = None
    drafter_seconds: float | None = None
    target_seconds: float | None = None

    @property
    def tokens_per_second(self) -> float:
        """Decoding alone: the prompt is excluded."""
        return self.timed_tokens / self.decode_seconds if self.decode_seconds > 0 else 0.0

    @property
    def whole_tokens_per_second(self) -> float:
        """Everything, the prompt included."""
        return self.tokens / (self.prompt_seconds + self.decode_seconds)

    def same_text(self, other: "Run") -> bool:
        """Equal answers; where both were ended by the limit, perhaps late, as far as the shorter one goes."""
        if isinstance(self.answer, str) and isinstance(other.answer, str) and self.overshoots and other.overshoots:
            shorter, longer = sorted((self.answer, other.answer), key=len)
            return longer.startswith(shorter)
        return self.answer == other.answer


def measure(
    ways: Sequence[Way],
    workers: Mapping[Launch, Worker],
    questions: Sequence[Question],
    max_new_tokens: int,
    end_token_ids: Sequence[int],
) -> dict[str, list[Run]]:
    """All runs, by way; the first prompt is begun once by every way beforehand, uncounted."""
    runs: dict[str, list[Run]] = {way.key: [] for way in ways}
    for turn, question in enumerate([questions[0], *questions]):
        for step in range(len(ways)):
            way = ways[(turn + step) % len(ways)]
            size = max_new_tokens if turn else min(max_new_tokens, _WARM_UP_TOKENS)
            task = _task(way, question, size, end_token_ids)
            run = _run(way, workers, question, task)
            if turn:
                runs[way.key].append(run)
                note(f"prompt {turn}/{len(questions)}  {way.key:<20} {_speed(run)}")
    return runs


def _speed(run: Run) -> str:
    return f"{run.tokens:>4} tokens  {run.tokens_per_second:6.2f} tokens/s  load {run.load:.2f}"


def _task(way: Way, question: Question, size: int, end_token_ids: Sequence[int]) -> dict[str, Any]:
    return {
        "prompt_ids": question.prompt_ids,
        "prompt_text": question.prompt_text,
        "max_new_tokens": size,
        "end_token_ids": list(end_token_ids),
        "options": dict(way.options),
    }


def _run(way: Way, workers: Mapping[Launch, Worker], question: Question, task: Mapping[str, Any]) -> Run:
    waiting = [worker for launch, worker in workers.items() if launch != way.launch]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    used, started = sum(worker.cpu_seconds() for worker in waiting), time.perf_counter()
    timed = workers[way.launch].ask(task)
    idle = (sum(worker.cpu_seconds() for worker in waiting) - used) / (time.perf_counter() - started)
    return Run(way=way.key, prompt=question.id, idle_share=idle, load=load, **timed)
