"""Speculation by drawing follows the target's own distribution exactly, and two planted faults do not."""

import numpy as np
import pytest
from scipy import stats

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core import sampling
from edgedraft.runtime.core.decoding import plain_rounds, sampled
from edgedraft.runtime.core.sampling import SamplingSettings, adjusted, draw, probabilities, residual, verify_draws

VOCAB = 5
DRAWS = 20_000

SETTINGS = {
    "temperature 1": SamplingSettings(),
    "temperature 0.6": SamplingSettings(temperature=0.6),
    "temperature 1.5, top-k 3": SamplingSettings(temperature=1.5, top_k=3),
    "top-p 0.8": SamplingSettings(top_p=0.8),
    "min-p 0.3": SamplingSettings(min_p=0.3),
}
# Chi-square tests below, each allowed one false alarm in a hundred million runs of the suite.
ALARM = 1e-8


def p_value(counts, expected):
    """Chi-square over the cells that can occur; a count where none can is a certain fault."""
    possible = expected > 0
    if counts[~possible].sum():
        return 0.0
    return stats.chisquare(counts[possible], expected[possible] * counts.sum()).pvalue


def rows(seed, count, width=8):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1.5, (count, width)).astype(np.float32)


def first_tokens(verify, settings, kept):
    """How often each token came first in ``DRAWS`` rounds of two drafts by a drafter that has only ``kept``."""
    by_target = [probabilities(row, settings) for row in rows(1, 3)]
    by_drafter = []
    for row in rows(2, 2):
        full = np.zeros(8)
        full[kept] = probabilities(row[kept], settings)
        by_drafter.append(full)
    rng = np.random.default_rng(3)
    counts = np.zeros(8)
    for _ in range(DRAWS):
        drafts = [draw(q, rng) for q in by_drafter]
        counts[verify(drafts, by_drafter, by_target, rng)[0]] += 1
    return counts, by_target[0]


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("kept", [np.arange(8), np.array([0, 3, 6])], ids=["all tokens", "three tokens"])
def test_a_round_follows_the_targets_distribution(name, kept):
    counts, expected = first_tokens(verify_draws, SETTINGS[name], kept)
    assert p_value(counts, expected) > ALARM


def test_a_wrong_residual_is_caught(monkeypatch):
    monkeypatch.setattr(sampling, "residual", lambda by_target, by_drafter: by_target)
    counts, expected = first_tokens(verify_draws, SamplingSettings(), np.array([0, 3, 6]))
    assert p_value(counts, expected) < ALARM


def test_accepting_every_draft_is_caught(monkeypatch):
    monkeypatch.setattr(sampling, "keeps", lambda *_: True)
    counts, expected = first_tokens(verify_draws, SamplingSettings(), np.array([0, 3, 6]))
    assert p_value(counts, expected) < ALARM


def test_plain_drawing_repeats_with_its_seed(tabled):
    table = rows(4, VOCAB, VOCAB)

    def text(seed):
        method = sampled(SamplingSettings(), np.random.default_rng(seed))
        return [round_.token_ids[0] for round_ in plain_rounds(tabled(table, 20), [1], method)]

    assert text(0) == text(0)
    assert text(0) != text(1)


@pytest.mark.parametrize("seed", range(20))
def test_the_steps_are_those_of_transformers(seed):
    import torch
    from transformers import generation

    rng = np.random.default_rng(seed)
    settings = SamplingSettings(
        temperature=float(rng.uniform(0.3, 2)),
        top_k=int(rng.integers(1, 40)),
        top_p=float(rng.uniform(0.3, 1)),
        min_p=float(rng.uniform(0, 0.2)),
        repetition_penalty=float(rng.uniform(0.8, 1.6)),
    )
    row, seen = rng.normal(0, 3, 50).astype(np.float32), rng.integers(0, 50, 12)
    scores = torch.from_numpy(row)[None].double()
    ids = torch.from_numpy(seen)[None]
    for step in (
        generation.RepetitionPenaltyLogitsProcessor(settings.repetition_penalty),
        generation.TemperatureLogitsWarper(settings.temperature),
        generation.TopKLogitsWarper(settings.top_k),
        generation.TopPLogitsWarper(settings.top_p),
        generation.MinPLogitsWarper(settings.min_p),
    ):
        scores = step(ids, scores)
    expected = torch.softmax(scores, -1)[0].numpy()
    found = probabilities(adjusted(row, settings, np.unique(seen), {}), settings)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_draft_is_kept_with_the_ratio_of_its_probabilities():
    rng = np.random.default_rng(0)
    for _ in range(200):
        p, q = (probabilities(row, SamplingSettings()) for row in rng.normal(0, 2, (2, 30)).astype(np.float32))
        token = draw(q, rng)
        chance = float(rng.random())
        fixed = type("Fixed", (), {"random": lambda self, chance=chance: chance})()
        assert sampling.keeps(token, p, q, fixed) == (chance < min(1.0, p[token] / q[token]))
        np.testing.assert_allclose(residual(p, q), np.clip(p - q, 0, None) / np.clip(p - q, 0, None).sum())


def test_temperature_zero_takes_the_best_token():
    assert probabilities(np.array([1.0, 3.0, 3.0], dtype=np.float32), SamplingSettings(temperature=0)).tolist() == [
        0,
        1,
        0,
    ]


def test_a_residual_that_rounds_to_nothing_falls_back_to_the_target():
    same = np.array([0.25, 0.75])
    assert residual(same, same) is same


def test_bias_moves_the_distribution():
    row = np.zeros(4, dtype=np.float32)
    found = probabilities(adjusted(row, SamplingSettings(), np.zeros(0, np.int64), {2: 100.0}), SamplingSettings())
    assert found[2] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"temperature": -1.0}, "temperature must be 0, or 0.0001 or more, got -1.0"),
        ({"top_k": -1}, "top_k must be 0 or more, got -1"),
        ({"top_p": 0.0}, "top_p must lie above 0 and up to 1, got 0.0"),
        ({"min_p": 2.0}, "min_p must lie in 0..1, got 2.0"),
        ({"repetition_penalty": 0.0}, "repetition_penalty must be above 0, got 0.0"),
    ],
)
def test_settings_without_a_meaning_are_refused(setting, message):
    with pytest.raises(EdgedraftError) as caught:
        SamplingSettings(**setting)
    assert str(caught.value) == message
