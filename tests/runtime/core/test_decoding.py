"""Drafting never changes the text: speculative decoding gives the target's own greedy tokens, only in bigger steps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.decoding import plain_rounds, speculative_rounds
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.model import prompt_pieces
from edgedraft.runtime.core.policies import FixedLength
from edgedraft.runtime.core.sources import ModelTokenSource
from edgedraft.runtime.core.token_drafter import TokenDrafter

LAWS = settings(max_examples=120, deadline=None, derandomize=True, database=None)


def drafted(target, drafter, index_map, prompt, draft_length):
    return speculative_rounds(
        target, TokenDrafter(ModelTokenSource(drafter, index_map), FixedLength(draft_length)), prompt
    )


def tokens_of(rounds):
    return [token for round_ in rounds for token in round_.token_ids]


@st.composite
def scenes(draw):
    """A target, a drafter over some of its ids, a prompt and the two context lengths."""
    vocab_size = draw(st.integers(2, 9))
    kept = sorted(draw(st.sets(st.integers(0, vocab_size - 1), min_size=1)))
    prompt = draw(st.lists(st.integers(0, vocab_size - 1), min_size=1, max_size=40))
    return {
        "vocab_size": vocab_size,
        "kept": kept,
        "prompt": prompt,
        "target_context": len(prompt) + draw(st.integers(0, 24)),
        "drafter_context": len(prompt) + draw(st.integers(0, 24)),
        "draft_length": draw(st.integers(1, 8)),
        "target_table": draw(st.lists(st.integers(0, vocab_size - 1), min_size=1, max_size=vocab_size)),
        "drafter_table": draw(st.lists(st.integers(0, len(kept) - 1), min_size=1, max_size=vocab_size)),
        "hashed_target": draw(st.booleans()),
        "drafter_kind": draw(st.sampled_from(["table", "hash", "often right"])),
        "salt": draw(st.integers(0, 255)),
    }


@pytest.fixture(scope="session")
def cast_of(scripted, by_table, by_hash):
    """The models of a scene, freshly opened: target, drafter and index map."""

    def open_both(scene):
        size, kept = scene["vocab_size"], scene["kept"]
        choose = by_hash(scene["salt"], size) if scene["hashed_target"] else by_table(scene["target_table"])
        guesses = by_table(scene["drafter_table"])

        def often_right(context):
            wanted = choose(context)
            return kept.index(wanted) if wanted in kept and sum(context) % 4 else guesses(context)

        drafting = {"table": guesses, "hash": by_hash(scene["salt"] ^ 1, len(kept)), "often right": often_right}
        target = scripted(choose, size, scene["target_context"])
        drafter = scripted(drafting[scene["drafter_kind"]], len(kept), scene["drafter_context"])
        return target, drafter, IndexMap(target_ids=np.array(kept, dtype=np.int64), target_vocab_size=size)

    return open_both


@LAWS
@given(scene=scenes())
def test_speculative_text_is_the_plain_text(cast_of, scene):
    target, drafter, index_map = cast_of(scene)
    alone, _, _ = cast_of(scene)
    expected = tokens_of(plain_rounds(alone, scene["prompt"]))
    found = tokens_of(drafted(target, drafter, index_map, scene["prompt"], scene["draft_length"]))
    assert found == expected
    assert len(found) == scene["target_context"] - len(scene["prompt"]) + 1


@LAWS
@given(scene=scenes())
def test_every_round_counts_its_own_tokens(cast_of, scene):
    target, drafter, index_map = cast_of(scene)
    first, *rest = drafted(target, drafter, index_map, scene["prompt"], scene["draft_length"])
    assert (len(first.token_ids), first.drafted, first.accepted) == (1, 0, 0)
    for round_ in rest:
        assert len(round_.token_ids) == round_.accepted + 1
        assert 0 <= round_.accepted <= round_.drafted <= scene["draft_length"]


@LAWS
@given(scene=scenes())
def test_a_round_drafts_its_full_length_while_both_contexts_have_room(cast_of, scene):
    """The drafter need not read its own last draft, so it may draft one token more than it can hold."""
    target, drafter, index_map = cast_of(scene)
    committed = len(scene["prompt"])
    first, *rest = drafted(target, drafter, index_map, scene["prompt"], scene["draft_length"])
    committed += len(first.token_ids)
    for round_ in rest:
        room = min(scene["target_context"], scene["drafter_context"] + 1) - committed
        assert round_.drafted == max(0, min(scene["draft_length"], room))
        committed += len(round_.token_ids)


@LAWS
@given(scene=scenes())
def test_after_each_round_memories_hold_only_committed_text(cast_of, scene):
    target, drafter, index_map = cast_of(scene)
    committed = list(scene["prompt"])
    for round_ in drafted(target, drafter, index_map, scene["prompt"], scene["draft_length"]):
        committed += round_.token_ids
        assert target.tokens == committed[:-1]
        assert drafter.tokens == committed[: drafter.length]
        assert drafter.length < len(committed)


@LAWS
@given(scene=scenes())
def test_the_drafter_reads_only_committed_tokens_and_its_own_proposals(cast_of, scene):
    target, drafter, index_map = cast_of(scene)
    rounds = drafted(target, drafter, index_map, scene["prompt"], scene["draft_length"])
    text = [*scene["prompt"], *tokens_of(rounds)]
    for context in drafter.contexts:
        for position, token in enumerate(context):
            assert token == text[position] or token == index_map.to_target(drafter.choose(context[:position]))


@LAWS
@given(scene=scenes())
def test_the_target_reads_once_a_round(cast_of, scene):
    target, drafter, index_map = cast_of(scene)
    pieces = len(list(prompt_pieces(scene["prompt"])))
    rounds = list(drafted(target, drafter, index_map, scene["prompt"], scene["draft_length"]))
    assert len(target.contexts) == pieces + len(rounds) - 1


def test_a_drafter_too_small_for_the_prompt_does_not_change_the_text(scripted, by_hash):
    choose = by_hash(3, 5)
    target, drafter = scripted(choose, 5, 12), scripted(choose, 5, 2)
    expected = tokens_of(plain_rounds(scripted(choose, 5, 12), [1, 2, 3]))
    assert tokens_of(drafted(target, drafter, IndexMap.identity(5), [1, 2, 3], 4)) == expected


@pytest.mark.parametrize("draft_length", range(1, 9))
def test_a_perfect_drafter_is_always_accepted_in_full(scripted, by_hash, draft_length):
    choose = by_hash(7, 11)
    target, drafter = scripted(choose, 11, 60), scripted(choose, 11, 200)
    _, *rest = drafted(target, drafter, IndexMap.identity(11), [1, 2, 3], draft_length)
    assert all(round_.accepted == round_.drafted for round_ in rest)
    assert all(round_.drafted == draft_length for round_ in rest[:-1])


@pytest.mark.parametrize("draft_length", range(1, 9))
def test_a_useless_drafter_is_never_accepted_and_changes_nothing(scripted, by_hash, draft_length):
    choose = by_hash(7, 11)
    target = scripted(choose, 11, 40)
    drafter = scripted(lambda context: (choose(context) + 1) % 11, 11, 40)
    _, *rest = drafted(target, drafter, IndexMap.identity(11), [1, 2, 3], draft_length)
    assert {round_.accepted for round_ in rest} == {0}
    assert tokens_of(rest) == tokens_of(plain_rounds(scripted(choose, 11, 40), [1, 2, 3]))[1:]


def test_a_perfect_drafter_without_the_token_proposes_another_and_is_refused_there(scripted, by_table):
    cycle = by_table([1, 2, 3, 0])
    kept = IndexMap(target_ids=np.array([0, 1, 2], dtype=np.int64), target_vocab_size=4)
    drafter = scripted(by_table([1, 2, 0, 0]), 3)
    rounds = drafted(scripted(cycle, 4), drafter, kept, [0], 3)
    assert [next(rounds).token_ids for _ in range(4)] == [(1,), (2, 3), (0, 1, 2, 3), (0, 1, 2, 3)]


def test_when_the_drafter_is_full_the_target_goes_on_alone(scripted, by_hash):
    choose = by_hash(3, 5)
    target, drafter = scripted(choose, 5, 20), scripted(choose, 5, 8)
    rounds = list(drafted(target, drafter, IndexMap.identity(5), [1, 2, 3], 4))
    assert [round_.drafted for round_ in rounds] == [0, 4, *[0] * 12]
    assert tokens_of(rounds) == tokens_of(plain_rounds(scripted(choose, 5, 20), [1, 2, 3]))


def test_stopping_early_leaves_both_models_ready_for_the_next_answer(scripted, by_hash):
    choose = by_hash(3, 5)
    target, drafter = scripted(choose, 5), scripted(choose, 5)
    rounds = drafted(target, drafter, IndexMap.identity(5), [1, 2, 3], 4)
    next(rounds)
    next(rounds)
    rounds.close()
    target.rewind(0)
    drafter.rewind(0)
    again = drafted(target, drafter, IndexMap.identity(5), [4, 4], 4)
    assert tokens_of(again) == tokens_of(plain_rounds(scripted(choose, 5), [4, 4]))


def test_plain_rounds_commit_one_token_each_until_the_context_is_full(scripted, by_table):
    rounds = list(plain_rounds(scripted(by_table([1, 2, 0]), 3, context_length=5), [0, 1]))
    assert [round_.token_ids for round_ in rounds] == [(2,), (0,), (1,), (2,)]
    assert all((round_.drafted, round_.accepted) == (0, 0) for round_ in rounds)


def test_a_prompt_as_long_as_the_context_still_gets_one_token(scripted, by_table):
    cycle = by_table([1, 2, 0])
    full = {"vocab_size": 3, "context_length": 2}
    assert tokens_of(plain_rounds(scripted(cycle, **full), [0, 1])) == [2]
    both = scripted(cycle, **full), scripted(cycle, **full)
    assert tokens_of(drafted(both[0], both[1], IndexMap.identity(3), [0, 1], 4)) == [2]


def test_a_prompt_longer_than_the_targets_context_is_refused(scripted, by_table, raises_exactly):
    with raises_exactly("the context holds 2 tokens, got 3"):
        next(plain_rounds(scripted(by_table([1, 2, 0]), 3, context_length=2), [0, 1, 2]))


def test_the_fake_raises_on_overflow_and_nonsense_rewinds(scripted, by_table):
    model = scripted(by_table([0]), 1, context_length=2)
    model.read([0, 0])
    with pytest.raises(EdgedraftError, match="the context holds 2 tokens, got 3"):
        model.read([0])
    with pytest.raises(EdgedraftError, match="cannot rewind to 3: only 2 tokens were read"):
        model.rewind(3)
