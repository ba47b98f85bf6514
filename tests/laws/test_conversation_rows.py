"""With rows from the conversation, texts stay the target's own, and tokens that the list lacks are drafted.

The list holds few tokens, so that most of what a text repeats must come from its rows. Graphs and rows are those of the
tiny real pair.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.calibration.trace.drawn import trace_draws
from edgedraft.calibration.trace.greedy import trace_answers
from edgedraft.exporter.bundle.contents import bundle_contents
from edgedraft.exporter.bundle.writing import write_bundle
from edgedraft.exporter.graph.head_rows import head_entry, head_tensors
from edgedraft.exporter.graph.loading import load_graph
from edgedraft.exporter.models.fitting import open_cut
from edgedraft.exporter.planning.conversation import (
    ConversationTrace,
    accepted_with_rows,
    conversation_replays,
    drawn_with_rows,
)
from edgedraft.exporter.planning.replay import acceptance_windows, replay
from edgedraft.exporter.planning.replay_draws import ExpectedAcceptance, expected_acceptance
from edgedraft.runtime.bundle.head_rows_file import HeadRows
from edgedraft.runtime.core.conversation import ConversationRows, ConversationTokens
from edgedraft.runtime.core.decoding import GREEDY, DecodingMethod, sampled, speculative_rounds
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.model import Pass, PromptPasses
from edgedraft.runtime.core.policies import FixedLength, PolicyChoice, PolicyParts, build_drafter
from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.core.sampling import SamplingSettings
from edgedraft.runtime.core.sources import ModelTokenSource
from edgedraft.runtime.core.token_drafter import ModelStep, TokenDrafter
from edgedraft.runtime.engine import DecodingOptions, Engine
from edgedraft.runtime.onnx.head_rows import ConversationHead
from edgedraft.runtime.onnx.session import open_model
from tests.laws.exact_law import Found, distribution, exact_law, p_value

pytestmark = pytest.mark.usefixtures("torch_alone")

VOCAB = 1024
LISTED = 64
LIMIT = 24
NEW_TOKENS = 12
LENGTHS = (1, 2, 3, 5, 8)
POLICIES = ("fixed", "confident", "ngram", "ngram-or-drafter", "adaptive")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Stage:
    """The pair with a list of `LISTED` tokens. ``full`` is the drafter with all of its head."""

    target: object
    full: object
    trimmed: object
    kept: IndexMap
    head: HeadRows

    def source(self, limit: int = LIMIT) -> ModelTokenSource:
        rows = ConversationHead(head=self.head, listed=self.kept, limit=limit).new_rows() if limit else None
        return ModelTokenSource(self.trimmed.new_model(), self.kept, rows)

    def rounds(self, source, prompt, draft_length, method: DecodingMethod = GREEDY) -> Iterator[Round]:
        return speculative_rounds(self.target, TokenDrafter(source, FixedLength(draft_length)), prompt, method)


@pytest.fixture(scope="module")
def stage(tiny_opened) -> Stage:
    kept = IndexMap(target_ids=np.arange(LISTED, dtype=np.int64), target_vocab_size=VOCAB)
    graph = tiny_opened.drafter.graph
    whole = load_graph(graph)
    entry = head_entry(whole, "head_rows.safetensors")
    return Stage(
        target=tiny_opened.target_model,
        full=tiny_opened.drafter_model,
        trimmed=open_cut(graph, kept, tiny_opened.settings, tapped=True),
        kept=kept,
        head=HeadRows(entry, head_tensors(whole, entry)),
    )


@pytest.fixture(scope="module")
def loops(reference, random_prompts) -> list[list[int]]:
    """Prompts that hold the target's own answer to their first tokens, so that what is said comes again."""
    heads = random_prompts(6, seed=3, longest=8)
    return [[*head, *reference.answer(head, 40), *head] for head in heads]


