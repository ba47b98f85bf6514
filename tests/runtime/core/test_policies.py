"""Whatever the policy, the text is the target's own, and the memories hold nothing but committed text."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.adaptive import ExpectedGain
from edgedraft.runtime.core.decoding import GREEDY, plain_rounds, sampled, speculative_rounds
from edgedraft.runtime.core.drafter import NO_DRAFTS
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.ngram import NgramSource
from edgedraft.runtime.core.pass_times import PairPassTimes, PassTimes
from edgedraft.runtime.core.policies import POLICIES, Confident, FixedLength, PolicyChoice, PolicyParts, build_drafter
from edgedraft.runtime.core.sampling import SamplingSettings
from edgedraft.runtime.core.sources import FirstOf, ModelTokenSource

LAWS = settings(max_examples=250, deadline=None, derandomize=True, database=None)
LONGEST = {"plain": 0, "adaptive": 8}
"""Drafts a round where the draft length does not say."""

NOT_FINITE = "must be finite numbers, got NaN or infinity - check the bundle's files or export it again"


class Stage:
    """The models of a scene with what they read before, and policies over them with a clock that only reads advance."""

    def __init__(self, scripted, by_table, by_hash, scene):
        self.scene, size, kept = scene, scene["vocab_size"], scene["kept"]
        self.clock, self._dice = 0.0, np.random.default_rng(scene["salt"])
        self.index_map = IndexMap(target_ids=np.array(kept, dtype=np.int64), target_vocab_size=size)
        self.choose = by_hash(scene["salt"], size) if scene["hashed"] else by_table(scene["table"])
        guesses = by_hash(scene["salt"] ^ 1, len(kept))

        def often_right(context):
            wanted = self.choose(context)
            return kept.index(wanted) if wanted in kept and sum(context) % 4 else guesses(context)

        self.target = scripted(self.choose, size, scene["target_context"], self._advance)
        self.drafter = scripted(often_right, len(kept), scene["drafter_context"], self._advance)
        self.alone = scripted(self.choose, size, scene["target_context"])
        for model, before in ((self.target, scene["target_before"]), (self.drafter, scene["drafter_before"])):
            if before[: model.context_length]:
                model.read(before[: model.context_length])
        self.pass_times = PairPassTimes(target=PassTimes([0.1, 0.11]), drafter=PassTimes([0.01]), acceptance_rate=0.7)

    def _advance(self):
        self.clock += float(self._dice.uniform(0.01, self.scene["slowest"]))

    def rounds(self, prompt):
        source = ModelTokenSource(self.drafter, self.index_map)
        parts = PolicyParts(source=source, pass_times=self.pass_times, clock=lambda: self.clock)
        choice = PolicyChoice(
            name=self.scene["policy"], draft_length=self.scene["draft_length"], p_min=self.scene["p_min"]
        )
        return speculative_rounds(self.target, build_drafter(choice, parts), prompt, clock=parts.clock)

    def plain(self, prompt):
        self.alone.rewind(0)
        return tokens_of(plain_rounds(self.alone, prompt))


@pytest.fixture(scope="session")
def staged(scripted, by_table, by_hash):
    return lambda scene: Stage(scripted, by_table, by_hash, scene)


def tokens_of(rounds):
    return [token for round_ in rounds for token in round_.token_ids]


@st.composite
def scenes(draw, policies=POLICIES):
    vocab_size = draw(st.integers(2, 7))
    ids = st.integers(0, vocab_size - 1)
    prompt = draw(st.lists(ids, min_size=1, max_size=36))
    shared = prompt[: draw(st.integers(0, 36))]
    return {
        "policy": draw(st.sampled_from(policies)),
        "vocab_size": vocab_size,
        "kept": sorted(draw(st.sets(ids, min_size=1))),
        "prompt": prompt,
        "target_before": [*shared, *draw(st.lists(ids, max_size=20))],
        "drafter_before": [*prompt[: draw(st.integers(0, 36))], *draw(st.lists(ids, max_size=20))],
        "target_context": len(prompt) + draw(st.integers(0, 30)),
        "drafter_context": max(1, len(prompt) + draw(st.integers(-6, 40))),
        "draft_length": draw(st.integers(1, 6)),
        "p_min": draw(st.sampled_from([0.0, 0.6, 0.999])),
        "table": draw(st.lists(ids, min_size=1, max_size=vocab_size)),
        "hashed": draw(st.booleans()),
        "slowest": draw(st.sampled_from([0.02, 0.1, 1.0])),
        "salt": draw(st.integers(0, 255)),
    }


@LAWS
@given(scene=scenes())
def test_every_policy_gives_the_plain_text(staged, scene):
    stage = staged(scene)
    assert tokens_of(stage.rounds(scene["prompt"])) == stage.plain(scene["prompt"])


@LAWS
@given(scene=scenes())
def test_after_each_round_both_memories_hold_the_beginning_of_what_was_committed(staged, scene):
    stage, committed = staged(scene), list(scene["prompt"])
    fits = len(committed) <= stage.drafter.context_length
    for round_ in stage.rounds(scene["prompt"]):
        committed += round_.token_ids
        assert stage.target.tokens == committed[:-1]
        if fits and scene["policy"] not in ("plain", "ngram"):
            assert stage.drafter.length < len(committed)
            assert stage.drafter.tokens == committed[: stage.drafter.length]


@LAWS
@given(scene=scenes())
def test_no_policy_drafts_more_than_it_may(staged, scene):
    stage, committed = staged(scene), len(scene["prompt"])
    first, *rest = stage.rounds(scene["prompt"])
    assert (first.drafted, first.accepted, len(first.token_ids)) == (0, 0, 1)
    committed += 1
    for round_ in rest:
        assert 0 <= round_.accepted <= round_.drafted <= scene["target_context"] - committed
        assert round_.drafted <= LONGEST.get(scene["policy"], scene["draft_length"])
        assert len(round_.token_ids) == round_.accepted + 1
        committed += len(round_.token_ids)


@LAWS
@given(scene=scenes(), rounds=st.integers(1, 8), another=st.lists(st.integers(0, 1), min_size=1, max_size=30))
def test_an_answer_given_up_at_any_round_leaves_both_models_ready_for_any_prompt(staged, scene, rounds, another):
    stage = staged(scene)
    first = stage.rounds(scene["prompt"])
    for _ in zip(range(rounds), first, strict=False):
        pass
    first.close()
    another = another[: scene["target_context"]]
    assert tokens_of(stage.rounds(another)) == stage.plain(another)


@LAWS
@given(scene=scenes(), rounds=st.integers(1, 8), more=st.lists(st.integers(0, 1), min_size=1, max_size=5))
def test_going_on_from_an_answer_reads_only_what_is_new(staged, scene, rounds, more):
    stage, text = staged(scene), list(scene["prompt"])
    first = stage.rounds(scene["prompt"])
    for _, round_ in zip(range(rounds), first, strict=False):
        text += round_.token_ids
    first.close()
    prompt = [*text, *more][: scene["target_context"]]
    in_memory, reads = stage.target.length, len(stage.target.contexts)
    found = stage.rounds(prompt)
    answer = [*next(found).token_ids]
    assert len(stage.target.contexts[reads]) >= min(in_memory, len(prompt) - 2)
    assert answer + tokens_of(found) == stage.plain(prompt)


@pytest.mark.parametrize("policy", [name for name in POLICIES if name not in ("plain", "ngram")])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("drawn", [False, True], ids=["greedy", "sampled"])
@pytest.mark.parametrize("broken", ["target", "drafter"])
def test_logits_that_are_not_numbers_are_refused_by_name(tabled, policy, value, drawn, broken, raises_exactly):
    good = np.array([[0, 9, 0], [0, 0, 9], [9, 0, 0]])
    tables = {"target": good, "drafter": good} | {broken: np.where(good == 9, value, good)}
    clock = [0.0]

    def passing(seconds):
        return lambda: clock.__setitem__(0, clock[0] + seconds)

    seconds = {"target": 0.5, "drafter": 0.01}
    models = {name: tabled(table, 64, passing(seconds[name])) for name, table in tables.items()}
    pass_times = PairPassTimes(target=PassTimes([0.5]), drafter=PassTimes([0.01]), acceptance_rate=0.9)
    source = ModelTokenSource(models["drafter"], IndexMap.identity(3))
    parts = PolicyParts(source=source, pass_times=pass_times, clock=lambda: clock[0])
    method = sampled(SamplingSettings(), np.random.default_rng(0)) if drawn else GREEDY
    built = build_drafter(PolicyChoice(name=policy, draft_length=2), parts)
    with np.errstate(invalid="ignore"), raises_exactly(f"logits of the {broken} {NOT_FINITE}"):
        list(speculative_rounds(models["target"], built, [0], method, clock=parts.clock))


def test_the_names_mean_what_they_say(tabled):
    source = ModelTokenSource(tabled(np.eye(3)), IndexMap.identity(3))
    pass_times = PairPassTimes(target=PassTimes([0.5]), drafter=PassTimes([0.01]), acceptance_rate=0.9)
    parts = PolicyParts(source=source, pass_times=pass_times, clock=lambda: 0.0)
    built = {name: build_drafter(PolicyChoice(name=name, draft_length=2), parts) for name in POLICIES}
    assert built["plain"] is NO_DRAFTS
    assert {name: (type(one._source), type(one._stop)) for name, one in built.items() if name != "plain"} == {
        "fixed": (ModelTokenSource, FixedLength),
        "confident": (ModelTokenSource, Confident),
        "ngram": (NgramSource, FixedLength),
        "ngram-or-drafter": (FirstOf, FixedLength),
        "adaptive": (FirstOf, ExpectedGain),
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "eager"}, f"policy: expected one of {', '.join(POLICIES)}, got eager"),
        ({"draft_length": 0}, "draft length must be at least 1, got 0"),
        ({"p_min": 1.5}, "p_min must lie in 0..1, got 1.5"),
        ({"p_min": float("nan")}, "p_min must lie in 0..1, got nan"),
    ],
)
def test_choices_without_a_meaning_are_refused(changes, message):
    with pytest.raises(EdgedraftError) as caught:
        PolicyChoice(**{"name": "fixed", "draft_length": 2} | changes)
    assert str(caught.value) == message
