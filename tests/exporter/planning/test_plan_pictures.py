"""The pictures of a plan: six whole files, that name what the plan is, what comes second and what is forbidden."""

import contextlib
import dataclasses
from types import SimpleNamespace
from xml.dom import minidom

import numpy as np
import pytest

from edgedraft.calibration.answers.sampling import Answer
from edgedraft.calibration.run import Calibration
from edgedraft.exporter.planning import figures, pictures, plan_pictures
from edgedraft.exporter.planning.options import Limits, Setup
from edgedraft.exporter.planning.pair_plan import Planned
from edgedraft.exporter.planning.plan_pictures import draw_plan
from edgedraft.exporter.planning.planner import decide
from edgedraft.exporter.planning.replaying import replaying
from edgedraft.runtime.errors import EdgedraftError

VOCAB = 256
ANSWERS = [[64, 64, 128, 64, 0, 256, 64, 64]] * 4
NAMES = ("speed.png", "speed.svg", "curves.png", "curves.svg", "pareto.png", "pareto.svg")
COVERED = {64: 0.5, 128: 0.8, 256: 0.9}


def setup_of(target="int4", drafter="int4"):
    return Setup(target_precision=target, drafter_precision=drafter, threads=2)


@pytest.fixture
def calibration(make_counts, greedy_trace):
    rng = np.random.default_rng(0)
    preferences = np.argsort(rng.random((12, VOCAB)), axis=1)
    targets = preferences[np.arange(12), rng.integers(0, 2, 12)]
    answers = [Answer(prompt_id=f"p{n}", prompt_ids=(1,), token_ids=(0, *targets[4 * n : 4 * n + 4])) for n in range(3)]
    counts = make_counts(np.bincount(targets, minlength=VOCAB) + (np.arange(VOCAB) == 0) * 3)
    trace = greedy_trace(preferences, targets, np.array([0, 4, 8, 12]))
    return Calibration(ranking={"target": counts}, scoring_answers=tuple(answers), scoring=counts, trace=trace)


@pytest.fixture
def planned(make_candidate, linear, calibration):
    """Plan over candidates given as (setup, target ms, drafter ms)."""

    def make(*candidates, limits=None, name="a laptop", sizes=(64, 128, 256), lengths=(1, 2, 3, 4)):
        made = [
            make_candidate(
                ANSWERS,
                target=linear(target, 0.1),
                drafter=linear(drafter, 0.1),
                setup=setup,
                memory=round(target * 1e8),
                sizes=sizes,
                lengths=lengths,
            )
            for setup, target, drafter in candidates or [(setup_of(), 20, 2)]
        ]
        covered = np.array([COVERED[size] for size in sizes])
        decision = decide(made, covered, limits or Limits(), name, np.random.default_rng(0))
        drafter, target = (
            SimpleNamespace(source=SimpleNamespace(name=role)) for role in ("small-model", "large-model")
        )
        order = np.arange(VOCAB)
        return Planned(
            decision=decision,
            pair=SimpleNamespace(drafter=drafter, target=target),
            order=order,
            replayed=replaying(calibration.trace, order),
        )

    return make


def svg(folder, name) -> str:
    return (folder / f"{name}.svg").read_text()


def test_a_plan_has_three_pictures_each_as_png_and_svg(planned, calibration, tmp_path):
    folder = tmp_path / "new" / "pictures"
    assert draw_plan(planned(), calibration, folder) == tuple(folder / name for name in NAMES)
    assert {file.name for file in folder.iterdir()} == set(NAMES)
    for name in ("speed", "curves", "pareto"):
        assert (folder / f"{name}.png").read_bytes().endswith(b"IEND\xaeB`\x82")
        assert minidom.parse(str(folder / f"{name}.svg")).documentElement.tagName == "svg"
        assert "small-model drafting for large-model on a laptop" in svg(folder, name)


def test_the_same_plan_gives_the_same_bytes(planned, calibration, tmp_path):
    first, second = (draw_plan(planned(), calibration, tmp_path / name) for name in ("first", "second"))
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]


def test_plan_and_runner_up_are_named_with_what_they_predict(planned, calibration, tmp_path):
    made = planned()
    draw_plan(made, calibration, tmp_path)
    for option, name in ((made.decision.best, "plan"), (made.decision.runner_up, "runner-up")):
        told = f"{name}: K = {option.draft_vocab_size:,}, γ = {option.draft_length}, {option.tokens_per_second:.1f} tokens/s"
        assert f"<!-- {told} -->" in svg(tmp_path, "speed")
        assert f"<!-- {told} (target int4, drafter int4, 2 threads) -->" in svg(tmp_path, "pareto")
    assert f"<!-- plan: K = {made.decision.best.draft_vocab_size:,} -->" in svg(tmp_path, "curves")


