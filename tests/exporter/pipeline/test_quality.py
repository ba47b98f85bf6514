"""Divergence is the mean KL over answer positions only, zero for a model against itself; a bound refuses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.exporter.pipeline.quality import answer_log_probs, check_divergence, divergence, kl_rows
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.bundle.manifest import DivergenceEntry
from edgedraft.runtime.core.model import Pass

VOCAB = 5


class TableModel:
    """Row t of a table scores what follows token t."""

    def __init__(self, table: np.ndarray) -> None:
        self.table = table.astype(np.float32)
        self.token_ids: list[int] = []

    def read(self, token_ids):
        self.token_ids += token_ids
        return Pass(logits=self.table[list(token_ids)])

    def rewind(self, length: int) -> None:
        del self.token_ids[length:]


def random_table(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(VOCAB, VOCAB))


def entry(prompt: tuple[int, ...], tokens: tuple[int, ...]) -> SampledAnswer:
    return SampledAnswer(prompt_id="p", prompt_ids=prompt, token_ids=tokens)


def naive_kl(wanted: np.ndarray, found: np.ndarray) -> float:
    p, q = (np.exp(row) / np.exp(row).sum() for row in (wanted, found))
    return float(sum(a * np.log(a / b) for a, b in zip(p, q, strict=True)))


@given(seed=st.integers(0, 999), prompt=st.lists(st.integers(0, 4), min_size=1, max_size=40), tokens=st.data())
def test_divergence_is_the_mean_over_answer_positions(seed, prompt, tokens):
    answers = [
        entry(tuple(prompt), tuple(tokens.draw(st.lists(st.integers(0, 4), min_size=1, max_size=6)))) for _ in range(2)
    ]
    float_table, packed_table = random_table(seed), random_table(seed + 1)
    contexts = [token for each in answers for token in (each.prompt_ids[-1], *each.token_ids[:-1])]
    kls = [naive_kl(float_table[token], packed_table[token]) for token in contexts]
    same = [float_table[token].argmax() == packed_table[token].argmax() for token in contexts]
    measured = divergence("int4", TableModel(float_table), TableModel(packed_table), answers)
    assert measured.precision == "int4"
    assert measured.positions == len(contexts)
    assert measured.kl_per_token == pytest.approx(np.mean(kls), rel=1e-5, abs=1e-6)
    assert measured.greedy_agreement == pytest.approx(np.mean(same))


def test_a_model_does_not_diverge_from_itself():
    table, answers = random_table(3), [entry((1, 2), (3, 4, 0))]
    assert divergence("fp32", TableModel(table), TableModel(table), answers) == DivergenceEntry(
        precision="fp32", kl_per_token=0.0, greedy_agreement=1.0, positions=3
    )


def test_each_answer_starts_from_an_empty_memory():
    model = TableModel(random_table(0))
    for tokens in ((1, 2), (3,)):
        assert answer_log_probs(model, entry((0, 4), tokens)).shape == (len(tokens), VOCAB)
        assert model.token_ids == [0, 4, *tokens[:-1]]


def test_impossible_tokens_add_nothing():
    wanted = np.log(np.array([[0.5, 0.5, 1e-300]]))
    wanted[0, 2] = -np.inf
    assert kl_rows(wanted, np.log(np.array([[0.25, 0.25, 0.5]]))) == pytest.approx([np.log(2)])
    assert kl_rows(wanted, wanted) == [0.0]


def test_no_positions_are_refused():
    model = TableModel(random_table(0))
    with pytest.raises(EdgedraftError) as error:
        divergence("int4", model, model, [])
    assert str(error.value) == "quality: expected answers of one token or more, got none"


def test_a_precision_above_the_bound_is_refused():
    measured = DivergenceEntry(precision="int4", kl_per_token=0.0251, greedy_agreement=0.9, positions=100)
    check_divergence(measured, 0.0251)
    with pytest.raises(EdgedraftError) as error:
        check_divergence(measured, 0.02)
    assert str(error.value) == (
        "target precision int4: KL per token against fp32 must be at most 0.02, got 0.0251"
        " - choose a finer --target-precision or allow more"
    )
