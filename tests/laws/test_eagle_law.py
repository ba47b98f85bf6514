"""A drafter that reads the target's states changes no text, and drafts what its layer in plain torch drafts."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.decoding import speculative_rounds
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.padding import Padded
from edgedraft.runtime.core.policies import FixedLength
from edgedraft.runtime.core.token_drafter import TokenDrafter
from edgedraft.runtime.onnx.eagle import EagleGraph
from edgedraft.runtime.onnx.session import OnnxGraph, SessionSettings, open_model
from tests.laws.agreeing_eagle import AGREEING, open_pair
from tests.laws.layer_decoding import POLICIES, Decoder, Greedy, Recorded, tokens_of
from tests.plain_eagle import HIDDEN, PlainEagle

NEW_TOKENS, CONTEXT = 9, 128
LENGTHS = (1, 2, 3, 5)
every_kind = pytest.mark.parametrize("pair", AGREEING, indirect=True)
every_policy = pytest.mark.parametrize("policy", POLICIES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("agreeing")


@pytest.fixture(scope="module")
def pairs(folder) -> dict[str, "Decoder"]:
    return {}


@pytest.fixture(scope="module")
def reference(folder, pairs):
    opened = []

    def answer(prompt: Sequence[int], length: int) -> list[int]:
        if not opened:
            opened.append(Greedy(next(folder.glob("*/target.onnx"))))
        return opened[0](prompt, length)

    return answer


@pytest.fixture
def pair(request, pairs, folder) -> Decoder:
    name = request.param
    if name not in pairs:
        opened = open_pair(folder, name, CONTEXT)
        pairs[name] = Decoder(opened=opened, target=opened.target.new_model(), source=opened.sources.new_source())
    return pairs[name]


def test_greedy_text_is_the_targets_own_in_five_hundred_cases(folder, pairs, reference, random_prompts, times):
    """Policies, draft lengths and prompts in random order on one slot; only some drafts are correct."""
    prompts = random_prompts(16, seed=3)
    cases = list(itertools.product(AGREEING, POLICIES, LENGTHS, prompts))
    assert len(cases) >= 500
    counts, drafted = {name: np.zeros(6, int) for name in AGREEING}, dict.fromkeys(POLICIES, 0)
    for name in AGREEING:
        opened = open_pair(folder, name, CONTEXT)
        pairs[name] = Decoder(opened=opened, target=opened.target.new_model(), source=opened.sources.new_source())
    for place in np.random.default_rng(4).permutation(len(cases)):
        name, policy, draft_length, prompt = cases[place]
        rounds = list(pairs[name].rounds(policy, draft_length, prompt, Limits(max_new_tokens=NEW_TOKENS), times))
        assert tokens_of(rounds) == reference(prompt, NEW_TOKENS), cases[place]
        drafted[policy] += sum(round_.drafted for round_ in rounds)
        if policy == "fixed" and draft_length == 5:
            for round_ in rounds[1:]:
                counts[name][round_.accepted] += 1
    assert min(drafted.values()) > 128, drafted
    for found in counts.values():  # refused at once, and accepted behind its own states
        assert found[0] > 0.1 * found.sum()
        assert found[2:].sum() > 0.1 * found.sum()


@every_kind
def test_answers_of_all_sorts_follow_each_other_on_one_slot(pair, reference, times):
    """Continued, cut back, cancelled, up to the context's end, in any order, with any policy and draft length."""
    rng, prompt, sorts = np.random.default_rng(21), [7], dict.fromkeys(("reused", "cancelled", "ended", "whole"), 0)
    for _ in range(150):
        kept = prompt[: int(rng.integers(0, len(prompt) + 1))]
        more = rng.integers(2, 1024, int(rng.choice([0, 1, 3, 20, CONTEXT]))).tolist()
        prompt = ([*kept, *more] or [2])[: CONTEXT - int(rng.choice([0, 1, 2, 40]))]
        sorts["reused"] += len(kept) > 1
        policy, length = rng.choice(POLICIES), int(rng.integers(1, 6))
        rounds = pair.rounds(policy, length, prompt, Limits(max_new_tokens=25), times)
        cancelled = rng.random() < 0.4
        found = tokens_of(itertools.islice(rounds, int(rng.integers(0, 5))) if cancelled else rounds)
        rounds.close()
        ended = not cancelled and len(prompt) + 25 > CONTEXT
        sorts["cancelled" if cancelled else "ended" if ended else "whole"] += 1
        assert found == reference(prompt, len(found) if cancelled else min(25, CONTEXT + 1 - len(prompt)))
        prompt = [*prompt, *found][:CONTEXT]
    assert min(sorts.values()) >= 15


@every_kind
@every_policy
def test_prompts_that_share_a_beginning_are_answered_as_if_new(pair, policy, reference, random_prompts, times):
    """Chats that continue, prompts cut anywhere, the same prompt again: what is kept from before changes nothing."""
    rng = np.random.default_rng(31)
    prompt = random_prompts(1, seed=32, longest=40)[0]
    for number in range(16):
        cut = int(rng.integers(0, len(prompt) + 1)) if number % 4 else len(prompt)
        more = rng.integers(2, 1024, rng.integers(0, 9)).tolist()
        prompt = [*prompt[:cut], *more][-90:] or [2]
        found = tokens_of(pair.rounds(policy, 1 + number % 5, prompt, Limits(max_new_tokens=8), times))
        assert found == reference(prompt, 8)
        prompt += found[: int(rng.integers(0, 9))]