def test_the_logits_are_those_of_the_full_head(stage, random_prompts):
    for prompt in random_prompts(5, seed=1):
        source = stage.source()
        source.begin(prompt[:-1], PromptPasses(stage.target, prompt[:-1]))
        source.start(prompt)
        [step] = source.offers(prompt)
        assert isinstance(step, ModelStep)
        found = step.ask()
        stage.full.rewind(0)
        whole = stage.full.read(prompt).logits[-1]
        expected = ConversationTokens(stage.kept, VOCAB, LIMIT)
        expected.extend(prompt)
        added = set(step.index_map.target_ids.tolist()) - set(range(LISTED))
        assert added == set(expected.token_ids.tolist()) and added
        np.testing.assert_allclose(found, whole[step.index_map.target_ids], atol=1e-4)


@pytest.mark.parametrize("policy", POLICIES)
def test_texts_are_the_targets_own(
    policy, stage, reference, random_prompts, loops, tokens_of, pass_clock, warm_pass_times
):
    """One source answers all prompts in turn, at every draft length; a pass of the drafter costs next to nothing."""
    source, clock, drafted, accepted = stage.source(), pass_clock(), 0, 0
    target = clock.timed(stage.target, lambda _: 1e-2)
    source.model = clock.timed(source.model, lambda _: 1e-7)
    echo = reference.echo(random_prompts(20, seed=5, longest=8))
    cases = list(itertools.product(LENGTHS, [*random_prompts(4, seed=5), *loops, echo]))
    np.random.default_rng(6).shuffle(order := np.arange(len(cases)))
    for draft_length, prompt in (cases[place] for place in order):
        parts = PolicyParts(source=source, pass_times=warm_pass_times(), clock=clock)
        drafter = build_drafter(PolicyChoice(name=policy, draft_length=draft_length, p_min=0.1), parts)
        limits = Limits(max_new_tokens=NEW_TOKENS)
        rounds = list(limited(speculative_rounds(target, drafter, prompt, clock=clock), limits))
        assert tokens_of(rounds) == reference.answer(prompt, NEW_TOKENS)
        drafted, accepted = drafted + sum(r.drafted for r in rounds), accepted + sum(r.accepted for r in rounds)
    assert 0 < accepted < drafted


def test_prompts_that_share_a_beginning_and_answers_that_are_cancelled(stage, reference, random_prompts, tokens_of):
    """Closed after any round; the next prompt goes on from it, or shares a part of it. Rows follow the text alone."""
    rng, used = np.random.default_rng(7), stage.source()
    prompt = random_prompts(1, seed=8)[0]
    for number in range(20):
        rounds = stage.rounds(used, prompt, 1 + number % 6)
        said = tokens_of(itertools.islice(rounds, int(rng.integers(1, 6))))
        rounds.close()
        assert said == reference.answer(prompt, len(said))
        whole = [*prompt, *said]
        assert offered(used, stage.target, whole) == offered(stage.source(), stage.target, whole)
        prompt = [*whole[: int(rng.integers(1, len(whole) + 1))], *rng.integers(2, VOCAB, 5).tolist()][-300:]


def offered(source, target, text: Sequence[int]) -> list[int]:
    """The tokens that may be drafted behind a text."""
    source.begin(text, PromptPasses(target, text))
    source.start(text)
    return source.offers(text)[0].index_map.target_ids.tolist()


def test_rows_draft_what_the_list_lacks(stage, loops, reference):
    """The control: without rows, no token outside of the list is ever kept."""
    kept = {limit: [kept_drafts(stage, prompt, limit) for prompt in loops] for limit in (0, LIMIT)}
    missing = {limit: sum(token >= LISTED for tokens in kept[limit] for token in tokens) for limit in kept}
    assert missing[0] == 0 < missing[LIMIT]
    assert sum(map(len, kept[0])) < sum(map(len, kept[LIMIT]))


def kept_drafts(stage, prompt, limit: int) -> list[int]:
    rounds = limited(stage.rounds(stage.source(limit), prompt, 3), Limits(max_new_tokens=NEW_TOKENS))
    return [token for turn in rounds for token in turn.token_ids[: turn.accepted]]


