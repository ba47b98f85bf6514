"""What replay says of a plan is what running it does: draft by draft when greedy, in expectation when tokens are drawn.

The runs are the runtime's own, on the real trimmed graphs. Replay reads the trace of the full-vocabulary drafter, made
in passes over up to 33 rows where the runs read one or two: in fp32 these differ by 3e-5, so a draft whose best two
logits lie closer than that could go either way; none of these texts has one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.calibration.trace.drawn import trace_draws
from edgedraft.calibration.trace.greedy import trace_answers
from edgedraft.calibration.trace.rows import DrawnTrace
from edgedraft.exporter.models.trimmed import open_trimmed
from edgedraft.exporter.planning.ranking import index_map, ranks_of
from edgedraft.exporter.planning.replay import acceptance_windows, replay
from edgedraft.exporter.planning.replay_draws import expected_acceptance, expected_replay
from edgedraft.runtime.core.decoding import GREEDY, DecodingMethod, plain_rounds, sampled, speculative_rounds
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.policies import FixedLength
from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.core.sampling import SamplingSettings
from edgedraft.runtime.core.sources import ModelTokenSource
from edgedraft.runtime.core.token_drafter import TokenDrafter

VOCAB = 1024
SIZES = (64, 512, VOCAB)
LENGTHS = (1, 2, 3, 5, 8)
NEW_TOKENS = 32
PROMPTS = 8
LIMITS = Limits(max_new_tokens=NEW_TOKENS)

Examined = list[tuple[int, bool]]
"""Drafts that the target looked at: their positions behind an answer's first token, and whether they were kept."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Stage:
    """The pair, a token order, and the drafter trimmed to each size."""

    target: object
    full: object
    order: np.ndarray
    drafters: dict[int, ModelTokenSource]

    def run(self, prompt: Sequence[int], size: int, draft_length: int, method: DecodingMethod = GREEDY) -> list[Round]:
        drafter = TokenDrafter(self.drafters[size], FixedLength(draft_length))
        return list(limited(speculative_rounds(self.target, drafter, prompt, method), LIMITS))


def answer_of(prompt: Sequence[int], turns: Sequence[Round]) -> SampledAnswer:
    token_ids = tuple(token for turn in turns for token in turn.token_ids)
    return SampledAnswer(prompt_id="", prompt_ids=tuple(prompt), token_ids=token_ids)


def executed(turns: Sequence[Round]) -> Examined:
    """The first round is the prompt's own; a draft behind the answer's end is not examined."""
    place, found = 0, []
    for turn in turns[1:]:
        found += [(place + draft, True) for draft in range(turn.accepted)]
        if turn.accepted < min(turn.drafted, len(turn.token_ids)):
            found.append((place + turn.accepted, False))
        place += len(turn.token_ids)
    return found


def replayed(accepted: Sequence[bool], draft_length: int) -> Examined:
    """Rounds over positions of which it is known whether a draft would be accepted."""
    place, found = 0, []
    while place < len(accepted):
        for _ in range(draft_length):
            found += [(place, bool(accepted[place]))] if place < len(accepted) else []
            place += 1
            if not found[-1][1]:
                break
        else:
            place += 1
    return found


def measured(runs: Sequence[Sequence[Round]], draft_length: int) -> dict[str, list[int]]:
    """One count an answer, under the names of a `Replay`."""
    return {
        "rounds": [len(turns) - 1 for turns in runs],
        "accepted": [sum(turn.accepted for turn in turns[1:]) for turns in runs],
        "evaluated": [len(executed(turns)) for turns in runs],
        "full_rounds": [sum(turn.accepted == draft_length for turn in turns[1:]) for turns in runs],
    }


@pytest.fixture(scope="module")
def prompts(random_prompts) -> list[list[int]]:
    return random_prompts(PROMPTS, seed=17, longest=30)


