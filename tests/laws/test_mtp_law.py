"""A target's own multi-token-prediction head changes no text, on plain targets and on one with recurrent layers."""

import itertools

import numpy as np
import pytest
import torch

from edgedraft.runtime.core import sampling
from edgedraft.runtime.core.decoding import sampled, speculative_rounds
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.policies import FixedLength
from edgedraft.runtime.core.sampling import SamplingSettings, probabilities
from edgedraft.runtime.core.token_drafter import TokenDrafter
from edgedraft.runtime.onnx.session import OnnxGraph, SessionSettings
from tests.laws.agreeing_mtp import open_with_head
from tests.laws.layer_decoding import POLICIES, Decoder, Greedy, Recorded, tokens_of
from tests.plain_mtp import FAMILIES, KINDS, PlainMtp

pytestmark = pytest.mark.usefixtures("torch_alone")

NEW_TOKENS, CONTEXT = 9, 128
LENGTHS = (1, 2, 3, 5)
every_kind = pytest.mark.parametrize("pair", KINDS, indirect=True)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> dict[str, tuple[Decoder, Greedy]]:
    root, made = tmp_path_factory.mktemp("heads"), {}
    for kind in KINDS:
        opened = open_with_head(root, kind, CONTEXT)
        decoder = Decoder(opened=opened, target=opened.target.new_model(), source=opened.sources.new_source())
        made[kind] = decoder, Greedy(opened.checkpoint / "target.onnx")
    return made


@pytest.fixture
def pair(request, pairs) -> tuple[Decoder, Greedy]:
    return pairs[request.param]


def kind_of(decoder: Decoder) -> str:
    return decoder.opened.checkpoint.name.replace("-", " ")


def ends_of(decoder: Decoder) -> tuple[np.ndarray, np.ndarray]:
    """The target's table and head."""
    state = decoder.opened.weights
    table = next(
        array
        for name, array in state.items()
        if name.endswith("model.embed_tokens.weight") or "language_model.embed" in name
    )
    return table.numpy(), state["lm_head.weight"].numpy()


def test_only_one_of_the_targets_is_recurrent(pairs):
    found = {kind: bool(decoder.opened.target.states) for kind, (decoder, _) in pairs.items()}
    assert found == {"Qwen 3.5": True, "DeepSeek": False, "MiMo": False}


def test_greedy_text_is_the_targets_own_in_hundreds_of_cases(pairs, random_prompts, times):
    """Policies, draft lengths and prompts in random order on one slot; only some drafts are correct."""
    cases = list(itertools.product(KINDS, POLICIES, LENGTHS, random_prompts(3, seed=3)))
    counts, drafted = {kind: np.zeros(6, int) for kind in KINDS}, dict.fromkeys(POLICIES, 0)
    for place in np.random.default_rng(4).permutation(len(cases)):
        kind, policy, length, prompt = cases[place]
        decoder, reference = pairs[kind]
        rounds = list(decoder.rounds(policy, length, prompt, Limits(max_new_tokens=NEW_TOKENS), times))
        assert tokens_of(rounds) == reference(prompt, NEW_TOKENS), cases[place]
        drafted[policy] += sum(round_.drafted for round_ in rounds)
        if policy == "fixed" and length > 1:
            for round_ in rounds[1:]:
                counts[kind][round_.accepted] += 1
    assert min(drafted.values()) > 20, drafted
    for found in counts.values():  # refused at once, and accepted behind its own states
        assert found[0] > 0.1 * found.sum(), counts
        assert found[2:].sum() > 0.05 * found.sum(), counts


@every_kind
def test_answers_of_all_sorts_follow_each_other_on_one_slot(pair, times):
    """Continued, cut back, cancelled, up to the context's end, in any order, with any policy and draft length."""
    decoder, reference = pair
    rng, prompt, sorts = np.random.default_rng(21), [7], dict.fromkeys(("reused", "cancelled", "ended", "whole"), 0)
    for _ in range(30):
        kept = prompt[: int(rng.integers(0, len(prompt) + 1))]
        more = rng.integers(2, 1024, int(rng.choice([0, 1, 3, 20, CONTEXT]))).tolist()
        prompt = ([*kept, *more] or [2])[: CONTEXT - int(rng.choice([0, 1, 2, 40]))]
        sorts["reused"] += len(kept) > 1
        policy, length = rng.choice(POLICIES), int(rng.integers(1, 6))
        rounds = decoder.rounds(policy, length, prompt, Limits(max_new_tokens=15), times)
        cancelled = rng.random() < 0.4
        found = tokens_of(itertools.islice(rounds, int(rng.integers(0, 5))) if cancelled else rounds)
        rounds.close()
        ended = not cancelled and len(prompt) + 15 > CONTEXT
        sorts["cancelled" if cancelled else "ended" if ended else "whole"] += 1
        assert found == reference(prompt, len(found) if cancelled else min(15, CONTEXT + 1 - len(prompt)))
        prompt = [*prompt, *found][:CONTEXT]
    assert min(sorts.values()) >= 3, sorts