def test_a_runner_up_of_another_setup_says_so_on_the_map_of_the_first(planned, calibration, tmp_path):
    made = planned((setup_of(), 20, 2), (setup_of(drafter="int8"), 20, 2.0001))
    assert made.decision.runner_up.setup != made.decision.best.setup
    draw_plan(made, calibration, tmp_path)
    assert "tokens/s (target int4, drafter int8, 2 threads) -->" in svg(tmp_path, "speed")


def test_where_drafting_loses_nothing_is_called_the_plan(planned, calibration, tmp_path):
    made = planned((setup_of(), 20, 19))
    assert not made.plan.speculate
    draw_plan(made, calibration, tmp_path)
    for name in ("speed", "pareto"):
        assert "best with drafts (the plan is to draft nothing): K = " in svg(tmp_path, name)
    for name in ("speed", "curves", "pareto"):
        assert "<!-- plan: " not in svg(tmp_path, name)


@pytest.mark.parametrize(
    ("drafter_ms", "told"),
    [
        (8, "as fast as the target alone (50.0 tokens/s)"),
        (0.001, "everywhere faster than the target alone (50.0 tokens/s)"),
        (60, "everywhere slower than the target alone (50.0 tokens/s)"),
    ],
)
def test_the_map_is_compared_with_plain_decoding(planned, calibration, tmp_path, drafter_ms, told):
    draw_plan(planned((setup_of(), 20, drafter_ms)), calibration, tmp_path)
    assert f"<!-- {told} -->" in svg(tmp_path, "speed")
    assert "<!-- the target alone (50.0 tokens/s) -->" in svg(tmp_path, "pareto")


@pytest.mark.parametrize(("limits", "told"), [(Limits(), False), (Limits(min_coverage=0.8), True)])
def test_what_the_limits_forbid_is_marked(planned, calibration, tmp_path, limits, told):
    draw_plan(planned(limits=limits), calibration, tmp_path)
    for name in ("speed", "pareto"):
        assert ("<!-- beyond the limits -->" in svg(tmp_path, name)) == told


def test_a_few_setups_are_named_and_the_others_counted(planned, calibration, tmp_path):
    setups = [(setup_of(drafter=f"int{number}"), 20, 2 + number) for number in range(2, 10)]
    draw_plan(planned(*setups), calibration, tmp_path)
    for number in range(2, 8):
        assert f"<!-- target int4, drafter int{number}, 2 threads -->" in svg(tmp_path, "pareto")
    assert "<!-- 2 other setups -->" in svg(tmp_path, "pareto")


@pytest.mark.parametrize(("sizes", "lengths"), [((128,), (3,)), ((64, 128, 256), (3,)), ((128,), (1, 2, 3, 4))])
def test_what_the_user_fixed_leaves_a_picture_still(planned, calibration, tmp_path, sizes, lengths, recwarn):
    assert len(draw_plan(planned(sizes=sizes, lengths=lengths), calibration, tmp_path)) == len(NAMES)
    assert not recwarn.list


def test_nothing_is_cut_off_or_laid_over(planned, calibration, tmp_path, monkeypatch):
    drawn = []

    @contextlib.contextmanager
    def watched(*paths, inches):
        with figures.drawing(*paths, inches=inches) as figure:
            yield figure
            figure.canvas.draw()
            drawn.append((figure.get_tightbbox(), inches, [legend.get_window_extent() for legend in figure.legends]))

    for module in (pictures, plan_pictures):
        monkeypatch.setattr(module, "drawing", watched)
    long = Setup(target_precision="int8-dynamic", drafter_precision="int4-block32", threads=16)
    others = [(dataclasses.replace(long, threads=threads), 20, 2 + threads) for threads in range(10, 16)]
    made = planned((long, 20, 19), *others, name="a machine whose vendor gave it a long and rather winding name, 2026")
    draw_plan(made, calibration, tmp_path)
    assert len(drawn) == 3
    for box, (width, height), legends in drawn:
        assert -0.02 <= box.x0 < box.x1 <= width + 0.02
        assert -0.02 <= box.y0 < box.y1 <= height + 0.02
        assert not any(one.overlaps(other) for one in legends for other in legends if one is not other)


def test_a_file_in_the_place_of_the_folder_is_refused(planned, calibration, tmp_path):
    path = tmp_path / "taken"
    path.write_text("mine")
    with pytest.raises(EdgedraftError) as error:
        draw_plan(planned(), calibration, path)
    assert str(error.value) == f"{path}: expected a folder for pictures, got a file"
    assert path.read_text() == "mine"