@pytest.fixture(scope="module")
def stage(tiny_opened, prompts) -> Stage:
    """Tokens are ranked by what the target says at temperature 1, so that trimming takes many wanted ones away."""
    target, rng = tiny_opened.target_model, np.random.default_rng(1)
    said = [
        token
        for prompt in prompts
        for turn in limited(plain_rounds(target, prompt, sampled(SamplingSettings(), rng)), LIMITS)
        for token in turn.token_ids
    ]
    order = np.argsort(-np.bincount(said, minlength=VOCAB), kind="stable")
    kept = {size: index_map(order, size) for size in SIZES}
    drafters = {size: ModelTokenSource(open_trimmed(tiny_opened, kept[size]), kept[size]) for size in SIZES}
    return Stage(target=target, full=tiny_opened.drafter_model, order=order, drafters=drafters)


# --- greedy ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def greedy(stage, few):
    """The target's own answers and their windows."""
    answers = [answer_of(prompt, list(limited(plain_rounds(stage.target, prompt), LIMITS))) for prompt in few]
    trace = trace_answers(stage.full, answers)
    return trace, acceptance_windows(trace, ranks_of(stage.order))


@pytest.fixture(scope="module")
def few(prompts) -> list[list[int]]:
    return prompts[:5]


@pytest.fixture(scope="module")
def greedy_runs(stage, few) -> dict[tuple[int, int], list[list[Round]]]:
    return {(size, length): [stage.run(prompt, size, length) for prompt in few] for size in SIZES for length in LENGTHS}


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("size", SIZES)
def test_the_drafts_examined_and_kept_are_those_replayed(size, length, greedy, greedy_runs):
    _, windows = greedy
    assert windows.cut_share == 0
    accepted = np.split(windows.accepted(size), windows.offsets[1:-1])
    runs = greedy_runs[size, length]
    for turns, flags in zip(runs, accepted, strict=True):
        assert executed(turns) == replayed(flags, length)
    outcome = replay(windows, size, length)
    assert outcome.rounds.tolist() == [len(turns) - 1 for turns in greedy_runs[size, length]]
    assert outcome.accepted.tolist() == [
        sum(turn.accepted for turn in turns[1:]) for turns in greedy_runs[size, length]
    ]
    assert outcome.evaluated.tolist() == [len(executed(turns)) for turns in greedy_runs[size, length]]
    kept = [flag for turns in greedy_runs[size, length] for _, flag in executed(turns)]
    assert 0.1 < np.mean(kept) < 0.99, "some drafts must be kept and some refused"


@pytest.mark.parametrize("fault", ["trimming forgotten", "coverage alone"])
def test_a_replay_that_looks_at_half_of_it_is_caught(fault, stage, greedy, greedy_runs):
    """The full drafter's best may be trimmed away, and a token that the drafter keeps need not be its best."""
    trace, windows = greedy
    believed = trace.places == 0 if fault == "trimming forgotten" else windows.low < 64
    accepted = np.split(believed, windows.offsets[1:-1])
    assert any(executed(turns) != replayed(flags, 3) for turns, flags in zip(greedy_runs[64, 3], accepted, strict=True))


# --- drawn -----------------------------------------------------------------------------------------------------------

