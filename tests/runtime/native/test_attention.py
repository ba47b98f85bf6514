"""Our attention computes what onnxruntime's does, and a row's bits do not depend on the rows of its pass."""

import os

import numpy as np
import onnxruntime
import pytest

from tests.runtime.native.attention_graphs import POSITIONS, Attention, attention_graph, feeds_of, read_text, text_of
from tests.runtime.native.conftest import OTHER_BUILD
from tests.runtime.native.graphs import open_graph
from tests.runtime.native.matrices import bits_of

KINDS = {
    "packed": Attention(),
    "three inputs": Attention(packed=False),
    "one key head": Attention(heads=5, key_heads=1, width=64, pairs=32),
    "as many key heads": Attention(heads=3, key_heads=3),
    "neighbouring pairs": Attention(interleaved=True),
    "part of a head": Attention(pairs=8),
    "nothing rotated": Attention(pairs=0),
    "half a pair of registers": Attention(width=48, pairs=24, heads=7, key_heads=1),
    "a scale": Attention(scale=0.3),
}


ODD = Attention(width=21, pairs=10, heads=7, key_heads=1)
"""A head that fills no register; onnxruntime has no such heads."""


@pytest.fixture
def own(library):
    """Sessions of this test take attention from the library; returns the library."""
    library.prefer("", attention=True)
    yield library
    library.prefer("")


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_it_computes_what_onnxruntime_does(own, kind):
    before, text = own.attentions(), text_of(kind, batch=1)
    found = read_text(kind, text, [9, 1, 4], own)
    assert own.attentions() > before
    ran = own.attentions()
    for ours, stock in zip(found, read_text(kind, text, [9, 1, 4]), strict=True):
        np.testing.assert_allclose(ours, stock, rtol=1e-4, atol=2e-6)
    assert own.attentions() == ran


