"""A memory over a graph that appends to its past says what everything read says, whatever was rewound in between.

The past that such a graph is given holds exactly the tokens that count, laid out without gaps.
"""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.runtime.core.model import prefill
from edgedraft.runtime.onnx.growing import GrowingCache, SequentialBatch
from edgedraft.runtime.onnx.memory import OnnxModel
from edgedraft.runtime.onnx.session import OnnxGraph, SessionSettings
from tests.plain_llama import FEEDS, Style, save_plain_llama
from tests.runtime.onnx.test_memory import CONTEXT, DEEDS, VOCAB, Kernels, score

LAWS = settings(max_examples=80, deadline=None, derandomize=True, database=None)


class Appending(Kernels):
    """A decoder in numpy whose present is its past with the new tokens behind it."""

    def run_with_iobinding(self, bound):
        ids, places, logits = (bound.arrays[name] for name in ("input_ids", "position_ids", "logits"))
        tokens = ids.shape[1]
        for kind in ("key", "value"):
            past, present = (bound.arrays[f"{when}.0.{kind}"] for when in ("past_key_values", "present"))
            assert not np.shares_memory(past, present)
            assert past.shape[2] + tokens == present.shape[2] == bound.arrays["attention_mask"].shape[1]
            present[:] = np.concatenate([past, np.broadcast_to(ids[:, None, :, None], (1, 2, tokens, 3))], axis=2)
            assert (present == present[:, :1, :, :1]).all()
        for place in places[0]:
            logits[0, place - places[0, 0]] = score(bound.arrays["present.0.key"][0, 0, : place + 1, 0])


def alone(graph=None):
    graph = graph or Appending()
    return OnnxModel(graph, GrowingCache(graph, CONTEXT))


# --- one memory ------------------------------------------------------------------------------------------------------


@LAWS
@given(
    steps=st.lists(
        st.tuples(st.integers(0, CONTEXT), st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=5)), max_size=12
    )
)
def test_logits_are_those_of_everything_in_memory(steps):
    model, text = alone(), []
    for length, tokens in steps:
        del text[length:]
        model.rewind(len(text))
        tokens = tokens[: CONTEXT - len(text)]
        if tokens:
            text += tokens
            expected = [score(text[: end + 1]) for end in range(len(text) - len(tokens), len(text))]
            np.testing.assert_array_equal(model.read(tokens).logits, expected)
        assert (list(model.token_ids), model.length) == (text, len(text))


def test_rewinding_twice_before_the_next_pass_is_rewinding_to_the_shorter():
    model = alone()
    model.read([1, 2, 3, 4])
    model.rewind(3)
    model.rewind(1)
    np.testing.assert_array_equal(model.read([2]).logits[0], score([1, 2]))


def test_a_pass_that_fails_can_be_tried_again():
    class Failing(Appending):
        fails = False

        def run_with_iobinding(self, bound):
            if self.fails:
                for kind in ("key", "value"):
                    bound.arrays[f"present.0.{kind}"][:] = 9
                raise KeyboardInterrupt
            super().run_with_iobinding(bound)

    graph = Failing()
    model = alone(graph)
    model.read([1, 2, 3, 4])
    model.rewind(3)
    graph.fails = True
    with pytest.raises(KeyboardInterrupt):
        model.read([4, 4])
    assert model.length == 3
    graph.fails = False
    np.testing.assert_array_equal(model.read([2]).logits[0], score([1, 2, 3, 2]))


def test_reading_too_much_changes_nothing(raises_exactly):
    model = alone()
    model.read([0] * CONTEXT)
    remedy = "shorten the prompt or open the bundle with a larger context"
    with raises_exactly(f"the context holds {CONTEXT} tokens, got {CONTEXT + 1} - {remedy}"):
        model.read([1])
    model.rewind(2)
    np.testing.assert_array_equal(model.read([1]).logits[0], score([0, 0, 1]))


def test_a_forked_child_reads_with_keys_and_values_of_its_own(in_child):
    model = alone()
    for tokens in ([1, 2, 3], [4]):  # both buffers hold something
        model.read(tokens)

    def other_text():
        model.rewind(0)
        steps = ((3, [5] * 3), (4, [5]))
        return all((model.read(tokens).logits[-1] == score([5] * size)).all() for size, tokens in steps)

    assert in_child(other_text)
    np.testing.assert_array_equal(model.read([6]).logits[0], score([1, 2, 3, 4, 6]))


def test_no_pass_allocates_anything_as_large_as_the_past():
    class Idle(Appending):
        def run_with_iobinding(self, bound):
            pass

    graph, context = Idle(), 100_000
    model = OnnxModel(graph, GrowingCache(graph, context))
    model.read([0] * (context - 2))
    tracemalloc.start()
    model.rewind(context - 10)
    model.read([0])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < context


# --- rows stepped in turn --------------------------------------------------------------------------------------------