SETTINGS = {
    "temperature 0.8": SamplingSettings(temperature=0.8),
    "temperature 1.2": SamplingSettings(temperature=1.2),
    "temperature 0.8, top-k": SamplingSettings(temperature=0.8, top_k=10),
    "temperature 1.2, top-k": SamplingSettings(temperature=1.2, top_k=10),
}
DRAWN_SIZE, DRAWN_LENGTH = 512, 3
ANSWERS = 48
ALARM = 4.0
"""Standard deviations: by chance one check in 15,000 goes further; the faults below go 6 to 17."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Drawn:
    """Answers drawn by running, what became of their drafts, and their trace. ``kept``: float64 (positions,)."""

    runs: list[list[Round]]
    trace: DrawnTrace
    examined: np.ndarray
    kept: np.ndarray

    def deviation(self, chances: np.ndarray) -> float:
        """How many standard deviations more drafts were kept than these chances say, one a position.

        Whether a draft is examined is settled before it is judged, so the differences add up like independent ones.
        """
        chances = chances[self.examined]
        return float((self.kept - chances).sum() / np.sqrt((chances * (1 - chances)).sum()))


@pytest.fixture(scope="module")
def drawn(stage, prompts) -> Callable[[str], Drawn]:
    known: dict[str, Drawn] = {}

    def draw(name: str) -> Drawn:
        settings, asked = SETTINGS[name], [prompts[number % PROMPTS] for number in range(ANSWERS)]
        runs = [
            stage.run(prompt, DRAWN_SIZE, DRAWN_LENGTH, sampled(settings, np.random.default_rng(seed)))
            for seed, prompt in enumerate(asked)
        ]
        answers = [answer_of(prompt, turns) for prompt, turns in zip(asked, runs, strict=True)]
        trace = trace_draws(stage.target, stage.full, answers, settings)
        drafts = [
            (start + place, kept)
            for start, turns in zip(trace.offsets, runs, strict=False)
            for place, kept in executed(turns)
        ]
        places, kept = zip(*drafts, strict=True)
        return Drawn(runs=runs, trace=trace, examined=np.array(places), kept=np.array(kept, dtype=np.float64))

    def remembered(name: str) -> Drawn:
        if name not in known:
            known[name] = draw(name)
        return known[name]

    return remembered


@pytest.mark.parametrize("name", SETTINGS)
def test_drafts_are_kept_as_often_as_expected(name, stage, drawn):
    """Both before the text is known, by Σ_S min(p, q_S), and given the text, by min(1, q_S(x) / p(x))."""
    found = drawn(name)
    expected = expected_acceptance(found.trace, ranks_of(stage.order), DRAWN_SIZE)
    assert expected.doubt.max() < 0.02
    assert 0.1 < found.kept.mean() < 0.9
    assert abs(found.deviation(expected.acceptance)) < ALARM
    assert abs(found.deviation(expected.kept)) < ALARM


@pytest.mark.parametrize("name", SETTINGS)
def test_rounds_are_as_many_as_expected(name, stage, drawn):
    """Given each text; the spread is that of the answers themselves."""
    found = drawn(name)
    outcome = expected_replay(expected_acceptance(found.trace, ranks_of(stage.order), DRAWN_SIZE), DRAWN_LENGTH)
    assert outcome.tokens.tolist() == [NEW_TOKENS - 1] * ANSWERS
    for what, counts in measured(found.runs, DRAWN_LENGTH).items():
        difference = np.array(counts) - getattr(outcome, what)
        assert difference.any()
        assert abs(difference.sum()) < ALARM * np.sqrt((difference**2).sum()), what


def without_renormalising(trace: DrawnTrace, inside: np.ndarray) -> np.ndarray:
    """Σ_S min(p, q) with q the full-vocabulary drafter's."""
    rows = np.repeat(np.arange(len(trace.target_ids)), trace.row_lengths)
    weights = np.exp(trace.log_probs_by_drafter.astype(float) / trace.settings.temperature)
    q = weights / np.bincount(rows, weights=weights)[rows]
    return np.bincount(rows, weights=np.minimum(np.exp(trace.log_probs_by_target), q) * inside)


def coverage_alone(trace: DrawnTrace, inside: np.ndarray) -> np.ndarray:
    """p(S): what a perfect drafter would reach."""
    rows = np.repeat(np.arange(len(trace.target_ids)), trace.row_lengths)
    return np.bincount(rows, weights=np.exp(trace.log_probs_by_target) * inside)


@pytest.mark.parametrize("wrong", [without_renormalising, coverage_alone])
@pytest.mark.parametrize("name", SETTINGS)
def test_a_wrong_formula_is_caught(name, wrong, stage, drawn):
    found = drawn(name)
    inside = ranks_of(stage.order)[found.trace.ids] < DRAWN_SIZE
    assert abs(found.deviation(wrong(found.trace, inside))) > ALARM
