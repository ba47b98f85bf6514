"""Answering many prompts with one batch: a row whose answer has ended takes the next prompt at once."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from edgedraft.runtime.base.arrays import Logits
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.acceptance import GreedyVerifier, Verifier
from edgedraft.runtime.core.decoding import GREEDY
from edgedraft.runtime.core.limits import Limits
from edgedraft.runtime.core.model import LanguageModel, prefill
from edgedraft.runtime.core.verify import greedy_choices

BATCH_ROWS = 8
"""Answers made at once unless the caller says otherwise; with more, a pass takes nearly a fixed time a row."""

Numbered = tuple[int, tuple[int, ...]]
"""A prompt's number and the tokens of its answer."""


class Batch(Protocol):
    """Models that are stepped together, each with its own key/value cache and length."""

    @property
    def rows(self) -> Sequence[LanguageModel]:
        """Return the models; what one row holds does not affect any other."""
        ...

    def step(self, token_ids: Sequence[int]) -> Logits:
        """Append one token to each of the first rows; row i of the (rows, vocab) result scores what follows in row i.

        The array may be reused by the next call on the batch or on one of its rows.
        """
        ...

    def move(self, source: int, destination: int) -> None:
        """Move the tokens of row ``source`` to row ``destination``; ``source`` is empty afterwards."""
        ...


class JointBatch(Batch, Protocol):
    """A batch whose rows may read several tokens in one pass, each as if it read alone."""

    def takes(self, token_ids: Mapping[int, Sequence[int]]) -> bool:
        """Return whether `read` has room for ``token_ids``, by the rows' numbers."""
        ...

    def read(self, token_ids: Mapping[int, Sequence[int]]) -> Mapping[int, Logits]:
        """Append tokens to rows in one pass; return each row's logits, (tokens, vocab), until the next call."""
        ...


def always_greedy(number: int) -> Verifier:
    """Return the greedy verifier, whatever the prompt."""
    return GREEDY.verifier


def batched_answers(
    batch: Batch,
    prompts: Iterable[Sequence[int]],
    limits: Limits,
    verifiers: Callable[[int], Verifier] = always_greedy,
) -> Iterator[Numbered]:
    """Answer each prompt as `plain_rounds` would within ``limits``; yield prompt numbers and tokens, each as it ends.

    A prompt starts when a row is free. ``verifiers`` returns the verifier for a prompt's number; a sampling verifier
    needs its own random generator, so that an answer depends only on its prompt and seed. Raises `EdgedraftError` for a
    prompt that is empty or too long. The generator may be closed after any answer; the batch can be used again.
    """
    waiting = _waiting(prompts, batch.rows[0].context_length, limits, verifiers)
    running: list[_RunningAnswer] = []
    for row in batch.rows:
        answer = yield from _begun(row, waiting)
        if answer is None:
            break
        running.append(answer)
    while running:
        _commit(running, batch.step([answer.committed[-1] for answer in running]))
        for place in reversed(range(len(running))):
            if running[place].ended:
                yield running[place].result
                yield from _replaced(batch, running, place, waiting)


@dataclass(kw_only=True, slots=True)
class _RunningAnswer:
    """A running answer: ``committed`` begins with the prompt and holds at most ``longest`` tokens."""

    number: int
    committed: list[int]
    prompt_length: int
    longest: int
    end_token_ids: tuple[int, ...]
    verifier: Verifier

    @property
    def ended(self) -> bool:
        """Return whether the last token, which is not the prompt's, ends the answer."""
        return len(self.committed) >= self.longest or self.committed[-1] in self.end_token_ids

    @property
    def result(self) -> Numbered:
        return self.number, tuple(self.committed[self.prompt_length :])


def _waiting(
    prompts: Iterable[Sequence[int]], context_length: int, limits: Limits, verifiers: Callable[[int], Verifier]
) -> Iterator[_RunningAnswer]:
    """Yield the answers to give, in the prompts' order; a full context still scores one more token."""
    for number, prompt_ids in enumerate(prompts):
        length = len(prompt_ids)
        require(length > 0, f"prompt {number}: holds no token", remedy="write something in it")
        rule = f"prompt {number}: the context holds {context_length} tokens"
        require(length <= context_length, rule, got=length, remedy="shorten it or open the model with a larger context")
        yield _RunningAnswer(
            number=number,
            committed=[int(token_id) for token_id in prompt_ids],
            prompt_length=length,
            longest=min(length + limits.max_new_tokens, context_length + 1),
            end_token_ids=limits.end_token_ids,
            verifier=verifiers(number),
        )


def _begun(row: LanguageModel, waiting: Iterator[_RunningAnswer]) -> Generator[Numbered, None, _RunningAnswer | None]:
    """Read the next prompt into ``row``; answers that end with their first token are yielded, the next one is begun.

    The row is cleared first: which prompt it held before depends on the other rows, and rounding would then, too.
    """
    for answer in waiting:
        row.rewind(0)
        _commit([answer], prefill(row, answer.committed)[None])
        if not answer.ended:
            return answer
        yield answer.result
    return None


def _replaced(
    batch: Batch, running: list[_RunningAnswer], place: int, waiting: Iterator[_RunningAnswer]
) -> Iterator[Numbered]:
    """Give the row of a finished answer to the next prompt or, if none waits, to the last running answer."""
    successor = yield from _begun(batch.rows[place], waiting)
    if successor is None:
        successor = running.pop()
        if place == len(running):
            return
        batch.move(len(running), place)
    running[place] = successor


def _commit(answers: Sequence[_RunningAnswer], logits: Logits) -> None:
    """Append to each answer the token that its verifier takes from its row of (answers, vocab) logits."""
    if all(isinstance(answer.verifier, GreedyVerifier) for answer in answers):
        choices = greedy_choices(logits, "the target")
    else:
        rows = zip(answers, logits, strict=True)
        choices = [answer.verifier.verify([], row[None], answer.committed)[0] for answer, row in rows]
    for answer, token_id in zip(answers, choices, strict=True):
        answer.committed.append(token_id)
