"""The pictures of a calibration: curves that say how sure they are, coverage as the bundle says it."""

import dataclasses
import sys
from xml.dom import minidom

import numpy as np
import pytest

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.calibration.counts import Provenance, count_tokens
from edgedraft.calibration.run import Calibration
from edgedraft.exporter.bundle.contents import coverage_interval
from edgedraft.exporter.planning.pictures import draw_curves
from edgedraft.exporter.planning.planner import candidate_sizes
from edgedraft.exporter.planning.ranking import coverage, rank_tokens
from edgedraft.exporter.planning.scan import replay_function
from edgedraft.exporter.planning.views import Curves, curves
from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError
from edgedraft.runtime.core.statistics import bootstrap_rng, ratio_interval

VOCAB = 5000
PNG = b"\x89PNG\r\n\x1a\n"
LENGTHS = (26, 1, 16, 9)


@pytest.fixture
def plan(make_plan):
    return make_plan()


@pytest.fixture
def calibration(greedy_trace):
    """Answers, one of a single token, and a trace in which the drafter likes the target's token best now and then."""
    rng = np.random.default_rng(0)
    traced = sum(LENGTHS) - len(LENGTHS)
    preferences = np.argsort(rng.random((traced, VOCAB)), axis=1)
    targets = preferences[np.arange(traced), rng.integers(0, 3, traced)]
    offsets = np.cumsum([0, *(length - 1 for length in LENGTHS)])
    token_ids = [[int(rng.integers(VOCAB)), *part.tolist()] for part in np.split(targets, offsets[1:-1])]
    answers = tuple(
        SampledAnswer(prompt_id=f"p{number}", prompt_ids=(1,), token_ids=tuple(ids))
        for number, ids in enumerate(token_ids)
    )
    told = Provenance(source="target", tokenizer_fingerprint="f")
    counts = count_tokens([(f"{number:064x}", ids) for number, ids in enumerate(token_ids)], VOCAB, told)
    ranked = count_tokens([("0" * 64, rng.choice(targets, 30).tolist())], VOCAB, told)
    return Calibration(
        ranking={"target": ranked},
        scoring_answers=answers,
        scoring=counts,
        trace=greedy_trace(preferences, targets, offsets),
    )


@pytest.fixture
def order(calibration):
    return rank_tokens([calibration.ranking["target"]], [])


@pytest.fixture
def replayed(calibration, order):
    return replay_function(calibration.trace, order)


def plain_curves(sizes, values) -> Curves:
    low, high = (tuple(value * factor for value in values) for factor in (0.9, 1.1))
    return Curves(
        sizes=sizes,
        coverage=values,
        coverage_low=low,
        coverage_high=high,
        block_efficiency=values,
        block_efficiency_low=low,
        block_efficiency_high=high,
    )


def test_curves_follow_the_candidate_sizes_and_coverage_only_grows(calibration, order, replayed):
    drawn = curves(calibration, replayed, order, draft_length=3)
    assert drawn.sizes == candidate_sizes(VOCAB)
    assert list(drawn.coverage) == sorted(drawn.coverage)
    assert drawn.coverage[-1] == 1.0
    assert list(drawn.coverage) == [coverage(calibration.scoring, order, size) for size in drawn.sizes]
    assert list(drawn.block_efficiency) == [replayed(size, 3).block_efficiency for size in drawn.sizes]


def test_other_sizes_take_their_places_among_the_candidates(calibration, order, replayed):
    drawn = curves(calibration, replayed, order, 3, also=(128, 1024, 1100))
    assert drawn.sizes == (128, 1024, 1100, *candidate_sizes(VOCAB)[1:])


def test_the_interval_of_coverage_is_the_bundles(calibration, order, replayed):
    drawn = curves(calibration, replayed, order, 3)
    expected = [coverage_interval(calibration.scoring_answers, order[:size]) for size in drawn.sizes]
    assert list(zip(drawn.coverage_low, drawn.coverage_high, strict=True)) == expected
    assert drawn.coverage_low[0] < drawn.coverage[0] < drawn.coverage_high[0]


