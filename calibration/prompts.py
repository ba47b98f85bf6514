"""Reading prompts: JSON lines with `prompt` or `messages`, each in the ranking or the scoring half."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from edgedraft.runtime.errors import EdgedraftError
from edgedraft.runtime.records import require

RANK, SCORE = "rank", "score"
SHIPPED = "coding"


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A conversation to continue. The ``rank`` half chooses the draft vocabulary, the ``score`` half judges it."""

    id: str
    split: str
    messages: tuple[Mapping[str, Any], ...]


def shipped_prompts() -> tuple[Prompt, ...]:
    """The package's own coding prompts, half for ranking and half for scoring."""
    text = (resources.files("edgedraft.calibration") / "prompts" / f"{SHIPPED}.jsonl").read_text(encoding="utf-8")
    return parse_prompts(text, f"{SHIPPED} prompts")


def read_prompts(path: Path) -> tuple[Prompt, ...]:
    """Prompts of a JSON-lines file; errors name the file and the line."""
    try:
        return parse_prompts(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError as error:
        raise EdgedraftError(f"{path}: no such prompts file") from error
    except UnicodeDecodeError as error:
        raise EdgedraftError(f"{path}: prompts must be UTF-8", got=str(error)) from error


def parse_prompts(text: str, where: str) -> tuple[Prompt, ...]:
    """Prompts of JSON lines. Lines without a ``split`` take turns: rank, score, rank, …"""
    prompts: list[Prompt] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            prompts.append(_parse_line(line, len(prompts), f"{where}:{number}"))
    remedy = 'write one {"prompt": "..."} a line'
    require(len(prompts) > 0, f"{where}: expected at least one prompt", got=0, remedy=remedy)
    repeated = len(prompts) - len({prompt.id for prompt in prompts})
    require(repeated == 0, f"{where}: ids must differ", got=f"{repeated} repeated", remedy="rename or drop them")
    return tuple(prompts)


def take(prompts: Sequence[Prompt], split: str, limit: int | None = None) -> tuple[Prompt, ...]:
    """The first ``limit`` prompts of one half (all when None)."""
    chosen = tuple(prompt for prompt in prompts if prompt.split == split)
    require(len(chosen) > 0, f"no prompt in the {split} half", remedy=f'give some prompts "split": "{split}"')
    return chosen[:limit]


def _parse_line(line: str, count: int, where: str) -> Prompt:
    try:
        data = json.loads(line)
    except json.JSONDecodeError as error:
        raise EdgedraftError(f"{where}: not valid JSON", got=error.msg) from error
    require(isinstance(data, dict), f"{where}: expected an object", got=type(data).__name__)
    split = data.get("split", (RANK, SCORE)[count % 2])
    require(split in (RANK, SCORE), f"{where}: split: expected {RANK} or {SCORE}", got=repr(split))
    return Prompt(id=str(data.get("id", f"{count + 1:04d}")), split=split, messages=_messages(data, where))


def _messages(data: Mapping[str, Any], where: str) -> tuple[Mapping[str, Any], ...]:
    messages = data.get("messages")
    if messages is None:
        prompt = data.get("prompt")
        valid = isinstance(prompt, str) and bool(prompt.strip())
        require(valid, f"{where}: prompt: expected a text that is not empty", got=repr(prompt))
        return ({"role": "user", "content": prompt},)
    valid = isinstance(messages, list) and all(
        isinstance(message, dict) and isinstance(message.get("role"), str) and "content" in message
        for message in messages
    )
    require(valid and bool(messages), f"{where}: messages: expected objects with role and content")
    return tuple(messages)