def test_it_computes_heads_of_any_width(own):
    text = text_of(ODD, tokens=19)
    output, keys, values = read_text(ODD, text, [19], own)
    cosines, sines = (feeds_of(ODD, text, keys, values, [19])[name][:19, None] for name in ("cos_cache", "sin_cache"))
    rows = text[0].reshape(19, -1, ODD.width).astype(np.float64)
    first, second, rest = np.split(rows[:, :-1], [10, 20], axis=-1)
    rotated = np.concatenate((first * cosines - second * sines, second * cosines + first * sines, rest), axis=-1)
    scores = np.einsum("qhi,ki->hqk", rotated[:, :-1], rotated[:, -1]) / np.sqrt(ODD.width)
    weights = np.exp(scores) * np.tri(19)
    expected = np.einsum("hqk,ki->qhi", weights / weights.sum(-1, keepdims=True), rows[:, -1])
    np.testing.assert_allclose(output[0], expected.reshape(19, -1), rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("kind", [*KINDS.values(), ODD], ids=[*KINDS, "an odd width"])
def test_a_row_does_not_depend_on_its_pass_or_the_kernel(own, kernels, kind):
    text = text_of(kind, tokens=61)
    whole, keys, _ = read_text(kind, text, [61], own)
    for kernel in kernels:
        own.prefer(kernel, attention=True)
        for sizes in ([1], [2, 3], [16, 1], [17, 33, 11]):
            found, its_keys, _ = read_text(kind, text, sizes, own)
            np.testing.assert_array_equal(bits_of(found), bits_of(whole), err_msg=f"{kernel} {sizes}")
            np.testing.assert_array_equal(bits_of(its_keys), bits_of(keys))


def test_texts_of_a_batch_are_read_like_single_ones(own):
    """Three texts of different lengths, each in the same buffer, take one token at a time."""
    kind, capacity, lengths = Attention(), 40, (5, 17, 30)
    text = text_of(kind, batch=3)
    alone = [read_text(kind, text[i : i + 1, : length + 1], [length + 1], own) for i, length in enumerate(lengths)]
    keys, values = (np.full((3, kind.key_heads, capacity, kind.width), 7, np.float32) for _ in range(2))
    for i, length in enumerate(lengths):
        keys[i, :, :length], values[i, :, :length] = alone[i][1][0, :, :length], alone[i][2][0, :, :length]
    rows = np.stack([text[i, length : length + 1] for i, length in enumerate(lengths)])
    session = open_graph(attention_graph(kind), own)
    output, present, _ = session.run(None, feeds_of(kind, rows, keys, values, [length + 1 for length in lengths]))
    for i, length in enumerate(lengths):
        np.testing.assert_array_equal(bits_of(output[i, 0]), bits_of(alone[i][0][0, -1]))
        np.testing.assert_array_equal(present[i, :, : length + 1], alone[i][1][0])
        assert not present[i, :, length + 1 :].any()


def test_keys_in_a_shared_buffer_are_written_in_place(own):
    kind, text = Attention(), text_of(Attention(), tokens=12)
    expected, keys, _ = read_text(kind, text, [12], own)
    session = open_graph(attention_graph(kind), own)
    buffers = {name: np.full((1, kind.key_heads, 20, kind.width), 3, np.float32) for name in ("key", "value")}
    for start, end in ((0, 7), (7, 8), (8, 12)):
        binding = session.io_binding()
        for name, buffer in buffers.items():
            for bind, side in ((binding.bind_input, "past"), (binding.bind_output, "present")):
                bind(f"{side}_{name}", "cpu", 0, buffer.dtype, buffer.shape, buffer.ctypes.data)
        feeds = feeds_of(kind, text[:, start:end], buffers["key"], buffers["value"], [end])
        for name, array in feeds.items():
            if not name.startswith("past"):
                binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
        binding.bind_output("output")
        session.run_with_iobinding(binding)
        output = binding.copy_outputs_to_cpu()[-1]
        np.testing.assert_array_equal(bits_of(output), bits_of(expected[:, start:end]))
    np.testing.assert_array_equal(buffers["key"][:, :, :12], keys)
    assert (buffers["key"][:, :, 12:] == 3).all()  # what stands behind the text is not touched


def test_numbers_that_are_none_stay_in_their_row(own):
    kind, text = Attention(), text_of(Attention(), tokens=20)
    broken = text.copy()
    broken[0, 19] = np.nan
    np.testing.assert_array_equal(
        read_text(kind, broken, [20], own)[0][0, :19], read_text(kind, text, [20], own)[0][0, :19]
    )
    assert np.isnan(read_text(kind, broken, [20], own)[0][0, 19]).all()


def test_large_scores_do_not_overflow(own):
    kind, text = Attention(scale=50.0), 20 * text_of(Attention(), tokens=20)
    found, stock = read_text(kind, text, [20], own)[0], read_text(kind, text, [20])[0]
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, stock, atol=0.05)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"local_window_size": 8}, "local_window_size is not computed"),
        ({"softcap": 30.0}, "softcap is not computed"),
        ({"smooth_softmax": 1}, "smooth_softmax is not computed"),
        ({"num_heads": 5}, "num_heads must be a multiple of kv_num_heads"),
        ({"kv_num_heads": 0}, "num_heads must be a multiple of kv_num_heads"),
    ],
)
def test_what_it_does_not_compute_is_refused_when_opened(own, attributes, message):
    with pytest.raises(Exception, match=message):
        open_graph(attention_graph(Attention(), **attributes), own)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seqlens_k": np.array([999], np.int32)}, "seqlens_k does not fit"),
        ({"seqlens_k": np.array([1], np.int32)}, "seqlens_k does not fit"),
        ({"seqlens_k": np.array([3, 3], np.int32)}, "seqlens_k must have one number a text"),
        pytest.param(
            {"total_sequence_length": np.array([2**31 - 1], np.int32)},
            "memory|alloc|overflow|shape",
            marks=pytest.mark.skipif(OTHER_BUILD in os.environ, reason="sanitizers end a process without memory"),
        ),
        ({"past_key": np.zeros((1, 2, 9, 32), np.float32)}, "past_key and past_value must be"),
        ({"cos_cache": np.zeros((5, 16), np.float32)}, "cos_cache and sin_cache must be"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_and_not_read(own, wrong, message):
    kind = Attention()
    text, (_, keys, values) = text_of(kind, tokens=3), read_text(kind, text_of(kind, tokens=10), [10], own)
    session, feeds = open_graph(attention_graph(kind), own), feeds_of(kind, text, keys, values, [13])
    session.run(None, feeds)
    with pytest.raises(Exception, match=message):
        session.run(None, feeds | wrong)


def test_positions_beyond_the_rotary_factors_are_refused(own):
    kind = Attention()
    with pytest.raises(Exception, match="a position is outside of cos_cache"):
        read_text(kind, text_of(kind, tokens=POSITIONS + 1), [POSITIONS + 1], own)


def test_sessions_that_do_not_ask_for_it_keep_the_built_in_one(library):
    before = library.attentions()
    read_text(Attention(), text_of(Attention()), [8], library)
    assert library.attentions() == before
