"""The law of drawn replay: acceptance is what the runtime's own sampler makes of trimmed rows, or off by the doubt."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.calibration.trace import drawn as drawing
from edgedraft.calibration.trace.drawn import trace_draws
from edgedraft.calibration.trace.rows import DrawnTrace
from edgedraft.exporter.planning import replay_draws
from edgedraft.exporter.planning.ranking import index_map, ranks_of
from edgedraft.exporter.planning.replay import AcceptanceWindows, replay
from edgedraft.exporter.planning.replay_draws import ExpectedAcceptance, expected_acceptance, expected_replay
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.model import Pass
from edgedraft.runtime.core.sampler import RandomSampler
from edgedraft.runtime.core.sampling import SamplingSettings

VOCAB = 40
SIZES = (1, 2, 5, 12, 39, VOCAB)
SETTINGS = {
    "temperature 1": SamplingSettings(),
    "cold": SamplingSettings(temperature=0.05),
    "hot": SamplingSettings(temperature=1.7),
    "top-k": SamplingSettings(temperature=0.8, top_k=4),
    "top-p": SamplingSettings(temperature=1.2, top_p=0.7),
    "min-p": SamplingSettings(min_p=0.1),
    "all filters": SamplingSettings(temperature=1.3, top_k=9, top_p=0.9, min_p=0.05),
    "penalty and bias": SamplingSettings(top_k=6, repetition_penalty=2.0, logit_bias={3: -np.inf, 7: 1.5}),
}
UNFILTERED = ("temperature 1", "cold", "hot")
seeds = st.integers(0, 2**32 - 1)


class Recording:
    """A `LanguageModel` that says the rows it was given, whatever it reads."""

    context_length = 1000

    def __init__(self, rows: np.ndarray) -> None:
        self.rows, self.token_ids = rows, []

    @property
    def length(self) -> int:
        return len(self.token_ids)

    def read(self, token_ids) -> Pass:
        start = self.length
        self.token_ids += token_ids
        return Pass(logits=self.rows[start : self.length])

    def rewind(self, length: int) -> None:
        del self.token_ids[length:]


def eighths(values: np.ndarray) -> np.ndarray:
    """Float32 in steps of 1/8, so that penalty and bias are exact: logits are equal, or no rounding makes them so."""
    return (np.round(values * 8) / 8).astype(np.float32)


class Stage:
    """An answer after a prompt of two tokens, with both models' logits; some of them equal."""

    def __init__(self, rng: np.random.Generator, positions: int, spread: float) -> None:
        self.by_target = eighths(rng.normal(0, spread, (positions + 2, VOCAB)))
        noise = rng.normal(0, spread / 2, self.by_target.shape)
        self.by_drafter = eighths(self.by_target + noise)
        likely = self.by_target.argmax(axis=1)[1:]
        token_ids = np.where(rng.random(positions + 1) < 0.7, likely, rng.integers(0, VOCAB, positions + 1))
        self.entry = SampledAnswer(prompt_id="a", prompt_ids=(1, 2), token_ids=tuple(token_ids.tolist()))
        self.order = rng.permutation(VOCAB)

    def trace(self, options: SamplingSettings) -> DrawnTrace:
        return trace_draws(Recording(self.by_target), Recording(self.by_drafter), [self.entry], options)

    def truth(self, options: SamplingSettings, size: int) -> tuple[list[float], list[float]]:
        """Acceptance, and the chance that a draft was kept given the token, by the runtime's sampler."""
        sampler = RandomSampler(options, np.random.default_rng(0))
        kept_ids, every = index_map(self.order, size), IndexMap.identity(VOCAB)
        acceptance, kept = [], []
        for place in range(1, len(self.entry.token_ids)):
            context = [*self.entry.prompt_ids, *self.entry.token_ids[:place]]
            p = sampler.draw(self.by_target[len(context) - 1], every, context).by_drafter
            q = sampler.draw(self.by_drafter[len(context) - 1][kept_ids.target_ids], kept_ids, context).by_drafter
            token = self.entry.token_ids[place]
            acceptance.append(np.minimum(p, q).sum())
            kept.append(min(1.0, q[token] / p[token]) if p[token] else float(q[token] > 0))
        return acceptance, kept


# --- expected_acceptance ---------------------------------------------------------------------------------------------


@given(seed=seeds, name=st.sampled_from(sorted(SETTINGS)), spread=st.sampled_from((0.5, 2.0, 5.0)))
@settings(max_examples=60, deadline=None)
def test_acceptance_is_the_runtimes_where_every_token_is_kept(seed, name, spread):
    stage = Stage(np.random.default_rng(seed), 12, spread)
    trace = stage.trace(SETTINGS[name])
    for size in SIZES[1:]:  # of one token, a bias may leave none
        found = expected_acceptance(trace, ranks_of(stage.order), size)
        acceptance, kept = stage.truth(SETTINGS[name], size)
        np.testing.assert_allclose(found.acceptance, acceptance, atol=2e-5)
        np.testing.assert_allclose(found.kept, kept, atol=2e-5)
        assert not found.doubt.any()


