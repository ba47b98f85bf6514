"""A bundle with a hybrid target says what its target says alone, whatever was drafted, rewound or edited before."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from edgedraft.runtime.core.batch import batched_answers
from edgedraft.runtime.core.decoding import sampled, speculative_rounds
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.policies import FixedLength
from edgedraft.runtime.core.sampling import SamplingSettings
from edgedraft.runtime.core.token_drafter import TokenDrafter
from edgedraft.runtime.engine import DecodingOptions, Engine
from edgedraft.runtime.onnx.session import OnnxGraph, open_model
from edgedraft.runtime.onnx.stateful import StatefulModel
from edgedraft.runtime.onnx.states import KeptState, RecurrentStates
from tests.laws.conftest import Reference
from tests.laws.exact_law import exact_law

pytestmark = pytest.mark.usefixtures("torch_alone")

NEW_TOKENS, CONTEXT, SURE = 14, 128, 2e-4
PAIRS = [("Qwen 3.5", False), ("LFM2", False), ("LFM2", True)]
NAMES = ["Qwen 3.5", "LFM2", "LFM2, plain drafter"]
PLAIN = DecodingOptions(policy="plain")
DRAFTING = [
    DecodingOptions(policy="fixed", draft_length=3),
    DecodingOptions(policy="ngram", draft_length=3),
    DecodingOptions(policy="ngram-or-drafter", draft_length=4),
    DecodingOptions(policy="confident", draft_length=4, p_min=0.2),
    DecodingOptions(policy="adaptive"),
]


@pytest.fixture(scope="module", params=PAIRS, ids=NAMES)
def case(request, hybrids) -> tuple[str, Engine]:
    family, plain = request.param
    return family, Engine.open(hybrids.bundle(family, plain=plain), context_length=CONTEXT)


@pytest.fixture
def opened(case) -> Engine:
    return case[1]


@pytest.fixture(scope="module")
def alone(case) -> Reference:
    """The target by itself; it shares no loop, slot or kept state with the engine."""
    _, engine = case
    return Reference(open_model(engine.bundle.target_graph, engine.settings))


def said(engine: Engine, prompt: Sequence[int], options: DecodingOptions, tokens: int = NEW_TOKENS) -> list[int]:
    rounds = engine.rounds(prompt, Limits(max_new_tokens=tokens), options)
    return [token for round_ in rounds for token in round_.token_ids]


def generated(source, prompt: Sequence[int]) -> list[int] | None:
    """The text of transformers' own generate; None where rounding might decide a token."""
    import torch

    settings = {"max_new_tokens": NEW_TOKENS, "do_sample": False, "output_logits": True, "eos_token_id": None}
    found = source.generate(torch.tensor([prompt]), return_dict_in_generate=True, pad_token_id=0, **settings)
    for logits in found.logits:
        second, first = np.sort(logits[0].numpy())[-2:]
        if first - second < SURE * logits.std():
            return None
    return found.sequences[0, len(prompt) :].tolist()


def test_every_policy_says_what_transformers_generates(case, hybrids, random_prompts):
    family, engine = case
    source, compared = hybrids.pair(family).source, 0
    for prompt in ([7], *random_prompts(2, seed=31, longest=20), *random_prompts(1, seed=32, longest=80)):
        expected = generated(source, prompt)
        if expected is not None:
            compared += 1
            for options in (PLAIN, *DRAFTING):
                assert said(engine, prompt, options) == expected, options.policy
    assert compared >= 3


def test_drafts_are_kept_and_refused(opened, random_prompts):
    """Else nothing here is ever rewound. The plain drafter, another random model, agrees by chance alone."""
    rounds = [
        round_
        for prompt in random_prompts(6, seed=33, longest=20)
        for round_ in opened.rounds(prompt, Limits(max_new_tokens=NEW_TOKENS), DRAFTING[0])
    ]
    drafted, accepted = (sum(getattr(round_, name) for round_ in rounds) for name in ("drafted", "accepted"))
    hybrid_drafter = opened.bundle.manifest.drafter.name != "tiny-drafter"
    assert accepted < 0.95 * drafted
    assert accepted > 0.1 * drafted or not hybrid_drafter
    assert any(0 < round_.accepted < round_.drafted for round_ in rounds) or not hybrid_drafter


def check_edits_at_every_position(engine: Engine, alone: Reference) -> None:
    """Answer a text, then the text edited at each of its positions, and the text again, on the same slot."""
    text = np.random.default_rng(34).integers(2, 1024, 16).tolist()
    for cut, options in zip(range(len(text)), itertools.cycle(DRAFTING), strict=False):
        edited = [*text[:cut], 1023 - text[cut], *text[cut + 1 :]]
        for prompt in (edited, [*text[:cut], 5], text):
            assert said(engine, prompt, options, 5) == alone.answer(prompt, 5)


def test_a_text_may_be_edited_at_every_position(opened, alone):
    check_edits_at_every_position(opened, alone)


def test_a_state_that_is_not_restored_is_caught(case, alone, monkeypatch):
    """The negative control: a rewind that goes on with the states of the longer text."""
    _, engine = case
    faulty = Engine.open(engine.bundle.path, context_length=CONTEXT)
    forget = RecurrentStates.forget_after

    def forget_the_length_alone(self: RecurrentStates, length: int) -> None:
        stale = [array.copy() for array in self._kept[-1].arrays]
        later = self._kept[-1].length > length
        forget(self, length)
        if later:
            self._kept = [kept for kept in self._kept if kept.length < length]
            self._kept.append(KeptState(length=length, arrays=stale))

    monkeypatch.setattr(RecurrentStates, "forget_after", forget_the_length_alone)
    with pytest.raises(AssertionError):
        check_edits_at_every_position(faulty, alone)


