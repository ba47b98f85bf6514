"""The law of heads: whatever the shape, a trimmed head gives the full one's kept logits bit for bit, in both layouts.

It holds for a draft vocabulary of whole tiles and a vocabulary that is a multiple of four. Beyond that the last columns
of block-packed heads take another kernel; plain float products and sums of integers keep every bit for any size.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.exporter.graph.head import ROW_TILE, head_row_size, trim_head
from edgedraft.exporter.graph.loading import model_size, vocabulary_width
from edgedraft.runtime.core.index_map import IndexMap
from tests.exporter.graph.heads.matrix import differences, random_map
from tests.exporter.graph.heads.shapes import ANY_SIZE, SHAPES, lone_head

HIDDEN, WIDTH = 128, 512
ROWS = (1, 2, 3, 8, 17)
EQUAL = {"reduced": 0.0, "expanded": 0.0}


@pytest.fixture(params=SHAPES)
def shape(request) -> str:
    return request.param


def feeds(graphs, rows=ROWS, seed=0) -> list[dict]:
    return [graphs.states(HIDDEN, count, seed) for count in rows]


@pytest.mark.parametrize("size", [64, 192, 448, WIDTH])
def test_kept_logits_are_equal_bit_for_bit(graphs, shape, size):
    kept = random_map(size, WIDTH, seed=size)
    assert differences(lambda: lone_head(shape, HIDDEN, WIDTH), kept, feeds(graphs), graphs.session) == EQUAL


@given(
    chosen=st.sampled_from(sorted(SHAPES)),
    seed=st.integers(0, 2**32 - 1),
    tiles=st.integers(1, 5),
    fours=st.integers(80, 130),
    rows=st.integers(1, 20),
)
@settings(max_examples=60, deadline=None)
def test_any_map_of_whole_tiles_keeps_every_bit(graphs, chosen, seed, tiles, fours, rows):
    kept = random_map(tiles * ROW_TILE, 4 * fours, seed)
    full = lambda: lone_head(chosen, HIDDEN, 4 * fours, seed)  # noqa: E731
    assert differences(full, kept, feeds(graphs, [rows], seed), graphs.session) == EQUAL


@pytest.mark.parametrize("ragged", ANY_SIZE)
@pytest.mark.parametrize(("width", "size"), [(512, 2), (512, 63), (512, 447), (515, 65), (515, 514), (1021, 515)])
def test_heads_that_are_not_packed_by_blocks_keep_every_bit_at_any_size(graphs, ragged, width, size):
    kept = random_map(size, width, seed=size)
    assert differences(lambda: lone_head(ragged, HIDDEN, width), kept, feeds(graphs), graphs.session) == EQUAL


@pytest.mark.parametrize("packed", sorted(set(SHAPES) - set(ANY_SIZE)))
@pytest.mark.parametrize(("width", "size"), [(512, 63), (512, 447), (1026, 191)])
def test_ragged_heads_packed_by_blocks_stay_equal_up_to_rounding(graphs, packed, width, size):
    kept = random_map(size, width, seed=size)
    found = differences(lambda: lone_head(packed, HIDDEN, width), kept, feeds(graphs), graphs.session)
    assert max(found.values()) < 1e-4


@pytest.mark.parametrize("packed", sorted(set(SHAPES) - set(ANY_SIZE)))
@pytest.mark.parametrize("over", [1, 2, 3])
def test_only_the_last_columns_of_a_ragged_vocabulary_round_apart(graphs, packed, over):
    """GPT-2's 50257 tokens are one over, Granite's 49155 three: whole tiles of all other tokens keep every bit."""
    width = WIDTH + over
    others = IndexMap(target_ids=random_map(192, WIDTH, seed=over).target_ids, target_vocab_size=width)
    assert differences(lambda: lone_head(packed, HIDDEN, width), others, feeds(graphs), graphs.session) == EQUAL


def test_a_wrong_row_does_not_go_unseen(graphs):
    """The comparison can fail: another map's logits are not these."""
    kept, other = random_map(64, WIDTH, seed=1), random_map(64, WIDTH, seed=2)
    full = graphs.session(lone_head("MatMul", HIDDEN, WIDTH))
    trimmed = lone_head("MatMul", HIDDEN, WIDTH)
    trim_head(trimmed, other)
    feed = graphs.states(HIDDEN, 3)
    wanted = full.run(["logits"], feed)[0][..., kept.target_ids]
    assert not np.array_equal(graphs.run(trimmed, feed), wanted)


# --- what else the graph says ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [64, 448])
def test_each_dropped_row_saves_exactly_the_head_row_size(shape, size):
    model = lone_head(shape, HIDDEN, WIDTH)
    full, row = model_size(model), head_row_size(model)
    trim_head(model, random_map(size, WIDTH, seed=size))
    assert full.weight_bytes - model_size(model).weight_bytes == (WIDTH - size) * row.weight_bytes
    assert row.parameters == HIDDEN


def test_nothing_as_wide_as_the_full_vocabulary_is_left(shape):
    model = lone_head(shape, HIDDEN, WIDTH)
    trim_head(model, random_map(64, WIDTH, seed=0))
    assert vocabulary_width(model) == 64
    shapes = {name: tuple(value.const_value.shape) for name, value in model.graph.initializers.items()}
    assert [name for name, sizes in shapes.items() if WIDTH in sizes] == []
    assert [node.name for node in model.graph if node.attributes.get("N") and node.attributes["N"].as_int() != 64] == []


def test_a_trimmed_head_can_be_trimmed_again(graphs, shape):
    """First to 256 tokens, then to 64 of those: the logits are those of trimming once."""
    first = random_map(256, WIDTH, seed=0)
    again = random_map(64, 256, seed=1)
    model = lone_head(shape, HIDDEN, WIDTH)
    trim_head(model, first)
    trim_head(model, again)
    feed = graphs.states(HIDDEN, 5)
    kept = first.target_ids[again.target_ids]
    wanted = graphs.run(lone_head(shape, HIDDEN, WIDTH), feed)[..., kept]
    assert np.array_equal(graphs.run(model, feed), wanted)