@every_kind
def test_every_draft_is_that_of_the_head_in_plain_torch(pair, random_prompts):
    """In each round torch reads all tokens with the target's states, then drafts from the head's own."""
    decoder, _ = pair
    seen, kind = [], kind_of(decoder)
    state = {name: tensor for name, tensor in decoder.opened.weights.items() if name.startswith(FAMILIES[kind].outer)}
    for prompt in random_prompts(3, seed=71, longest=45):
        drafter = Recorded(TokenDrafter(decoder.source, FixedLength(4)), seen)
        list(limited(speculative_rounds(decoder.target, drafter, prompt), Limits(max_new_tokens=16)))
    assert len(seen) > 10
    model = decoder.opened.target.new_model()
    for text, drafts in seen:
        plain = PlainMtp(FAMILIES[kind], state, *ends_of(decoder))
        model.rewind(0)
        with torch.no_grad():
            logits, states = plain.read(text[1:], model.read(text[:-1]).features.copy())
            expected = [int(logits[-1].argmax())]
            while len(expected) < len(drafts):
                logits, states = plain.read(expected[-1:], states[-1:])
                expected.append(int(logits[-1].argmax()))
        assert drafts == expected


PROMPT = (5, 9, 700, 5, 9)
DRAWN = SamplingSettings(top_k=2, temperature=2.0)


def drawn_texts(decoder: Decoder, crowd) -> dict[tuple[int, ...], float]:
    """The chance of each text of three tokens, over every way that drawing with the head can go."""
    found: dict[tuple[int, ...], float] = {}
    walkers = crowd(1, seed=3, exact=True)
    for _ in walkers.ways():
        drafter = TokenDrafter(decoder.source, FixedLength(2))
        text: tuple[int, ...] = ()
        for round_ in speculative_rounds(decoder.target, drafter, PROMPT, sampled(DRAWN, walkers)):
            text += tuple(round_.token_ids)
            if len(text) >= 3:
                break
        found[text[:3]] = found.get(text[:3], 0.0) + walkers.chance
    return found


def law_of(decoder: Decoder, text: tuple[int, ...]) -> float:
    """The chance of ``text`` under the target alone."""
    logits = decoder.opened.target.new_model().read([*PROMPT, *text]).logits[len(PROMPT) - 1 :]
    return float(np.prod([probabilities(row, DRAWN)[token] for row, token in zip(logits, text, strict=False)]))


@every_kind
def test_drawn_texts_follow_the_targets_law(pair, crowd):
    found = drawn_texts(pair[0], crowd)
    assert len(found) == 8
    assert sum(found.values()) == pytest.approx(1, abs=1e-8)
    for text, chance in found.items():
        assert chance == pytest.approx(law_of(pair[0], text), rel=1e-3)


@every_kind
def test_a_wrong_acceptance_is_caught(pair, crowd, monkeypatch):
    monkeypatch.setattr(sampling, "keeps", lambda *_: True)
    found = drawn_texts(pair[0], crowd)
    assert any(abs(chance - law_of(pair[0], text)) > 0.02 for text, chance in found.items())


@every_kind
def test_features_cover_the_tokens_of_the_last_read(pair):
    """Pieces of any length, and tokens read again after a rewind, give the same as one pass."""
    graph = OnnxGraph(pair[0].opened.checkpoint / "target.onnx", SessionSettings(threads=2, context_length=40))
    text = np.random.default_rng(5).integers(2, 1024, 40).tolist()
    model, whole = graph.new_model(), graph.new_model().read(text).features.copy()
    for start, end in itertools.pairwise((0, 1, 3, 4, 20, 39, 40)):
        np.testing.assert_allclose(model.read(text[start:end]).features, whole[start:end], atol=1e-4)
    for length in (30, 21, 5):
        model.rewind(length)
        np.testing.assert_allclose(model.read(text[length:]).features, whole[length:], atol=1e-4)
