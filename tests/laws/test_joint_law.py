"""Answers that share passes get the target's own bits, whatever the others read, and however passes are shared."""

import threading
from random import Random

import numpy as np
import pytest

from edgedraft.runtime.core.options import DecodingOptions
from edgedraft.runtime.engine import Engine
from edgedraft.runtime.serving.openai import pool as pools
from edgedraft.runtime.serving.openai.pool import AnswerJob, AnswerPool
from edgedraft.runtime.serving.openai.requests import AnswerRequest
from edgedraft.runtime.text.streaming import TextPiece
from tests.laws.test_exact_law import NEW_TOKENS, PLAIN, WAYS, alone, int4_bundle, kernel  # noqa: F401
from tests.runtime.native.conftest import kernels, library  # noqa: F401

ROWS, CONTEXT = 4, 64


def test_rows_of_a_shared_pass_have_the_bits_of_passes_alone(int4_bundle, kernel):  # noqa: F811
    """Any rows, any numbers of tokens; what is computed beyond a row's own tokens never shows."""
    engine = Engine.open(int4_bundle, context_length=CONTEXT, exact=True)
    batch, graph, random = engine.target_batch(ROWS), engine._target_graph, Random(5)
    single, texts = graph.new_model(), [[] for _ in range(ROWS)]
    for _ in range(150):
        wanted = {
            row: [random.randrange(3, 400) for _ in range(random.randint(1, 6))]
            for row in sorted(random.sample(range(ROWS), random.randint(1, ROWS)))
        }
        for row in wanted:
            if len(texts[row]) > CONTEXT - 12:
                del texts[row][random.randrange(8) :]
                batch.rows[row].rewind(len(texts[row]))
        if not batch.takes(wanted):
            continue
        scored = {row: logits.copy() for row, logits in batch.read(wanted).items()}
        for row, ids in wanted.items():
            single.rewind(0)
            if texts[row]:
                single.read(texts[row])
            np.testing.assert_array_equal(scored[row], single.read(ids).logits)
            texts[row] += ids[: random.randint(0, len(ids))]
            batch.rows[row].rewind(len(texts[row]))


def test_a_row_without_room_for_the_longest_is_not_taken(int4_bundle, kernel):  # noqa: F811
    batch = Engine.open(int4_bundle, context_length=CONTEXT, exact=True).target_batch(3)
    batch.rows[1].read(range(3, CONTEXT))  # room for three more
    assert batch.takes({0: [5] * 3, 2: [5]})
    assert not batch.takes({0: [5] * 4, 2: [5]})
    assert batch.takes({0: [5] * 4})


def to_its_end(engine: Engine, tokens: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """An answer up to the token that ends it."""
    ends = engine.bundle.manifest.end_token_ids
    length = next((place + 1 for place, (token, _) in enumerate(tokens) if token in ends), len(tokens))
    return tokens[:length]


class Crowd:
    """Answers asked of a pool; each is followed to its end."""

    def __init__(self, pool: AnswerPool) -> None:
        self._pool, self._ended = pool, threading.Semaphore(0)
        self.said: dict[int, list[tuple[int, float]]] = {}
        self.errors: list[BaseException] = []

    def ask(self, number: int, prompt: list[int], options: DecodingOptions) -> AnswerJob:
        self.said[number] = []

        def emit(piece: TextPiece | BaseException) -> None:
            if isinstance(piece, BaseException):
                self.errors.append(piece)
                self._ended.release()
                return
            self.said[number] += zip(piece.token_ids, piece.log_probs, strict=True)
            if piece.finish_reason is not None:
                self._ended.release()

        request = AnswerRequest(model=None, options=options, max_tokens=NEW_TOKENS)
        job = AnswerJob(prompt_ids=prompt, request=request, emit=emit)
        with self._pool.place() as hand_in:
            hand_in(job)
        return job

    def wait(self) -> None:
        for _ in self.said:
            assert self._ended.acquire(timeout=60)


@pytest.fixture
def shared_passes(monkeypatch):
    """Passes are shared whatever they cost here; the numbers of readings in each are kept."""
    monkeypatch.setattr(pools, "measured_costs", lambda batch, tokens: lambda rows: 1.0)
    counts = []

    class Counted(pools.JointTargets):
        def _run(self, readings):
            counts.append(len(readings))
            super()._run(readings)

    monkeypatch.setattr(pools, "JointTargets", Counted)
    return counts


def test_a_crowd_gets_the_answers_of_each_alone(int4_bundle, kernel, alone, random_prompts, shared_passes):  # noqa: F811
    engine = Engine.open(int4_bundle, context_length=128, exact=True)
    pool = AnswerPool(engine, ROWS, 64)
    assert pool.shares_passes
    prompts = random_prompts(10, seed=301, longest=60)
    ways = [*WAYS.values(), PLAIN]
    crowd = Crowd(pool)
    asked = [(prompt, ways[(number + turn) % len(ways)]) for turn in range(4) for number, prompt in enumerate(prompts)]
    for number, (prompt, way) in enumerate(asked):
        crowd.ask(number, prompt, DecodingOptions(log_probs=True, **way))
    crowd.wait()
    pool.close()
    assert crowd.errors == []
    for number, (prompt, _) in enumerate(asked):
        assert crowd.said[number] == to_its_end(engine, alone(prompt))
    assert sum(count == ROWS for count in shared_passes) > len(shared_passes) / 3


def test_cancelled_answers_disturb_nobody(int4_bundle, kernel, alone, random_prompts, shared_passes):  # noqa: F811
    engine = Engine.open(int4_bundle, context_length=128, exact=True)
    pool = AnswerPool(engine, ROWS, 64)
    prompts, random = random_prompts(12, seed=302, longest=40), Random(1)
    crowd, cancelled = Crowd(pool), Crowd(pool)
    for number, prompt in enumerate(prompts * 2):
        crowd.ask(number, prompt, DecodingOptions(log_probs=True, **WAYS["fixed 2"]))
        job = cancelled.ask(number, prompt[::-1], DecodingOptions(log_probs=True, **WAYS["fixed 5"]))
        threading.Timer(random.random() / 5, pool.cancel, (job,)).start()
    crowd.wait()
    cancelled.wait()
    pool.close()
    assert crowd.errors == []
    for number, prompt in enumerate(prompts * 2):
        assert crowd.said[number] == to_its_end(engine, alone(prompt))


def test_without_own_attention_answers_take_turns(int4_bundle, monkeypatch):  # noqa: F811
    monkeypatch.setenv("EDGEDRAFT_KERNELS", "stock")
    engine = Engine.open(int4_bundle, context_length=64)
    assert engine.target_batch(2) is None
    pool = AnswerPool(engine, 2, 2)
    assert not pool.shares_passes
    pool.close()
