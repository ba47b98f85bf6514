"""The pictures of a plan: six whole files, that name what the plan is, what comes second and what is forbidden."""

import contextlib
import dataclasses
from types import SimpleNamespace
from xml.dom import minidom

import numpy as np
import pytest

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.calibration.run import Calibration
from edgedraft.exporter.planning import figures, pictures
from edgedraft.exporter.planning.pictures import draw_pareto, draw_plan, draw_speed
from edgedraft.exporter.planning.planner import Planned, decide
from edgedraft.exporter.planning.scan import replay_function
from edgedraft.exporter.planning.scoring import PlanLimits, Setup
from edgedraft.runtime.base.errors import EdgedraftError

VOCAB = 256
ANSWERS = [[64, 64, 128, 64, 0, 256, 64, 64]] * 4
NAMES = ("speed.png", "speed.svg", "curves.png", "curves.svg", "pareto.png", "pareto.svg")
COVERED = {64: 0.5, 128: 0.8, 256: 0.9}


def setup_of(target="int4", drafter="int4"):
    return Setup(target_precision=target, drafter_precision=drafter, threads=2)


@pytest.fixture(scope="module")
def calibration(make_counts, greedy_trace):
    rng = np.random.default_rng(0)
    preferences = np.argsort(rng.random((12, VOCAB)), axis=1)
    targets = preferences[np.arange(12), rng.integers(0, 2, 12)]
    answers = [
        SampledAnswer(prompt_id=f"p{n}", prompt_ids=(1,), token_ids=(0, *targets[4 * n : 4 * n + 4])) for n in range(3)
    ]
    counts = make_counts(np.bincount(targets, minlength=VOCAB) + (np.arange(VOCAB) == 0) * 3)
    trace = greedy_trace(preferences, targets, np.array([0, 4, 8, 12]))
    return Calibration(ranking={"target": counts}, scoring_answers=tuple(answers), scoring=counts, trace=trace)


@pytest.fixture(scope="module")
def decided(make_candidate, replayed_answers, linear):
    """Decide among candidates given as (setup, target ms, drafter ms)."""

    def make(*candidates, limits=None, device="a laptop", sizes=(64, 128, 256), lengths=(1, 2, 3, 4)):
        made = [
            make_candidate(
                target=linear(target, 0.1), drafter=linear(drafter, 0.1), setup=setup, memory=round(target * 1e8)
            )
            for setup, target, drafter in candidates or [(setup_of(), 20, 2)]
        ]
        answers = replayed_answers(ANSWERS, [COVERED[size] for size in sizes], sizes=sizes, lengths=lengths)
        return decide(made, answers, limits or PlanLimits(), device, np.random.default_rng(0))

    return make


@pytest.fixture(scope="module")
def planned(calibration):
    """A decision as the planner hands it on."""

    def make(decision):
        drafter, target = (SimpleNamespace(source=SimpleNamespace(name=f"{size}-model")) for size in ("small", "large"))
        order, scored = np.arange(VOCAB), decision.scored
        answers = dataclasses.replace(scored.answers, order=order, replay=replay_function(calibration.trace, order))
        return Planned(
            decision=dataclasses.replace(decision, scored=dataclasses.replace(scored, answers=answers)),
            pair=SimpleNamespace(drafter=drafter, target=target),
            ranked_by=("target",),
        )

    return make


@pytest.fixture(scope="module")
def drawn(decided, planned, calibration, tmp_path_factory):
    """A decision, its pictures' folder, and the files as `draw_plan` tells them."""
    decision, folder = decided(), tmp_path_factory.mktemp("pictures") / "new" / "plan"
    return decision, folder, draw_plan(planned(decision), calibration, folder)


def text_of(draw, decision, folder) -> str:
    """The SVG that ``draw`` makes of a decision; each text of the picture stands in a comment."""
    draw(decision, "title", folder / "one.svg")
    return (folder / "one.svg").read_text()


def test_a_plan_has_three_pictures_each_as_png_and_svg(drawn):
    _, folder, files = drawn
    assert files == tuple(folder / name for name in NAMES)
    assert {file.name for file in folder.iterdir()} == set(NAMES)
    for name in ("speed", "curves", "pareto"):
        assert (folder / f"{name}.png").read_bytes().endswith(b"IEND\xaeB`\x82")
        assert minidom.parse(str(folder / f"{name}.svg")).documentElement.tagName == "svg"
        assert "small-model drafting for large-model on a laptop" in (folder / f"{name}.svg").read_text()


def test_the_same_plan_gives_the_same_bytes(drawn, planned, calibration, tmp_path):
    decision, _, files = drawn
    again = draw_plan(planned(decision), calibration, tmp_path)
    assert [file.read_bytes() for file in again] == [file.read_bytes() for file in files]