def test_the_interval_of_block_efficiency_resamples_answers_that_take_a_round(calibration, order, replayed):
    drawn = curves(calibration, replayed, order, 3)
    for place, size in enumerate(drawn.sizes):
        outcome = replayed(size, 3)
        assert outcome.rounds[1] == 0
        taken = [0, 2, 3]
        expected = ratio_interval(outcome.tokens[taken], outcome.rounds[taken], bootstrap_rng())
        assert (drawn.block_efficiency_low[place], drawn.block_efficiency_high[place]) == expected
        assert expected[0] <= drawn.block_efficiency[place] <= expected[1]


def test_a_saved_calibration_resamples_the_answers_of_its_trace(calibration, order, replayed):
    saved = dataclasses.replace(calibration, scoring_answers=())
    rest = [dataclasses.replace(each, token_ids=each.token_ids[1:]) for each in calibration.scoring_answers]
    drawn = curves(saved, replayed, order, 3)
    expected = [coverage_interval([each for each in rest if each.token_ids], order[:size]) for size in drawn.sizes]
    assert list(zip(drawn.coverage_low, drawn.coverage_high, strict=True)) == expected


def test_a_trace_without_positions_is_refused(calibration, order, greedy_trace):
    empty = greedy_trace(np.zeros((0, VOCAB), dtype=np.int64), np.zeros(0, dtype=np.int64), np.array([0, 0]))
    with pytest.raises(EdgedraftError) as error:
        curves(dataclasses.replace(calibration, trace=empty), replay_function(empty, order), order, 3)
    assert str(error.value) == (
        "planning: expected answers of two tokens or more, got only shorter ones - "
        "allow longer answers or use other prompts"
    )


@pytest.mark.parametrize("sizes", [(500,), candidate_sizes(151936)])
def test_curves_are_written_whole_as_png_and_svg(tmp_path, plan, sizes):
    shares = tuple(np.linspace(0.5, 0.9, len(sizes)).tolist())
    png, svg = tmp_path / "new" / "curves.png", tmp_path / "new" / "curves.svg"
    draw_curves(plain_curves(sizes, shares), plan, "τ of <a> pair & more", png, svg)
    assert png.read_bytes().startswith(PNG)
    assert png.read_bytes().endswith(b"IEND\xaeB`\x82")
    assert minidom.parse(str(svg)).documentElement.tagName == "svg"
    assert sorted(file.name for file in png.parent.iterdir()) == ["curves.png", "curves.svg"]


@pytest.mark.parametrize(("speculate", "name"), [(True, "plan"), (False, "best with drafts")])
def test_curves_mark_the_plans_size_for_what_it_is(tmp_path, make_plan, speculate, name):
    path = tmp_path / "curves.svg"
    draw_curves(plain_curves((1024, 4096), (0.5, 1.0)), make_plan(speculate=speculate), "title", path)
    assert f"<!-- {name}: K = 2,048 -->" in path.read_text()


def test_wider_intervals_make_another_picture(tmp_path, plan):
    narrow = plain_curves((64, 128), (0.5, 1.0))
    wide = dataclasses.replace(narrow, coverage_low=(0.1, 0.2))
    for name, drawn in (("narrow", narrow), ("wide", wide)):
        draw_curves(drawn, plan, "title", tmp_path / f"{name}.svg")
    assert (tmp_path / "narrow.svg").read_bytes() != (tmp_path / "wide.svg").read_bytes()


def test_an_old_picture_is_replaced(tmp_path, plan):
    path = tmp_path / "curves.png"
    path.write_text("old")
    draw_curves(plain_curves((64, 128), (0.5, 1.0)), plan, "title", path)
    assert path.read_bytes().startswith(PNG)


def test_drawing_needs_the_export_extra(tmp_path, plan, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r'^matplotlib is not installed - pip install "edgedraft\[export\]"$'):
        draw_curves(plain_curves((64,), (1.0,)), plan, "title", tmp_path / "curves.png")
    assert not list(tmp_path.iterdir())
