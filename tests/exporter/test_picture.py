"""The picture of a calibration: coverage and τ against the draft vocabulary size, as a PNG."""

import sys

import numpy as np
import pytest

from edgedraft.calibration.counts import TokenCounts
from edgedraft.calibration.trace import AcceptanceTrace
from edgedraft.exporter.picture import Curves, curves, draw
from edgedraft.exporter.planner import candidate_sizes
from edgedraft.exporter.ranking import coverage, rank_tokens, ranks_of
from edgedraft.exporter.replay import acceptance_windows, replay
from edgedraft.runtime.errors import MissingExtraError

VOCAB = 5000
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def plan(make_plan):
    return make_plan()


def measured() -> tuple[TokenCounts, AcceptanceTrace]:
    rng = np.random.default_rng(0)
    counts = TokenCounts(
        counts=rng.poisson(0.5, VOCAB).astype(np.int64), prompts=3, source="target", tokenizer_fingerprint="f"
    )
    top = rng.integers(0, VOCAB, (40, 8))
    trace = AcceptanceTrace(target_ids=top[:, 0].copy(), drafter_top=top, offsets=np.array([0, 25, 40]))
    return counts, trace


def test_curves_follow_the_candidate_sizes_and_coverage_only_grows():
    counts, trace = measured()
    order = rank_tokens([counts], [])
    windows = acceptance_windows(trace, ranks_of(order))
    drawn = curves(counts, windows, order, draft_length=3)
    assert drawn.sizes == candidate_sizes(VOCAB)
    assert list(drawn.coverage) == sorted(drawn.coverage)
    assert drawn.coverage[-1] == 1.0
    assert list(drawn.coverage) == [coverage(counts, order, size) for size in drawn.sizes]
    assert list(drawn.block_efficiency) == [replay(windows, size, 3).block_efficiency for size in drawn.sizes]


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