@pytest.fixture(scope="module")
def rows_engine(tiny_planned, stage, tmp_path_factory) -> Engine:
    """The engine of a bundle of the same list and rows."""
    contents = bundle_contents(*tiny_planned, "tiny prompts")
    kept = IndexMap(target_ids=np.union1d(stage.kept.target_ids[:-1], [1]), target_vocab_size=VOCAB)
    plan = replace(contents.plan, draft_vocab_size=kept.draft_vocab_size, conversation_rows=LIMIT)
    path = tmp_path_factory.mktemp("rows") / "bundle"
    write_bundle(replace(contents, plan=plan, index_map=kept, order=None), path)
    return Engine.open(path)


def test_a_bundle_with_rows_answers_as_its_target_does(rows_engine, reference, loops, random_prompts, tokens_of):
    """Prompts of its own and continued ones, from a few slots used again and again."""
    missing, limits = 0, Limits(max_new_tokens=NEW_TOKENS)
    for number, prompt in enumerate([*random_prompts(4, seed=15), *loops, *loops[:2]]):
        for text in (prompt, [*prompt, *reference.answer(prompt, 5), 9]):
            options = DecodingOptions(policy="fixed", draft_length=1 + number % 4)
            rounds = list(rows_engine.rounds(text, limits, options))
            assert tokens_of(rounds) == reference.answer(text, NEW_TOKENS)
            missing += sum(token >= LISTED for turn in rounds for token in turn.token_ids[: turn.accepted])
    assert missing > 0


# --- replayed --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def traced(stage, engine, reference, loops, random_prompts) -> ConversationTrace:
    """The target's own answers, and what the full drafter proposes at each of their positions."""
    prompts = [*loops, *random_prompts(3, seed=16)]
    answers = tuple(
        SampledAnswer(prompt_id=str(number), prompt_ids=tuple(prompt), token_ids=tuple(reference.answer(prompt, 40)))
        for number, prompt in enumerate(prompts)
    )
    return ConversationTrace(trace=trace_answers(stage.full, answers), answers=answers, scored=VOCAB)


def executed(turns: Sequence[Round]) -> list[tuple[int, bool]]:
    """Drafts that the target looked at: their positions behind an answer's first token, and whether they were kept."""
    place, found = 0, []
    for turn in turns[1:]:
        found += [(place + draft, True) for draft in range(turn.accepted)]
        if turn.accepted < min(turn.drafted, len(turn.token_ids)):
            found.append((place + turn.accepted, False))
        place += len(turn.token_ids)
    return found


def replayed(accepted: Sequence[bool], draft_length: int) -> list[tuple[int, bool]]:
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


ORDER = np.arange(VOCAB)


@pytest.mark.parametrize("limit", [4, LIMIT])
@pytest.mark.parametrize("length", LENGTHS)
def test_replay_is_what_execution_does_position_by_position(length, limit, stage, traced):
    runs = [
        list(limited(stage.rounds(stage.source(limit), entry.prompt_ids, length), Limits(max_new_tokens=40)))
        for entry in traced.answers
    ]
    accepted = accepted_with_rows(traced, ORDER, LISTED, limit)
    for turns, flags in zip(runs, np.split(accepted, traced.trace.offsets[1:-1]), strict=True):
        assert executed(turns) == replayed(flags, length)
    counts = conversation_replays(traced, ORDER, limit)(LISTED, length)
    assert counts.rounds.tolist() == [len(turns) - 1 for turns in runs]
    assert counts.accepted.tolist() == [sum(turn.accepted for turn in turns[1:]) for turns in runs]
    assert counts.evaluated.tolist() == [len(executed(turns)) for turns in runs]
    assert counts.full_rounds.tolist() == [sum(turn.accepted == length for turn in turns[1:]) for turns in runs]
    assert 0 < counts.accepted.sum() < counts.evaluated.sum()


