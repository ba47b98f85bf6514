"""The two graphs that the benchmark of rewinding compares compute the same states, bit for bit."""

import numpy as np

from edgedraft.runtime.onnx.providers import share_thread_pool
from tests.benchmarks.rewinding import opened, recurrent_graph


def test_one_operator_a_row_gives_every_state_of_one_operator_a_pass():
    share_thread_pool(2)
    rows, layers, sizes = 3, 2, {"heads": 2, "width": 4}
    whole = opened(recurrent_graph(rows, layers, by_row=False, **sizes))()
    apart = opened(recurrent_graph(rows, layers, by_row=True, **sizes))()
    assert (len(whole), len(apart)) == (2 * layers, 2 * layers * rows)
    for layer in range(layers):
        found = apart[2 * rows * layer : 2 * rows * (layer + 1)]
        np.testing.assert_array_equal(np.concatenate(found[::2], axis=1), whole[2 * layer])
        np.testing.assert_array_equal(found[-1], whole[2 * layer + 1])