def in_turn(rows):
    graph = Appending()
    return SequentialBatch([alone(graph) for _ in range(rows)])


@LAWS
@given(rows=st.integers(1, 4), deeds=st.lists(DEEDS, max_size=25))
def test_a_row_scores_its_own_text_whatever_happens_to_the_others(rows, deeds):
    batch, texts = in_turn(rows), [[] for _ in range(rows)]
    for deed, *details in deeds:
        if deed == "step":
            tokens = details[0][:rows]
            if any(len(text) == CONTEXT for text in texts[: len(tokens)]):
                continue
            for text, token in zip(texts, tokens, strict=False):
                text.append(token)
            np.testing.assert_array_equal(batch.step(tokens), [score(text) for text in texts[: len(tokens)]])
        elif deed == "move":
            source, destination = (place % rows for place in details)
            batch.move(source, destination)
            if source != destination:
                texts[source], texts[destination] = [], texts[source]
        else:
            row, text = batch.rows[details[0] % rows], texts[details[0] % rows]
            if deed == "rewind":
                del text[details[1] :]
                row.rewind(len(text))
            elif len(text) + len(details[1]) <= CONTEXT:
                text += details[1]
                np.testing.assert_array_equal(row.read(details[1]).logits[-1], score(text))
        assert [list(row.token_ids) for row in batch.rows] == texts


def test_a_step_that_does_not_fit_changes_nothing(raises_exactly):
    batch = in_turn(3)
    batch.rows[1].read([1] * CONTEXT)
    remedy = "shorten the prompt or open the bundle with a larger context"
    with raises_exactly(f"the context holds {CONTEXT} tokens, got {CONTEXT + 1} - {remedy}"):
        batch.step([0, 0, 0])
    assert [row.length for row in batch.rows] == [0, CONTEXT, 0]


@pytest.mark.parametrize("count", [0, 4])
def test_a_step_takes_no_more_tokens_than_there_are_rows(count, raises_exactly):
    with raises_exactly(f"a step takes 1..3 tokens, got {count}"):
        in_turn(3).step([0] * count)


# --- real graphs -----------------------------------------------------------------------------------------------------

SETTINGS = SessionSettings(threads=2, context_length=64)
STYLES = {
    "optimum": Style(),
    "no positions": Style(feeds=("input_ids", "attention_mask")),
    "ids alone": Style(feeds=("input_ids",)),
    "cache position": Style(feeds=("input_ids", "cache_position")),
    "layer first": Style(past="past_{layer}_{kind}", present="present_{layer}_{kind}"),
    "kind first": Style(past="past_{kind}_{layer}", present="present_{kind}_{layer}"),
    "long presents": Style(present="present_key_values.{layer}.{kind}"),
    "tied names": Style(feeds=(*FEEDS, "cache_position"), past="past.{layer}.{kind}"),
}
TEXT = np.random.default_rng(4).integers(2, 1000, 40).tolist()


@pytest.fixture(scope="module")
def by_transformers(tiny_pair):
    """Logits (40, vocab) of the text by transformers itself."""
    import torch
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(tiny_pair.target, dtype=torch.float32)
    with torch.no_grad():
        return model(torch.tensor([TEXT])).logits[0].numpy()


@pytest.mark.parametrize("name", STYLES)
def test_a_graph_of_any_style_says_what_transformers_says(name, tiny_pair, by_transformers, tmp_path):
    save_plain_llama(tiny_pair.target, tmp_path / "model.onnx", STYLES[name])
    graph = OnnxGraph(tmp_path / "model.onnx", SETTINGS)
    assert not graph.shared
    assert graph.feeds == set(STYLES[name].feeds)
    model = graph.new_model()
    pieces = [model.read(TEXT[:7]).logits.copy()]
    model.read([5, 6, 7])
    model.rewind(7)
    pieces += [model.read(TEXT[7:8]).logits.copy(), model.read(TEXT[8:]).logits.copy()]
    np.testing.assert_allclose(np.concatenate(pieces), by_transformers, atol=1e-4)


def test_the_rows_of_a_batch_are_stepped_in_turn(tiny_pair, tmp_path):
    save_plain_llama(tiny_pair.target, tmp_path / "model.onnx")
    graph = OnnxGraph(tmp_path / "model.onnx", SETTINGS)
    batch = graph.batch(3)
    assert isinstance(batch, SequentialBatch)
    prompts = [TEXT[:5], TEXT[5:20], TEXT[20:]]
    for row, prompt in zip(batch.rows, prompts, strict=True):
        prefill(row, prompt)
    stepped = batch.step([7, 8, 9])
    for prompt, token, scores in zip(prompts, (7, 8, 9), stepped, strict=True):
        model = graph.new_model()
        prefill(model, prompt)
        np.testing.assert_array_equal(model.read([token]).logits[0], scores)