def test_replay_with_all_tokens_or_without_rows_is_the_lists_own(traced):
    """A whole list lacks nothing, and rows only help where the list's own draft would be refused."""
    windows, with_rows = acceptance_windows(traced.trace, ORDER), conversation_replays(traced, ORDER, LIMIT)
    assert with_rows(VOCAB, 3).accepted.tolist() == replay(windows, VOCAB, 3).accepted.tolist()
    assert with_rows(LISTED, 3).accepted.sum() > replay(windows, LISTED, 3).accepted.sum()


@pytest.mark.parametrize("fault", ["another limit", "no rows", "rows that draft whatever the target says"])
def test_a_replay_that_takes_other_rows_is_caught(fault, stage, traced):
    accepted = accepted_with_rows(traced, ORDER, LISTED, 1 if fault == "another limit" else LIMIT)
    if fault == "no rows":
        accepted = acceptance_windows(traced.trace, ORDER).accepted(LISTED)
    if fault == "rows that draft whatever the target says":
        accepted = np.isin(traced.trace.target_ids, traced.answers[0].prompt_ids) | accepted
    different = []
    for entry, flags in zip(traced.answers, np.split(accepted, traced.trace.offsets[1:-1]), strict=True):
        turns = limited(stage.rounds(stage.source(), entry.prompt_ids, 3), Limits(max_new_tokens=40))
        different.append(executed(list(turns)) != replayed(flags, 3))
    assert any(different)


@pytest.mark.parametrize("name", ["temperature", "top-k"])
def test_drawn_drafts_are_kept_as_often_as_replay_expects(name, stage, loops):
    """Standard deviations over all examined drafts; replay without the rows is far off."""
    settings = {
        "temperature": SamplingSettings(temperature=0.8),
        "top-k": SamplingSettings(temperature=1.2, top_k=10),
    }[name]
    source, limits = stage.source(), Limits(max_new_tokens=32)
    asked = [loops[number % len(loops)] for number in range(36)]
    runs = [
        list(limited(stage.rounds(source, prompt, 3, sampled(settings, np.random.default_rng(seed))), limits))
        for seed, prompt in enumerate(asked)
    ]
    answers = tuple(
        SampledAnswer(
            prompt_id="", prompt_ids=tuple(prompt), token_ids=tuple(token for turn in turns for token in turn.token_ids)
        )
        for prompt, turns in zip(asked, runs, strict=True)
    )
    trace = trace_draws(stage.target, stage.full, answers, settings)
    traced = ConversationTrace(trace=trace, answers=answers, scored=VOCAB)
    drafts = [
        (start + place, kept)
        for start, turns in zip(trace.offsets, runs, strict=False)
        for place, kept in executed(turns)
    ]
    places, kept = (np.array(each) for each in zip(*drafts, strict=True))

    def deviation(expected: ExpectedAcceptance) -> float:
        chances = expected.kept[places]
        return float((kept - chances).sum() / np.sqrt((chances * (1 - chances)).sum()))

    expected = drawn_with_rows(traced, ORDER, LISTED, LIMIT)
    assert expected.doubt.max() < 0.02
    assert 0.02 < kept.mean() < 0.9
    assert abs(deviation(expected)) < 4
    assert abs(deviation(expected_acceptance(trace, ORDER, LISTED))) > 6
    outcome = conversation_replays(traced, ORDER, LIMIT)(LISTED, 3)
    difference = np.array([len(turns) - 1 for turns in runs]) - outcome.rounds
    assert abs(difference.sum()) < 4 * np.sqrt((difference**2).sum())


# --- drawn -----------------------------------------------------------------------------------------------------------

WALKERS = 20_000
CASES = {
    "temperature 1": (SamplingSettings(top_k=3), 3),
    "top-p": (SamplingSettings(temperature=2.0, top_k=5, top_p=0.8), 2),
    "penalty": (SamplingSettings(temperature=1.5, top_k=4, min_p=0.05, repetition_penalty=1.2), 2),
}
"""Settings, and the places left behind the prompt: so many tokens follow the first, which is never drafted."""
BEST_THREE = CASES["temperature 1"][0]
ALARM = 0.001 / 20


