"""Sampling a model on prompts with our own runtime, journalled so that a stopped run goes on where it was."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedraft.calibration.prompts import Prompt
from edgedraft.runtime.decoding import plain_rounds
from edgedraft.runtime.errors import full_disk_is_users
from edgedraft.runtime.generation import Limits, limited
from edgedraft.runtime.model import LanguageModel
from edgedraft.runtime.progress import Progress, silent
from edgedraft.runtime.records import require
from edgedraft.runtime.text import TextCodec


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a model generated after one prompt; both are target token ids."""

    prompt_id: str
    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]


def answer(model: LanguageModel, prompt_ids: Sequence[int], limits: Limits) -> tuple[int, ...]:
    """The model's own greedy continuation of ``prompt_ids``."""
    model.rewind(0)
    rounds = limited(plain_rounds(model, prompt_ids), limits)
    return tuple(token for turn in rounds for token in turn.token_ids)


def answer_all(
    open_model: Callable[[], LanguageModel],
    codec: TextCodec,
    prompts: Sequence[Prompt],
    limits: Limits,
    journal: Path,
    progress: Progress = silent,
) -> list[Answer]:
    """Answer every prompt, in order; answers already in ``journal`` are taken from there.

    ``open_model`` is called only when an answer is missing. The caller names the journal
    after everything that decides the answers (model, limits, prompts), so an answer in it
    is always the one that would be generated again.
    """
    known = {entry.prompt_id: entry for entry in read_journal(journal)}
    answers = []
    journal.parent.mkdir(parents=True, exist_ok=True)
    with full_disk_is_users(journal), journal.open("a", encoding="utf-8") as file:
        for done, prompt in enumerate(prompts):
            progress("answers", done, len(prompts))
            entry = known.get(prompt.id)
            if entry is None:
                prompt_ids = tuple(codec.encode_chat(prompt.messages))
                require(len(prompt_ids) > 0, f"prompt {prompt.id}: holds no token", remedy="write something in it")
                token_ids = answer(open_model(), prompt_ids, limits)
                entry = Answer(prompt_id=prompt.id, prompt_ids=prompt_ids, token_ids=token_ids)
                _append(file.fileno(), entry)
            answers.append(entry)
    progress("answers", len(prompts), len(prompts))
    return answers


def read_journal(journal: Path) -> Iterator[Answer]:
    """The whole entries of a journal; one that a crash cut short is passed over and will be generated again."""
    if not journal.exists():
        return
    for line in journal.read_text(encoding="utf-8").splitlines():
        try:
            data = json.loads(line)
        except json.JSONDecodeError:
            continue
        yield Answer(
            prompt_id=data["prompt_id"], prompt_ids=tuple(data["prompt_ids"]), token_ids=tuple(data["token_ids"])
        )


def _append(handle: int, entry: Answer) -> None:
    """One write of a line that begins on a fresh line, so an entry cut short spoils no other."""
    data = {"prompt_id": entry.prompt_id, "prompt_ids": entry.prompt_ids, "token_ids": entry.token_ids}
    os.write(handle, f"\n{json.dumps(data)}\n".encode())
    os.fsync(handle)
