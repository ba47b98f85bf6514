"""Answers of a model to prompts, kept in a journal so that a stopped run continues. A function gives the answers."""

import contextlib
import json
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedraft.calibration.prompts import Prompt
from edgedraft.runtime.base.errors import full_disk_is_users, unwritable_is_users
from edgedraft.runtime.base.exchange import make_folder, sync_folder
from edgedraft.runtime.base.kept import plain_sum
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require
from edgedraft.runtime.text.codec import TextCodec

_SUM = "sha256"


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

    ``answering`` is called only when an answer is missing. The journal's name must identify the model, limits and
    settings, so that only answers that would be generated again are reused.
    """
    known = {entry.prompt_id: entry for entry in read_journal(journal)}
    missing = [_question(codec, prompt) for prompt in prompts if prompt.id not in known]
    done = len(prompts) - len(missing)
    progress("answers", done, len(prompts))
    if missing:
        with unwritable_is_users(journal):
            make_folder(journal.parent)
            journal.touch()
            sync_folder(journal.parent)
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
    """Yield the complete entries of a journal; incomplete or damaged ones will be generated again."""
    if not journal.exists():
        return
    for line in journal.read_text(encoding="utf-8", errors="replace").splitlines():
        entry = _entry(line)
        if entry is not None:
            yield entry


def _entry(line: str) -> SampledAnswer | None:
    """Return the entry of a line; None if it is damaged. Lines of earlier versions have no checksum."""
    try:
        data = json.loads(line)
        total = data.pop(_SUM, None)
        if total not in (None, plain_sum(data)):
            return None
        return SampledAnswer(
            prompt_id=data["prompt_id"], prompt_ids=tuple(data["prompt_ids"]), token_ids=tuple(data["token_ids"])
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _question(codec: TextCodec, prompt: Prompt) -> Question:
    prompt_ids = tuple(codec.encode_chat(prompt.messages, prompt.tools))
    require(len(prompt_ids) > 0, f"prompt {prompt.id}: holds no token", remedy="write something in it")
    return Question(prompt=prompt, prompt_ids=prompt_ids)


def _append(handle: int, entry: SampledAnswer) -> None:
    """Write an entry on a line of its own, after any incomplete one, and wait until it is on disk."""
    data = {"prompt_id": entry.prompt_id, "prompt_ids": list(entry.prompt_ids), "token_ids": list(entry.token_ids)}
    line = f"\n{json.dumps(data | {_SUM: plain_sum(data)})}\n".encode()
    while line:
        line = line[os.write(handle, line) :]
    os.fsync(handle)