@pytest.mark.parametrize("name", SETTINGS)
def test_acceptance_is_off_by_no_more_than_the_doubt(name):
    """Rows that lack a lot: under a third of either distribution, and no more than ten ids."""
    settled, off = [], []
    with pytest.MonkeyPatch.context() as patch:
        for fact, value in (("LEFT_OUT", 0.3), ("LEAST_BEST", 5), ("MOST_DRAWN_IDS", 10)):
            patch.setattr(drawing, fact, value)
        for seed in range(25):
            stage = Stage(np.random.default_rng(seed), 20, 1.0 + seed % 3)
            trace = stage.trace(SETTINGS[name])
            for size in SIZES[1:]:
                found = expected_acceptance(trace, ranks_of(stage.order), size)
                errors = np.abs(found.acceptance - stage.truth(SETTINGS[name], size)[0])
                assert (errors <= found.doubt + 2e-5).all()
                assert (found.doubt <= 1).all()
                settled += (found.doubt < 1e-6).tolist()
                off += (errors > 1e-3).tolist()
    if name not in UNFILTERED:
        assert any(settled), "some positions are exact though tokens are missing"
    if name != "cold":
        assert any(off), "the doubt must have something to bound"


@pytest.mark.parametrize("positions", [1, 7, 20])
def test_a_trace_is_worked_through_in_parts(positions, monkeypatch):
    """Also where the last part is shorter, or rows of different lengths meet."""
    monkeypatch.setattr(drawing, "LEAST_BEST", 3)
    stage, options = Stage(np.random.default_rng(2), 20, 4.0), SETTINGS["all filters"]
    trace = stage.trace(options)
    assert len(set(trace.row_lengths.tolist())) > 3
    whole = expected_acceptance(trace, ranks_of(stage.order), 12)
    monkeypatch.setattr(replay_draws, "_PART", positions)
    parts = expected_acceptance(trace, ranks_of(stage.order), 12)
    for name in ("acceptance", "kept", "doubt"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), atol=1e-12)


@given(seed=seeds, name=st.sampled_from(sorted(SETTINGS)))
@settings(max_examples=30, deadline=None)
def test_acceptance_and_chances_are_probabilities(seed, name):
    stage = Stage(np.random.default_rng(seed), 12, 2.0)
    trace = stage.trace(SETTINGS[name])
    for size in SIZES:
        found = expected_acceptance(trace, ranks_of(stage.order), size)
        for values in (found.acceptance, found.kept):
            assert ((values >= 0) & (values <= 1 + 1e-6)).all()
        lacking = ranks_of(stage.order)[trace.target_ids] >= size
        assert not found.kept[lacking].any()


def test_a_trace_without_positions_has_no_acceptance():
    answer = SampledAnswer(prompt_id="a", prompt_ids=(1, 2), token_ids=(3,))
    rows = np.zeros((2, VOCAB), np.float32)
    trace = trace_draws(Recording(rows), Recording(rows), [answer], SamplingSettings())
    found = expected_acceptance(trace, np.arange(VOCAB), 8)
    outcome = expected_replay(found, 3)
    assert (len(found.kept), outcome.rounds.tolist(), outcome.acceptance_rate) == (0, [0], 0)


# --- expected_replay -------------------------------------------------------------------------------------------------


def expected_of(kept: np.ndarray, lengths: list[int]) -> ExpectedAcceptance:
    zeros = np.zeros(len(kept))
    return ExpectedAcceptance(acceptance=zeros, kept=kept, doubt=zeros, offsets=np.cumsum([0, *lengths]))


def rounds_of(kept: list[float], draft_length: int) -> np.ndarray:
    """Expected rounds, accepted, evaluated and full rounds of one answer: over all that can become of each round."""

    @functools.cache
    def after(position: int) -> tuple[float, ...]:
        if position >= len(kept):
            return (0.0, 0.0, 0.0, 0.0)
        total, chance, length = np.zeros(4), 1.0, 0
        while length < draft_length and position + length < len(kept):
            refused = chance * (1 - kept[position + length])
            total += refused * (np.array([1, length, length + 1, 0]) + after(position + length + 1))
            chance *= kept[position + length]
            length += 1
        return tuple(
            total + chance * (np.array([1, length, length, length == draft_length]) + after(position + length + 1))
        )

    return np.array(after(0))


@given(
    seed=seeds,
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=4),
    draft_length=st.integers(1, 8),
    sure=st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_the_walk_is_the_sum_over_all_that_can_become_of_each_round(seed, lengths, draft_length, sure):
    kept = np.random.default_rng(seed).random(sum(lengths))
    kept = np.round(kept) if sure else kept
    expected = expected_of(kept, lengths)
    outcome = expected_replay(expected, draft_length)
    parts = np.split(kept, expected.offsets[1:-1])
    naive = np.array([rounds_of(part.tolist(), draft_length) for part in parts])
    found = (outcome.rounds, outcome.accepted, outcome.evaluated, outcome.full_rounds)
    np.testing.assert_allclose(np.column_stack(found), naive, atol=1e-9)
    assert outcome.tokens.tolist() == lengths
    if sum(lengths):
        assert outcome.block_efficiency == pytest.approx(sum(lengths) / naive[:, 0].sum())
        assert outcome.acceptance_rate == pytest.approx(naive[:, 1].sum() / naive[:, 2].sum())


@given(seed=seeds, lengths=st.lists(st.integers(0, 30), min_size=1, max_size=4), draft_length=st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_drafts_that_are_sure_replay_as_greedy_ones(seed, lengths, draft_length):
    kept = np.random.default_rng(seed).random(sum(lengths)) < 0.8
    expected = expected_of(kept.astype(float), lengths)
    low, high = np.zeros(len(kept), np.int64), np.where(kept, 9, 0)
    windows = AcceptanceWindows(low=low, high=high, offsets=expected.offsets, cut_share=0.0)
    greedy, drawn = replay(windows, 1, draft_length), expected_replay(expected, draft_length)
    for name in ("rounds", "tokens", "accepted", "evaluated", "full_rounds"):
        assert getattr(greedy, name).tolist() == getattr(drawn, name).tolist()