@every_kind
@every_policy
def test_a_cancelled_answer_leaves_nothing_behind(pair, policy, reference, random_prompts, times):
    rng = np.random.default_rng(41)
    for number, prompt in enumerate(random_prompts(12, seed=42, longest=30)):
        rounds = pair.rounds(policy, 1 + number % 5, prompt, Limits(max_new_tokens=40), times)
        read = tokens_of(itertools.islice(rounds, int(rng.integers(0, 7))))
        rounds.close()
        assert read == reference(prompt, len(read))
        following = [[*prompt, *read, 9], [*prompt, *read[: len(read) // 2], 9, 8], [number + 2]][number % 3]
        assert tokens_of(pair.rounds(policy, 3, following, Limits(max_new_tokens=8), times)) == reference(following, 8)


@every_kind
@every_policy
def test_the_end_of_the_context_just_ends_an_answer(pair, policy, reference, times):
    prompt = np.random.default_rng(51).integers(2, 1024, CONTEXT).tolist()
    for length in (CONTEXT - 20, CONTEXT - 3, CONTEXT - 1, CONTEXT):
        found = tokens_of(pair.rounds(policy, 5, prompt[:length], Limits(max_new_tokens=500), times))
        assert found == reference(prompt[:length], CONTEXT + 1 - length)


@every_kind
def test_a_drafter_with_a_shorter_context_stops_and_starts_again(pair, reference, random_prompts, times):
    """Its cache holds 24 rows; longer texts continue without it, and the next prompt fits again."""
    fusing = pair.opened.checkpoint / "fusing.onnx"
    graph = EagleGraph(
        pair.opened.checkpoint / "step.onnx",
        fusing if fusing.is_file() else None,
        SessionSettings(threads=2, context_length=24),
    )
    sources = type(pair.opened.sources)(graph=graph, index_map=pair.opened.sources.index_map)
    short = Decoder(opened=pair.opened, target=pair.target, source=sources.new_source())
    for number, longest in enumerate((10, 40, 10, 24, 25, 26, 5)):
        prompt = np.random.default_rng(number).integers(2, 1024, longest).tolist()
        rounds = list(short.rounds("fixed", 3, prompt, Limits(max_new_tokens=30), times))
        assert tokens_of(rounds) == reference(prompt, 30)
        drafted = [round_.drafted for round_ in rounds[1:]]
        assert (sum(drafted) > 0) == (longest <= 24)
        assert drafted[-1] == 0


@every_kind
def test_a_padded_target_hands_on_the_rows_that_count(pair, reference, random_prompts, times):
    padded = Padded(pair.opened.target.new_model(), (1.0, 9.0, 9.0, 2.0), "cpu")
    decoder = Decoder(opened=pair.opened, target=padded, source=pair.opened.sources.new_source())
    for prompt in random_prompts(6, seed=61):
        rounds = list(decoder.rounds("fixed", 2, prompt, Limits(max_new_tokens=NEW_TOKENS), times))
        assert tokens_of(rounds) == reference(prompt, NEW_TOKENS)


@every_kind
def test_every_draft_is_that_of_the_layer_in_plain_torch(pair, random_prompts, torch_alone):
    """In each round torch reads all tokens with the target's states, then drafts from the layer's own."""
    opened, seen = pair.opened, []
    table, head = (opened.weights[name].numpy() for name in ("model.embed_tokens.weight", "lm_head.weight"))
    for prompt in random_prompts(4, seed=71, longest=45):
        drafter = Recorded(TokenDrafter(pair.source, FixedLength(4)), seen)
        list(limited(speculative_rounds(pair.target, drafter, prompt), Limits(max_new_tokens=20)))
    assert len(seen) > 20
    model = opened.target.new_model()
    for text, drafts in seen:
        plain = PlainEagle(opened.checkpoint, AGREEING[opened.checkpoint.name], table, head)
        model.rewind(0)
        with torch.no_grad():
            logits, states = plain.read(text[1:], plain.fuse(model.read(text[:-1]).features.copy()))
            expected = [opened.sources.index_map.to_target(int(logits[-1].argmax()))]
            while len(expected) < len(drafts):
                logits, states = plain.read(expected[-1:], states[-1:])
                expected.append(opened.sources.index_map.to_target(int(logits[-1].argmax())))
        assert drafts == expected


def test_graphs_that_are_no_layer_are_refused(folder):
    settings, files = (
        SessionSettings(threads=2, context_length=CONTEXT),
        open_pair(folder, "EAGLE-2", CONTEXT).checkpoint,
    )
    with pytest.raises(EdgedraftError, match="input hidden_states: not known"):
        open_model(files / "step.onnx", settings)
    with pytest.raises(EdgedraftError, match=r"hidden_states: expected tensor\(float\) \(batch, tokens, width\)"):
        EagleGraph(files / "target.onnx", None, settings)
    with pytest.raises(EdgedraftError, match="a drafter that reads the target's states runs on the cpu, got webgpu"):
        EagleGraph(files / "step.onnx", None, replace(settings, provider="webgpu"))


@every_kind
@pytest.mark.parametrize("exact", [False, True])
def test_features_cover_the_tokens_of_the_last_read(pair, exact):
    """Pieces of any length give the same as one pass; exact passes have one more row, or begin a token before."""
    settings = SessionSettings(threads=2, context_length=40, exact=exact)
    model = OnnxGraph(pair.opened.checkpoint / "target.onnx", settings).new_model()
    text = np.random.default_rng(5).integers(2, 1024, 40).tolist()
    whole = model.read(text).features.copy()
    assert whole.shape == (40, (3 if pair.opened.checkpoint.name == "EAGLE-3" else 1) * HIDDEN)
    model.rewind(0)
    for start, end in itertools.pairwise((0, 1, 3, 4, 20, 39, 40)):
        found = model.read(text[start:end]).features
        np.testing.assert_allclose(found, whole[start:end], atol=1e-4)