def test_plan_and_runner_up_are_named_with_what_they_predict(drawn):
    decision, folder, _ = drawn
    speed, curves, pareto = ((folder / f"{name}.svg").read_text() for name in ("speed", "curves", "pareto"))
    for option, name in ((decision.best, "plan"), (decision.runner_up, "runner-up")):
        told = f"{name}: K = {option.draft_vocab_size:,}, γ = {option.draft_length}"
        told += f", {option.tokens_per_second:.1f} tokens/s"
        assert f"<!-- {told} -->" in speed
        assert f"<!-- {told} (target int4, drafter int4, 2 threads) -->" in pareto
    assert f"<!-- plan: K = {decision.best.draft_vocab_size:,} -->" in curves


def test_a_runner_up_of_another_setup_says_so_on_the_map_of_the_first(decided, tmp_path):
    decision = decided((setup_of(), 20, 2), (setup_of(drafter="int8"), 20, 2.0001))
    assert decision.runner_up.setup != decision.best.setup
    assert "tokens/s (target int4, drafter int8, 2 threads) -->" in text_of(draw_speed, decision, tmp_path)


@pytest.mark.parametrize("draw", [draw_speed, draw_pareto])
def test_where_drafting_loses_no_option_is_called_the_plan(decided, tmp_path, draw):
    decision = decided((setup_of(), 20, 19))
    assert not decision.plan.speculate
    text = text_of(draw, decision, tmp_path)
    assert "best with drafts (the plan is to draft nothing): K = " in text
    assert "<!-- plan: " not in text


@pytest.mark.parametrize(
    ("drafter_ms", "told"),
    [
        (8, "as fast as the target alone (50.0 tokens/s)"),
        (0.001, "everywhere faster than the target alone (50.0 tokens/s)"),
        (60, "everywhere slower than the target alone (50.0 tokens/s)"),
    ],
)
def test_the_map_is_compared_with_plain_decoding(decided, tmp_path, drafter_ms, told):
    assert f"<!-- {told} -->" in text_of(draw_speed, decided((setup_of(), 20, drafter_ms)), tmp_path)


def test_options_are_compared_with_plain_decoding(decided, tmp_path):
    assert "<!-- the target alone (50.0 tokens/s) -->" in text_of(draw_pareto, decided(), tmp_path)


@pytest.mark.parametrize("draw", [draw_speed, draw_pareto])
@pytest.mark.parametrize(("limits", "told"), [(PlanLimits(), False), (PlanLimits(min_coverage=0.8), True)])
def test_what_the_limits_forbid_is_marked(decided, tmp_path, draw, limits, told):
    assert ("<!-- beyond the limits -->" in text_of(draw, decided(limits=limits), tmp_path)) == told


def test_a_few_setups_are_named_and_the_others_counted(decided, tmp_path):
    text = text_of(draw_pareto, decided(*[(setup_of(drafter=f"int{n}"), 20, 2 + n) for n in range(2, 10)]), tmp_path)
    named = [n for n in range(2, 10) if f"<!-- target int4, drafter int{n}, 2 threads -->" in text]
    assert named == [2, 3, 4, 5, 6, 7]
    assert "<!-- 2 other setups -->" in text


@pytest.mark.parametrize(("sizes", "lengths"), [((128,), (3,)), ((64, 128, 256), (3,)), ((128,), (1, 2, 3, 4))])
def test_what_the_user_fixed_leaves_a_picture_still(decided, tmp_path, sizes, lengths, recwarn):
    for draw in (draw_speed, draw_pareto):
        assert "</svg>" in text_of(draw, decided(sizes=sizes, lengths=lengths), tmp_path)
    assert not recwarn.list


def test_nothing_is_cut_off_or_laid_over(decided, planned, calibration, tmp_path, monkeypatch):
    seen = []

    @contextlib.contextmanager
    def watched(*paths, inches):
        with figures.drawing(paths[0], inches=inches) as figure:
            yield figure
            figure.canvas.draw()
            seen.append((figure.get_tightbbox(), inches, [legend.get_window_extent() for legend in figure.legends]))

    monkeypatch.setattr(pictures, "drawing", watched)
    long = Setup(target_precision="int8-dynamic", drafter_precision="int4-block32", threads=16)
    others = [(dataclasses.replace(long, threads=threads), 20, 2 + threads) for threads in range(10, 16)]
    decision = decided((long, 20, 19), *others, device="a machine whose vendor gave it a long and rather winding name")
    draw_plan(planned(decision), calibration, tmp_path)
    assert len(seen) == 3
    for box, (width, height), legends in seen:
        assert -0.02 <= box.x0 < box.x1 <= width + 0.02
        assert -0.02 <= box.y0 < box.y1 <= height + 0.02
        assert not any(one.overlaps(other) for one in legends for other in legends if one is not other)


def test_a_file_in_the_place_of_the_folder_is_refused(decided, planned, calibration, tmp_path):
    path = tmp_path / "taken"
    path.write_text("mine")
    with pytest.raises(EdgedraftError) as error:
        draw_plan(planned(decided()), calibration, path)
    assert str(error.value) == f"{path}: expected a folder for pictures, got a file"
    assert path.read_text() == "mine"
