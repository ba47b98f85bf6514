"""A row of a batch says what it would say alone, however many rows are stepped with it and whatever was moved."""

import ctypes
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.runtime.onnx.batch import OnnxBatch
from edgedraft.runtime.onnx.memory import LogitsBuffer, OnnxModel, SharedCache, cache_buffers
from edgedraft.runtime.onnx.signature import CacheInput

LAWS = settings(max_examples=80, deadline=None, derandomize=True, database=None)
CONTEXT, VOCAB, ROUNDING = 9, 5, 0.25
TABLE = np.random.default_rng(3).integers(0, 100, (31, VOCAB)).astype(np.float32)
TOO_LONG = (
    f"the context holds {CONTEXT} tokens, got {CONTEXT + 1} - shorten the prompt or open the bundle with a larger "
)


class Bound:
    """Arrays by name, found at the addresses they were bound at."""

    def __init__(self):
        self.arrays = {}

    def bind(self, name, device_type, device_id, element_type, shape, buffer_ptr):
        assert (device_type, device_id) == ("cpu", 0)
        dtype = np.dtype(element_type)
        memory = (ctypes.c_byte * (int(np.prod(shape)) * dtype.itemsize)).from_address(buffer_ptr)
        self.arrays[name] = np.frombuffer(memory, dtype=dtype).reshape(shape)

    bind_input = bind_output = bind


class Kernels:
    """A decoder in numpy, and its session: a row is scored by everything in its cache, summed by place.

    Like int4 kernels it takes rows in pairs and rounds a last single one otherwise.
    """

    vocab_size = VOCAB
    feature_width = 0
    position_planes = 0
    feeds = frozenset(("input_ids", "attention_mask", "position_ids"))

    def __init__(self):
        self.session = self
        self.caches = [
            CacheInput(name=f"past_key_values.0.{kind}", present=f"present.0.{kind}", heads=2, width=3, dtype=dtype)
            for kind, dtype in (("key", np.float32), ("value", np.float16))
        ]
        self.row_counts = []

    def io_binding(self):
        return Bound()

    def run_with_iobinding(self, bound):
        ids, mask, logits = (bound.arrays[name] for name in ("input_ids", "attention_mask", "logits"))
        self.row_counts.append(len(ids))
        tokens = ids.shape[1]
        ends = mask.sum(axis=1)[:, None]
        np.testing.assert_array_equal(bound.arrays["position_ids"], np.arange(tokens) + ends - tokens)
        for row, held in enumerate(mask.sum(axis=1)):
            for kind in ("key", "value"):
                past, present = (bound.arrays[f"{when}.0.{kind}"] for when in ("past_key_values", "present"))
                assert past.ctypes.data == present.ctypes.data
                assert len(past) == len(ids) == len(logits)
                present[row, :, held - tokens : held] = ids[row, None, :, None]
            for place in range(held - tokens, held):
                whole = [bound.arrays[f"present.0.{kind}"][row, :, : place + 1] for kind in ("key", "value")]
                assert all((part == part[:1, :, :1]).all() for part in whole)
                logits[row, place - held + tokens] = score(whole[0][0, :, 0])
        if ids.size % 2:
            logits[-1, -1] += ROUNDING


def score(token_ids):
    """What a decoder says after ``token_ids``, when no single row is rounded otherwise."""
    return TABLE[int(sum((token + 1) * (place + 1) for place, token in enumerate(token_ids))) % len(TABLE)]


def batch_of(rows, graph=None):
    graph = graph or Kernels()
    return OnnxBatch(graph, cache_buffers(graph, rows + rows % 2, CONTEXT), rows)


def alone():
    graph = Kernels()
    return OnnxModel(graph, SharedCache(graph, cache_buffers(graph, 1, CONTEXT)))


TOKENS = st.integers(0, VOCAB - 1)
DEEDS = st.one_of(
    st.tuples(st.just("step"), st.lists(TOKENS, min_size=1, max_size=5)),
    st.tuples(st.just("read"), st.integers(0, 4), st.lists(TOKENS, min_size=1, max_size=CONTEXT)),
    st.tuples(st.just("rewind"), st.integers(0, 4), st.integers(0, CONTEXT)),
    st.tuples(st.just("move"), st.integers(0, 4), st.integers(0, 4)),
)


@LAWS
@given(rows=st.integers(1, 5), deeds=st.lists(DEEDS, max_size=25))
def test_a_row_scores_its_own_text_whatever_happens_to_the_others(rows, deeds):
    batch, texts = batch_of(rows), [[] for _ in range(rows)]
    for deed, *details in deeds:
        if deed == "step":
            tokens = details[0][:rows]
            if any(len(text) == CONTEXT for text in texts[: len(tokens)]):
                continue
            for text, token in zip(texts, tokens, strict=False):
                text.append(token)
            expected = [score(text) for text in texts[: len(tokens)]]
            np.testing.assert_array_equal(batch.step(tokens), expected)
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
                np.testing.assert_allclose(row.read(details[1]).logits[-1], score(text), atol=ROUNDING)
        assert [list(row.token_ids) for row in batch.rows] == texts


def test_these_kernels_would_round_a_single_row_otherwise():
    """Negative control: without its partner, a row of the batch above would not say the same."""
    np.testing.assert_array_equal(alone().read([1, 2]).logits[-1], score([1, 2]))
    np.testing.assert_array_equal(alone().read([1]).logits[-1], score([1]) + ROUNDING)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5])
def test_passes_take_rows_in_pairs(rows):
    graph = Kernels()
    batch = batch_of(rows, graph)
    for count in range(1, rows + 1):
        batch.step([0] * count)
    assert graph.row_counts == [count + count % 2 for count in range(1, rows + 1)]


