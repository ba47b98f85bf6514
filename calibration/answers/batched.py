"""Answering with the runtime's own batched decoding."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np

from edgedraft.calibration.answers.sampling import Answering, Question, SampledAnswer
from edgedraft.runtime.base.arrays import Logits
from edgedraft.runtime.core.acceptance import RandomVerifier, Verifier
from edgedraft.runtime.core.batch import Batch, batched_answers
from edgedraft.runtime.core.decoding import GREEDY
from edgedraft.runtime.core.limits import Limits
from edgedraft.runtime.core.model import LanguageModel
from edgedraft.runtime.core.sampling import SamplingSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Draws:
    """The settings by which answers are drawn; the same ``seed`` draws the same answers in any company."""

    settings: SamplingSettings
    seed: int = 0

    def generator(self, digest: str) -> np.random.Generator:
        """Return the random numbers of the answer to the prompt with this digest."""
        return np.random.default_rng([self.seed, int(digest, 16)])


class OneByOne:
    """A batch of a single row, for models whose passes mix what their rows hold."""

    def __init__(self, model: LanguageModel) -> None:
        self.rows = (model,)

    def step(self, token_ids: Sequence[int]) -> Logits:
        """Read one token and return its logits, as `Batch.step` does."""
        return self.rows[0].read(token_ids).logits

    def move(self, source: int, destination: int) -> None:
        """Do nothing: there is no other row to move to, as `Batch.move` would."""


def batched_answering(open_batch: Callable[[], Batch], limits: Limits, draws: Draws | None = None) -> Answering:
    """Answers by the model behind ``open_batch``, greedily without ``draws``; it is opened when the first is asked."""

    def verifier(question: Question) -> Verifier:
        if draws is None:
            return GREEDY.verifier
        return RandomVerifier(draws.settings, draws.generator(question.prompt.digest))

    def answering(questions: Sequence[Question]) -> Generator[SampledAnswer, None, None]:
        prompts = [question.prompt_ids for question in questions]
        for number, token_ids in batched_answers(open_batch(), prompts, limits, lambda n: verifier(questions[n])):
            asked = questions[number]
            yield SampledAnswer(prompt_id=asked.prompt.id, prompt_ids=asked.prompt_ids, token_ids=token_ids)

    return answering
