"""Our acceptance is transformers' own: the same random numbers keep the same drafts and leave the same residual."""

from collections.abc import Iterable

import numpy as np
import pytest
import torch
from transformers import generation
from transformers.generation.utils import _speculative_sampling

from edgedraft.runtime.core import sampling
from edgedraft.runtime.core.acceptance import RandomVerifier
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.sampler import RandomSampler
from edgedraft.runtime.core.sampling import SamplingSettings, verify_draws
from tests.scattering import scattered

pytestmark = pytest.mark.usefixtures("torch_alone")

SETTINGS = {
    "no filter": SamplingSettings(),
    "temperature": SamplingSettings(temperature=0.6),
    "top-k": SamplingSettings(temperature=1.4, top_k=5),
    "top-p": SamplingSettings(top_p=0.8),
    "min-p": SamplingSettings(temperature=1.2, min_p=0.1),
}


class Numbers:
    """A random generator that gives the numbers it was told to."""

    def __init__(self, numbers: Iterable[float]) -> None:
        self._numbers = iter(numbers)

    def random(self) -> float:
        return float(next(self._numbers))


@pytest.fixture
def theirs(monkeypatch):
    """Runs transformers' function on given numbers: how many drafts it keeps, and what it then draws from."""

    def run(drafts, logits_by_drafter, logits_by_target, numbers):
        drawn_from = []

        def multinomial(distribution, num_samples):
            drawn_from.append(distribution[0].numpy())
            return torch.zeros(1, num_samples, dtype=torch.long)

        monkeypatch.setattr(
            torch, "rand_like", lambda like: torch.tensor(numbers, dtype=like.dtype).reshape(like.shape)
        )
        monkeypatch.setattr(torch, "multinomial", multinomial)
        by_drafter, by_target = (
            torch.from_numpy(rows)[None].double() for rows in (logits_by_drafter, logits_by_target)
        )
        _, kept = _speculative_sampling(torch.tensor([drafts]), by_drafter, len(drafts), by_target)
        return int(kept), drawn_from[0]

    return run


@pytest.fixture
def ours(monkeypatch):
    """Runs a function of ours: how many drafts it keeps, and what it then draws from."""

    def run(verify, *arguments):
        drawn_from = []
        monkeypatch.setattr(sampling, "draw", lambda distribution, rng: drawn_from.append(distribution) or 0)
        committed = verify(*arguments)
        monkeypatch.undo()
        return len(committed) - 1, drawn_from[0]

    return run


def softmax(rows):
    weights = np.exp(rows - rows.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def filtered(row, settings):
    """One row after transformers' own processors."""
    steps = [
        generation.TemperatureLogitsWarper(settings.temperature),
        generation.TopKLogitsWarper(settings.top_k or len(row)),
        generation.TopPLogitsWarper(settings.top_p),
        generation.MinPLogitsWarper(settings.min_p),
    ]
    scores = torch.from_numpy(row)[None].double()
    for step in steps:
        scores = step(torch.zeros(1, 0, dtype=torch.long), scores)
    return scores[0].numpy()


def rows_that_agree_a_little(rng, drafts, vocab_size):
    """Logits of target (drafts + 1, vocab) and drafter (drafts, vocab), close enough that about half is kept."""
    by_target = rng.normal(0, rng.uniform(0.5, 4), (drafts + 1, vocab_size))
    return by_target, by_target[:-1] + rng.normal(0, rng.uniform(0, 1.5), (drafts, vocab_size))


@pytest.mark.parametrize("vocab_size", [2, 7, 60, 1024])
def test_the_same_numbers_keep_the_same_drafts_and_leave_the_same_residual(vocab_size, theirs, ours):
    """400 rounds of 1..6 drafts; the drafter has all tokens or a random part of them, or is certain of one."""
    rng = np.random.default_rng(vocab_size)
    kept_all = kept_none = 0
    for number in range(400):
        count = int(rng.integers(1, 7))
        by_target, by_drafter = rows_that_agree_a_little(rng, count, vocab_size)
        if number % 3:
            by_drafter[:, rng.permutation(vocab_size)[int(rng.integers(1, vocab_size + 1)) :]] = -np.inf
        p, q = softmax(by_target), softmax(by_drafter)
        drafts = [int(rng.choice(vocab_size, p=row)) for row in q]
        known: list = list(q)
        if number % 5 == 0:  # looked up instead of drawn
            by_drafter[0], known[0] = np.where(np.arange(vocab_size) == drafts[0], 0.0, -np.inf), None
        numbers = rng.random(count)
        expected, residual = theirs(drafts, by_drafter, by_target, numbers)
        kept, rest = ours(verify_draws, drafts, known, list(p), Numbers(numbers))
        assert kept == expected
        np.testing.assert_allclose(rest, residual, atol=1e-9)
        kept_all, kept_none = kept_all + (kept == count), kept_none + (kept == 0)
    assert kept_all > 20
    assert kept_none > 20


@pytest.mark.parametrize("name", SETTINGS)
def test_sampler_and_verifier_agree_from_logits_to_residual(name, theirs, ours):
    """A trimmed drafter, the filters of both sides and the acceptance, 200 rounds of real proposals."""
    settings, rng, vocab_size, context = SETTINGS[name], np.random.default_rng(3), 80, [5, 6]
    for _ in range(200):
        count = int(rng.integers(1, 5))
        by_target, by_drafter = (rows.astype(np.float32) for rows in rows_that_agree_a_little(rng, count, vocab_size))
        ids = np.sort(rng.permutation(vocab_size)[: int(rng.integers(2, vocab_size + 1))])
        index_map = IndexMap(target_ids=ids, target_vocab_size=vocab_size)
        sampler = RandomSampler(settings, rng)
        draft = [sampler.draw(row[ids], index_map, context) for row in by_drafter]
        drafts, numbers = [token.token_id for token in draft], rng.random(count)
        spread = [scattered(index_map, filtered(row[ids], settings)) for row in by_drafter]
        processed = np.array([filtered(row, settings) for row in by_target])
        expected, residual = theirs(drafts, np.array(spread), processed, numbers)
        verifier = RandomVerifier(settings, Numbers(numbers))
        kept, rest = ours(verifier.verify, draft, by_target, context)
        assert kept == expected
        np.testing.assert_allclose(rest, residual, atol=1e-6)


def test_equal_distributions_keep_every_draft(theirs, ours):
    """Also with the largest number below 1."""
    rng, numbers = np.random.default_rng(4), [np.nextafter(1, 0)] * 3
    for _ in range(50):
        rows = rng.normal(0, 2, (4, 30))
        p, drafts = softmax(rows), rng.integers(0, 30, 3).tolist()
        assert theirs(drafts, rows[:3], rows, numbers)[0] == 3
        kept, rest = ours(verify_draws, drafts, list(p[:3]), list(p), Numbers(numbers))
        assert kept == 3
        np.testing.assert_array_equal(rest, p[3])


def test_a_looked_up_draft_is_kept_as_one_that_was_certain(ours):
    """No distribution means all of it on one token: kept with the target's probability, replaced by anything else."""
    p = softmax(np.random.default_rng(5).normal(0, 2, (2, 9)))
    for token, number in [(token, number) for token in range(9) for number in np.linspace(0, 0.99, 12)]:
        kept, rest = ours(verify_draws, [token], [None], list(p), Numbers([number]))
        assert kept == (number < p[0, token])
        others = np.where(np.arange(9) == token, 0.0, p[0])
        np.testing.assert_allclose(rest, p[1] if kept else others / others.sum())
