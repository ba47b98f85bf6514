"""Counts of a server, as text in Prometheus's format."""

import threading
from collections import Counter
from collections.abc import Iterable
from typing import Any

from edgedraft.runtime.serving.openai.pool import Load
from edgedraft.runtime.text.streaming import Usage

_HELP = {
    "requests_total": ("counter", "requests for an answer, by the status that they got; 499: the client went away"),
    "prompt_tokens_total": ("counter", "tokens of the prompts of complete answers"),
    "prompt_tokens_cached_total": ("counter", "of these, tokens that a slot still held"),
    "prompt_seconds_total": ("counter", "seconds from the start of an answer to its first token"),
    "generated_tokens_total": ("counter", "tokens of complete answers"),
    "generation_seconds_total": ("counter", "seconds from the first token of an answer to its last"),
    "draft_tokens_total": ("counter", "tokens that the drafter proposed"),
    "draft_tokens_accepted_total": ("counter", "of these, tokens that the target accepted"),
    "answers_running": ("gauge", "answers that are being decoded"),
    "answers_waiting": ("gauge", "answers in the queue"),
}


class ServerMetrics:
    """Counts requests and tokens; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._statuses: Counter[int] = Counter()
        self._sums: Counter[str] = Counter()

    def count(self, status: int) -> None:
        """Count a request by its status."""
        with self._lock:
            self._statuses[status] += 1

    def add(self, usage: Usage) -> None:
        """Add the tokens and seconds of a complete answer."""
        with self._lock:
            self._sums["prompt_tokens_total"] += usage.prompt_tokens
            self._sums["prompt_tokens_cached_total"] += usage.cached_tokens
            self._sums["prompt_seconds_total"] += usage.first_token_seconds  # type: ignore[assignment]
            self._sums["generated_tokens_total"] += usage.completion_tokens
            self._sums["generation_seconds_total"] += usage.seconds - usage.first_token_seconds  # type: ignore[assignment]
            self._sums["draft_tokens_total"] += usage.drafted_tokens
            self._sums["draft_tokens_accepted_total"] += usage.accepted_tokens

    def summary(self) -> dict[str, Any]:
        """Return all counts as plain data."""
        with self._lock:
            statuses = {str(status): count for status, count in sorted(self._statuses.items())}
            return {"requests": statuses, **self._sums}

    def text(self, load: Load) -> str:
        """Return all counts, and the ``load``, in Prometheus's text format."""
        with self._lock:
            statuses, sums = dict(self._statuses), dict(self._sums)
        values = {**sums, "answers_running": load.running, "answers_waiting": load.waiting}
        lines = _described("requests_total", [(f'{{status="{key}"}}', statuses[key]) for key in sorted(statuses)])
        for name in [*_HELP][1:]:
            lines += _described(name, [("", values.get(name, 0))])
        return "\n".join(lines) + "\n"


def _described(name: str, samples: Iterable[tuple[str, float]]) -> list[str]:
    kind, text = _HELP[name]
    full = f"edgedraft_{name}"
    return [f"# HELP {full} {text}", f"# TYPE {full} {kind}", *(f"{full}{labels} {value}" for labels, value in samples)]
