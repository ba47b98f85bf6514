"""The features of a read are those of its tokens: with padding, in pieces, or in passes from earlier tokens."""

import ctypes

import numpy as np
import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.model import Pass
from edgedraft.runtime.onnx.features import FeatureRows, features_of, joined


class Writing:
    """A binding whose pass writes each token's position to its row."""

    def bind_output(self, name, device, device_id, dtype, shape, address):
        assert (name, device, dtype) == ("features", "cpu", np.float32)
        memory = (ctypes.c_float * int(np.prod(shape))).from_address(address)
        self.rows = np.frombuffer(memory, np.float32).reshape(shape)[0]

    def run(self, start):
        self.rows[:] = np.arange(start, start + len(self.rows))[:, None]


def read(features, first, count, passes):
    """Do what a model does: passes over parts of the text, to read ``count`` tokens after the first ``first``."""
    features.begin(first, count)
    binding = Writing()
    for start, end in passes:
        features.bind(binding, start, end)
        assert binding.rows.shape == (end - start, 3)
        binding.run(start)
    return features.rows()


@pytest.mark.parametrize(
    "passes",
    [
        [(5, 9)],
        [(5, 7), (7, 9)],
        [(5, 10)],  # a row of padding
        [(4, 9)],  # a row that was read before
        [(0, 3), (3, 6), (6, 9)],  # everything again
        [(0, 5), (5, 9)],
    ],
)
def test_rows_are_those_of_the_tokens_read(passes):
    features = FeatureRows(3)
    for _ in range(2):  # the second read reuses the memory
        found = read(features, 5, 4, passes)
        assert found.shape == (4, 3)
        np.testing.assert_array_equal(found, np.arange(5, 9)[:, None].repeat(3, 1))
    np.testing.assert_array_equal(read(features, 0, 1, [(0, 2)]), [[0, 0, 0]])
    np.testing.assert_array_equal(read(features, 7, 1, [(6, 8)]), [[7, 7, 7]])


def test_a_graph_without_features_binds_nothing():
    features = FeatureRows(0)
    features.begin(0, 3)
    features.bind(None, 0, 3)
    assert features.rows() is None


def test_two_passes_are_joined_though_they_share_memory():
    memory = np.zeros((2, 3), np.float32)

    def one(value, rows):
        memory[:rows] = value
        return Pass(logits=memory[:rows], features=memory[:rows])

    both = joined(one(1, 2), lambda: one(2, 1))
    for found in (both.logits, features_of(both)):
        np.testing.assert_array_equal(found[:, 0], [1, 1, 2])
    assert joined(Pass(logits=memory), lambda: Pass(logits=memory)).features is None


def test_a_target_without_taps_is_refused_in_one_line():
    told = "the drafter reads the target's states, and this target's graph gives none - export the pair again"
    with pytest.raises(EdgedraftError) as error:
        features_of(Pass(logits=np.zeros((1, 4), np.float32)))
    assert str(error.value) == told