def test_rewound_to_every_position_the_target_reads_on_rightly(opened, alone):
    """What the slot's target holds after an answer with drafts, cut everywhere."""
    prompt = [9, 8, 7, 6]
    for length in range(1, len(prompt) + NEW_TOKENS):
        text = [*prompt, *said(opened, prompt, DRAFTING[0])]
        with opened.slots.taken(text) as slot:
            slot.target.rewind(min(length, slot.target.length))
            row = slot.target.read(text[slot.target.length : length + 1]).logits[-1]
        assert int(row.argmax()) == alone.answer(text[: length + 1], 1)[0]


def test_two_chats_in_turn_and_an_edited_history(opened):
    """Three conversations share two slots; one goes back and asks something else."""

    def fresh(messages) -> str:
        return Engine.open(opened.bundle.path, context_length=CONTEXT, verify_hashes=False).chat(
            messages, max_new_tokens=8, options=PLAIN
        )["content"]

    chats = [[{"role": "user", "content": text}] for text in ("merge sort", "merge the list", "value index")]
    for turn, options in enumerate((DRAFTING[0], DRAFTING[2], DRAFTING[4])):
        for chat in chats:
            answer = opened.chat(chat, max_new_tokens=8, options=options)
            assert answer["content"] == fresh(chat)
            chat += [answer, {"role": "user", "content": f"sort {turn}"}]
    edited = [*chats[0][:1], {"role": "user", "content": "no: right node"}]
    for history in (edited, chats[0][:3], chats[1][:1]):
        assert opened.chat(history, max_new_tokens=8, options=DRAFTING[0])["content"] == fresh(history)


def test_answers_that_run_at_once_fork_from_one_beginning(opened, alone):
    """Each takes a slot of its own; they end at different lengths, in turns."""
    shared = np.random.default_rng(35).integers(2, 1024, 12).tolist()
    said(opened, shared, DRAFTING[0], 4)
    prompts = [[*shared, token] for token in (3, 4, 5)]
    running = [opened.rounds(prompt, Limits(max_new_tokens=9), DRAFTING[0]) for prompt in prompts]
    found: list[list[int]] = [[] for _ in prompts]
    for rounds in itertools.zip_longest(*running):
        for text, round_ in zip(found, rounds, strict=True):
            text += round_.token_ids if round_ else ()
    assert found == [alone.answer(prompt, 9) for prompt in prompts]


def test_a_batch_answers_like_single_texts(opened, alone, random_prompts):
    graph = OnnxGraph(opened.bundle.target_graph, opened.settings)
    prompts = random_prompts(7, seed=36, longest=20)
    found = dict(batched_answers(graph.batch(3), prompts, Limits(max_new_tokens=8)))
    assert [list(found[number]) for number in range(7)] == [alone.answer(prompt, 8) for prompt in prompts]


def test_answers_end_where_the_context_does(opened, alone):
    prompt = np.random.default_rng(37).integers(2, 1024, CONTEXT - 9).tolist()
    for options in (PLAIN, *DRAFTING):
        assert said(opened, prompt, options, 99) == alone.answer(prompt, 10)


@pytest.mark.parametrize(
    "settings",
    [
        SamplingSettings(temperature=2.0, top_k=2),
        SamplingSettings(temperature=1.5, top_k=3, top_p=0.9, repetition_penalty=1.3),
    ],
    ids=["top-k", "top-p and a penalty"],
)
def test_sampled_texts_follow_the_targets_law(settings, opened, alone, crowd, remembered):
    """Every way that the random numbers may go is walked, on the real states; the law is transformers'."""
    prompt, length = (7, 8, 9, 10), 2
    expected = exact_law(remembered(alone._model), settings, prompt, length)
    chances = dict.fromkeys(expected, 0.0)
    walkers = crowd(1, seed=3, exact=True)
    with opened.slots.taken(prompt) as slot:
        for _ in walkers.ways():
            rounds = speculative_rounds(
                slot.target, TokenDrafter(slot.source, FixedLength(2)), prompt, sampled(settings, walkers)
            )
            tokens = [token for each in limited(rounds, Limits(max_new_tokens=length)) for token in each.token_ids]
            chances[tuple(tokens)] += walkers.chance
    assert len(expected) >= 4
    assert chances == pytest.approx(expected, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("family", ["Qwen 3.5", "LFM2"])
def test_states_after_drafts_are_bit_for_bit_those_of_a_fresh_read(family, hybrids):
    engine = Engine.open(hybrids.bundle(family), context_length=CONTEXT, exact=True)
    assert engine.exactness.exact
    prompt = np.random.default_rng(38).integers(2, 1024, 10).tolist()
    for cut, options in itertools.product((10, 7, 3), DRAFTING[:3]):
        said(engine, [*prompt[:cut], 4], options)
        with engine.slots.taken([*prompt[:cut], 4]) as slot:
            read = slot.target._model if hasattr(slot.target, "_model") else slot.target
            held, kept = list(read.token_ids), read._stateful.states._kept[-1]
        fresh = OnnxGraph(engine.bundle.target_graph, engine.settings).new_model()
        assert isinstance(fresh, StatefulModel)
        fresh.read(held[: kept.length])
        for found, right in zip(kept.arrays, fresh._stateful.states._kept[-1].arrays, strict=True):
            np.testing.assert_array_equal(found, right)