@pytest.mark.parametrize("feeds", [["input_ids"], ["input_ids", "cache_position"]])
def test_a_graph_is_given_what_it_takes_and_no_more(feeds):
    class Told(Kernels):
        def run_with_iobinding(self, bound):
            caches = {cache.name for cache in self.caches} | {cache.present for cache in self.caches}
            self.given = {name: array.tolist() for name, array in bound.arrays.items() if name not in caches}

    graph = Told()
    graph.feeds = frozenset(feeds)
    model = OnnxModel(graph, SharedCache(graph, cache_buffers(graph, 1, CONTEXT)))
    model.read([4, 4])
    model.read([1, 2, 3])
    places = {"cache_position": [2, 3, 4]} if "cache_position" in feeds else {}
    del graph.given["logits"]
    assert graph.given == {"input_ids": [[1, 2, 3]]} | places


def test_a_full_row_that_idles_beside_a_single_one_loses_nothing():
    batch = batch_of(2)
    text = [1, 2, 3, 4] * 2
    batch.rows[1].read([*text, 0])
    batch.step([3])
    batch.rows[1].rewind(len(text))
    np.testing.assert_array_equal(batch.step([2, 4])[1], score([*text, 4]))


def test_what_is_moved_is_no_more_than_was_read():
    batch = batch_of(2)
    batch.rows[0].read([1, 2, 3])
    for buffer in batch._buffers:
        buffer[1] = 7
    batch.move(0, 1)
    for buffer in batch._buffers:
        np.testing.assert_array_equal(buffer[1, :, :3], buffer[0, :, :3])
        assert (buffer[1, :, 3:] == 7).all()


def test_a_step_that_does_not_fit_changes_nothing(raises_exactly):
    batch = batch_of(3)
    batch.rows[1].read([1] * CONTEXT)
    with raises_exactly(f"{TOO_LONG}context"):
        batch.step([0, 0, 0])
    assert [row.length for row in batch.rows] == [0, CONTEXT, 0]
    np.testing.assert_array_equal(batch.step([2])[0], score([2]))


@pytest.mark.parametrize("count", [0, 4])
def test_a_step_takes_no_more_tokens_than_there_are_rows(count, raises_exactly):
    with raises_exactly(f"a step takes 1..3 tokens, got {count}"):
        batch_of(3).step([0] * count)


class Idle(Kernels):
    """Writes nothing, over a vocabulary whose logits are large."""

    vocab_size = 100_000

    def run_with_iobinding(self, bound):
        pass


def test_a_step_allocates_nothing_as_large_as_its_logits():
    batch = batch_of(4, Idle())
    first = batch.step([0] * 4)
    tracemalloc.start()
    again = batch.step([0] * 4)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.shares_memory(first, again)
    assert peak < again.nbytes / 20


def test_models_that_share_a_buffer_for_logits_allocate_it_once():
    logits, graph = LogitsBuffer(VOCAB), Kernels()
    one, other = (OnnxModel(graph, SharedCache(graph, cache_buffers(graph, 1, CONTEXT)), logits) for _ in range(2))
    first = one.read([1, 2]).logits
    assert np.shares_memory(first, other.read([3]).logits)
    assert not np.shares_memory(first, alone().read([3]).logits)


@pytest.mark.skipif(sys.platform != "linux", reason="how much memory a process uses is asked of Linux")
def test_buffers_take_memory_as_they_are_used():
    def used_bytes():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    graph = Kernels()
    before = used_bytes()
    buffers = cache_buffers(graph, 2, 2**20)
    for buffer in buffers:
        buffer[:, :, :10] = 1
    assert used_bytes() - before < sum(buffer.nbytes for buffer in buffers) / 4
    assert all((buffer[:, :, 10:1000] == 0).all() for buffer in buffers)


# --- a forked child --------------------------------------------------------------------------------------------------


def test_a_forked_child_reads_with_keys_and_values_of_its_own(in_child):
    model = alone()
    model.read([1, 2])

    def other_text():
        model.rewind(0)
        return bool((model.read([4, 5]).logits[-1] == score([4, 5])).all())

    assert in_child(other_text)
    np.testing.assert_array_equal(model.read([3, 7]).logits[-1], score([1, 2, 3, 7]))


def test_a_forked_child_steps_a_batch_of_its_own(in_child):
    batch = batch_of(3)
    for row, model in enumerate(batch.rows):
        model.read([row, 1])

    def other_texts():
        for model in batch.rows:
            model.rewind(0)
            model.read([5, 6])
        return bool((batch.step([7, 7, 7]) == score([5, 6, 7])).all())

    assert in_child(other_texts)
    np.testing.assert_array_equal(batch.step([7, 7, 7]), [score([row, 1, 7]) for row in range(3)])


@pytest.mark.skipif(sys.platform != "linux", reason="mappings are listed by Linux")
def test_buffers_are_private_and_take_small_pages():
    """Where the system gives huge pages unasked, the first token of a row would commit 2 MiB without the advice."""
    (buffer,) = cache_buffers(Kernels(), 2, 2**20)[:1]
    flags = mapping_flags(buffer.ctypes.data)
    assert "sh" not in flags
    assert "nh" in flags or not Path("/sys/kernel/mm/transparent_hugepage").exists()


def mapping_flags(address):
    """The kernel's flags (VmFlags) of the mapping that holds ``address``."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first = line.split()[0]
        if not first.endswith(":"):
            start, end = (int(part, 16) for part in first.split("-"))
            inside = start <= address < end
        elif inside and first == "VmFlags:":
            return line.split()[1:]
    raise AssertionError("no mapping holds the address")