class Columns:
    """A `RowProduct` over whole rows of logits that a pass has as its features."""

    def choose(self, token_ids) -> None:
        self._token_ids = token_ids

    def logits(self, drafter_pass: Pass, row: int) -> np.ndarray:
        return drafter_pass.features[row][self._token_ids]


class Tapped:
    """A remembered full drafter whose passes have logits of the list, and whole rows as features."""

    def __init__(self, model, kept: IndexMap) -> None:
        self._model, self._kept = model, kept
        self.context_length, self.rewind = model.context_length, model.rewind

    token_ids = property(lambda self: self._model.token_ids)
    length = property(lambda self: self._model.length)

    def read(self, token_ids: Sequence[int]) -> Pass:
        whole = self._model.read(token_ids).logits
        return Pass(logits=whole[:, self._kept.target_ids], features=whole)


@pytest.fixture(scope="module")
def target(engine, remembered):
    return remembered(open_model(engine.bundle.target_graph, engine.settings))


@pytest.fixture(scope="module")
def full(stage, remembered):
    return remembered(stage.full)


@pytest.fixture(scope="module")
def likely(target, full, random_prompts) -> list[int]:
    """The prompt after whose likeliest first tokens drafts from its rows are kept most often."""

    def kept(prompt) -> float:
        at = [(*prompt, int(token)) for token in np.argsort(-target.row(tuple(prompt)))[:3]]
        rows = sorted({token for token in prompt if token >= LISTED})
        best = [(distribution(model.row(text), BEST_THREE, text)[rows]) for text in at for model in (target, full)]
        return sum(float(np.minimum(*pair).sum()) for pair in zip(best[::2], best[1::2], strict=True))

    return max(random_prompts(150, seed=13, longest=LIMIT), key=kept)


@pytest.fixture(scope="module")
def walk(stage, target, full, crowd):
    def run(settings, prompt, room) -> tuple[Found, object]:
        found, walkers = Found(), crowd(WALKERS, seed=9, exact=True)
        for _ in walkers.ways():
            tokens = ConversationTokens(stage.kept, VOCAB, LIMIT)
            model = Tapped(full.new_model(len(prompt) + room), stage.kept)
            source = ModelTokenSource(model, stage.kept, ConversationRows(stage.kept, tokens, Columns()))
            drafter = TokenDrafter(source, FixedLength(2))
            method = sampled(settings, walkers)
            turns = list(speculative_rounds(target.new_model(len(prompt) + room), drafter, prompt, method))
            text = tuple(token for turn in turns for token in turn.token_ids)
            found.chances[text] = found.chances.get(text, 0.0) + walkers.chance
            if walkers.walkers:
                found.counts[text] = found.counts.get(text, 0) + walkers.walkers
                found.proposed += walkers.walkers * sum(turn.drafted for turn in turns)
                found.accepted += walkers.walkers * sum(turn.accepted for turn in turns)
        return found, exact_law(target, settings, prompt, room + 1)

    return run


@pytest.mark.parametrize("name", CASES)
def test_drawn_texts_follow_the_targets_law(name, walk, likely):
    settings, room = CASES[name]
    found, law = walk(settings, likely, room)
    assert sum(found.chances.values()) == pytest.approx(1, abs=1e-8)
    for text in law.keys() | found.chances.keys():
        assert found.chances.get(text, 0.0) == pytest.approx(law.get(text, 0.0), abs=1e-8)
    assert 0 < found.accepted < found.proposed
    assert p_value(found.counts, law) > ALARM


def test_sampled_answers_of_real_sessions_follow_the_law(stage, likely, target):
    """Seeded answers with real graphs and rows."""
    source, counts = stage.source(), {}
    for seed in range(400):
        method = sampled(BEST_THREE, np.random.default_rng(seed))
        rounds = limited(stage.rounds(source, likely, 2, method), Limits(max_new_tokens=3))
        text = tuple(token for turn in rounds for token in turn.token_ids)
        counts[text] = counts.get(text, 0) + 1
    assert p_value(counts, exact_law(target, BEST_THREE, likely, 3)) > ALARM
