"""Answers of a model to prompts, journalled so that a stopped run goes on where it was. Who answers is a function."""

import contextlib
import json
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedraft.calibration.prompts import Prompt
from edgedraft.runtime.base.errors import full_disk_is_users
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require
from edgedraft.runtime.text.codec import TextCodec


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A prompt and its target token ids, ending where the answer begins."""

    prompt: Prompt
    prompt_ids: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SampledAnswer:
    """The tokens that a model generated after one prompt; both are target token ids."""

    prompt_id: str
    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]


Answering = Callable[[Sequence[Question]], Generator[SampledAnswer, None, None]]
"""Answers every question, in whatever order the answers come; an answer depends on its own question only.

Closing the generator ends the work on the others.
"""


def answer_all(
    answering: Answering,
    codec: TextCodec,
    prompts: Sequence[Prompt],
    journal: Path,
    progress: Progress = silent,
) -> list[SampledAnswer]:
    """Return the answers to all prompts, in the prompts' order; those already in ``journal`` are taken from there.

    ``answering`` is called only when an answer is missing. The caller names the journal after everything that decides
    the answers (model, limits, settings), so an answer in it is always the one that would be generated again.
    """
    known = {entry.prompt_id: entry for entry in read_journal(journal)}
    missing = [_question(codec, prompt) for prompt in prompts if prompt.id not in known]
    done = len(prompts) - len(missing)
    progress("answers", done, len(prompts))
    if missing:
        journal.parent.mkdir(parents=True, exist_ok=True)
        with (
            full_disk_is_users(journal),
            journal.open("a", encoding="utf-8") as file,
            contextlib.closing(answering(missing)) as answers,
        ):
            for entry in answers:
                _append(file.fileno(), entry)
                known[entry.prompt_id] = entry
                done += 1
                progress("answers", done, len(prompts))
    return [known[prompt.id] for prompt in prompts]


def read_journal(journal: Path) -> Iterator[SampledAnswer]:
    """Yield the whole entries of a journal; one that a crash cut short is passed over and will be generated again."""
    if not journal.exists():
        return
    for line in journal.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            data = json.loads(line)
        except json.JSONDecodeError:
            continue
        yield SampledAnswer(
            prompt_id=data["prompt_id"], prompt_ids=tuple(data["prompt_ids"]), token_ids=tuple(data["token_ids"])
        )


def _question(codec: TextCodec, prompt: Prompt) -> Question:
    prompt_ids = tuple(codec.encode_chat(prompt.messages, prompt.tools))
    require(len(prompt_ids) > 0, f"prompt {prompt.id}: holds no token", remedy="write something in it")
    return Question(prompt=prompt, prompt_ids=prompt_ids)


def _append(handle: int, entry: SampledAnswer) -> None:
    """One write of a line that begins on a fresh line, so an entry cut short spoils no other."""
    data = {"prompt_id": entry.prompt_id, "prompt_ids": entry.prompt_ids, "token_ids": entry.token_ids}
    os.write(handle, f"\n{json.dumps(data)}\n".encode())
    os.fsync(handle)
