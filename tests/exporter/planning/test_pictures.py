"""The picture of a calibration: coverage and τ against the draft vocabulary size, as a PNG."""

import sys

import numpy as np
import pytest

from edgedraft.calibration.counts import Provenance, count_tokens
from edgedraft.exporter.planning.pictures import Curves, curves, draw
from edgedraft.exporter.planning.planner import candidate_sizes
from edgedraft.exporter.planning.ranking import coverage, rank_tokens
from edgedraft.exporter.planning.replaying import replaying
from edgedraft.runtime.errors import MissingExtraError

VOCAB = 5000
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def plan(make_plan):
    return make_plan()


@pytest.fixture
def measured(greedy_trace):
    """Counts, and a trace in which the drafter likes the target's token best now and then."""
    rng = np.random.default_rng(0)
    answers = [(f"{number:064x}", np.flatnonzero(rng.random(VOCAB) < 0.5)) for number in range(3)]
    counts = count_tokens(answers, VOCAB, Provenance(source="target", tokenizer_fingerprint="f"))
    preferences = np.argsort(rng.random((40, VOCAB)), axis=1)
    targets = preferences[np.arange(40), rng.integers(0, 3, 40)]
    return counts, greedy_trace(preferences, targets, np.array([0, 25, 40]))


def test_curves_follow_the_candidate_sizes_and_coverage_only_grows(measured):
    counts, trace = measured
    order = rank_tokens([counts], [])
    replayed = replaying(trace, order)
    drawn = curves(counts, replayed, order, draft_length=3)
    assert drawn.sizes == candidate_sizes(VOCAB)
    assert list(drawn.coverage) == sorted(drawn.coverage)
    assert drawn.coverage[-1] == 1.0
    assert list(drawn.coverage) == [coverage(counts, order, size) for size in drawn.sizes]
    assert list(drawn.block_efficiency) == [replayed(size, 3).block_efficiency for size in drawn.sizes]


@pytest.mark.parametrize("sizes", [(500,), (1024, 1472, 2048, 2944), candidate_sizes(151936)])
def test_a_png_is_written_whole(tmp_path, plan, sizes):
    shares = tuple(np.linspace(0.5, 1.0, len(sizes)).tolist())
    path = tmp_path / "new" / "curves.png"
    draw(Curves(sizes=sizes, coverage=shares, block_efficiency=shares), plan, "τ of <a> pair & more", path)
    assert path.read_bytes().startswith(PNG)
    assert path.read_bytes().endswith(b"IEND\xaeB`\x82")
    assert [file.name for file in path.parent.iterdir()] == ["curves.png"]


def test_an_old_picture_is_replaced_and_no_figure_stays_open(tmp_path, plan):
    from matplotlib import pyplot

    path = tmp_path / "curves.png"
    path.write_text("old")
    opened = pyplot.get_fignums()
    draw(Curves(sizes=(64, 128), coverage=(0.5, 1.0), block_efficiency=(1.0, 2.0)), plan, "title", path)
    assert path.read_bytes().startswith(PNG)
    assert pyplot.get_fignums() == opened


def test_drawing_needs_the_export_extra(tmp_path, plan, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r'^matplotlib is not installed - pip install "edgedraft\[export\]"$'):
        draw(Curves(sizes=(64,), coverage=(1.0,), block_efficiency=(1.0,)), plan, "title", tmp_path / "curves.png")
    assert not list(tmp_path.iterdir())
