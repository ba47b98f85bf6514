"""The suite's own frame: every verdict is recognised, time is shared, and a trial can be repeated."""

import time

import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from tests.trust.__main__ import chosen, report
from tests.trust.frame import Kind, Verdict, all_kinds, kind, repeat, run


def of(trial, trials=3, name="some", **facts) -> Kind:
    def prepare(folder):
        assert folder.is_dir()
        yield trial

    return kind(name, promise="holds", trials=trials, **facts)(prepare)


def raising(error):
    def trial(number, rng):
        raise error

    return trial


def hanging(number, rng):
    try:
        time.sleep(60)
    except Exception:  # what is tested may catch everything: that must not hide that it hung
        return Verdict.HELD
    raise AssertionError


@pytest.mark.parametrize(
    ("trial", "verdict", "reason"),
    [
        (lambda number, rng: Verdict.HELD, Verdict.HELD, None),
        (lambda number, rng: Verdict.WRONG, Verdict.WRONG, ""),
        (raising(EdgedraftError("rule")), Verdict.REFUSED, None),
        (raising(AssertionError("a bundle is gone")), Verdict.WRONG, "a bundle is gone"),
        (raising(KeyError("name")), Verdict.CRASHED, "KeyError: 'name'"),
        (hanging, Verdict.HUNG, "no end within 0.05 s"),
    ],
)
def test_a_verdict_is_what_the_trial_did(trial, verdict, reason):
    [score] = run([of(trial, trials=2, seconds=0.05)], seed=1, budget=60, clock=lambda: 0.0)
    assert dict(score.verdicts) == {verdict: 2}
    assert [each.number for each in score.failures] == ([] if reason is None else [0, 1])
    assert all(each.reason.endswith(reason) for each in score.failures)


def test_time_is_shared_by_weight_and_ends():
    now = [0.0]

    def slow(number, rng):
        now[0] += 1.0
        return Verdict.HELD

    kinds = [of(slow, 100, "light"), of(slow, 100, "heavy", weight=3.0), of(slow, 2, "few")]
    scores = run(kinds, seed=1, budget=22.0, clock=lambda: now[0])
    assert {each.kind.name: each.trials for each in scores} == {"light": 5, "heavy": 15, "few": 2}
    assert [each.trials for each in run(kinds, seed=1, budget=0.0, clock=lambda: now[0])] == [1, 1, 1]


def test_a_trial_repeats_with_its_own_numbers():
    drawn = []

    def drawing(number, rng):
        drawn.append((number, rng.random()))
        return Verdict.HELD

    drawing_kind = of(drawing, trials=4)
    run([drawing_kind], seed=5, budget=60, clock=lambda: 0.0)
    repeat(drawing_kind, 5, 2)
    repeat(drawing_kind, 6, 2)
    assert [number for number, _ in drawn] == [0, 1, 2, 3, 2, 2]
    assert len({value for _, value in drawn}) == 5
    assert drawn[4] == drawn[2]


def test_the_table_says_how_to_repeat_what_failed():
    scores = run([of(raising(AssertionError("lost")), trials=1)], seed=9, budget=60, clock=lambda: 0.0)
    lines = report(scores, 9)
    assert [text.strip() for text in lines[2].split("|")[1:-1]] == ["some", "1", "1", "0", "0", "1", "0", "0", "0"]
    assert lines[-1] == "wrong: lost - repeat with python -m tests.trust --only some --seed 9 --trial 0"


def test_kinds_are_chosen_by_name():
    kinds = [of(raising(KeyError()), name=name) for name in ("kills", "forks")]
    assert [each.name for each in chosen(kinds, ["forks"])] == ["forks"]
    assert [each.name for each in chosen(kinds, None)] == ["kills", "forks"]
    with pytest.raises(SystemExit, match="--only: expected some of kills, forks, got soaks"):
        chosen(kinds, ["soaks", "forks"])


def test_every_kind_has_a_name_of_its_own():
    names = [each.name for each in all_kinds()]
    assert len(set(names)) == len(names)
