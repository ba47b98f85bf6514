"""The measurement itself, measured: with scripted models and a clock that only reads advance, every number is exact."""

import pytest

from edgedraft.runtime.base.intervals import Interval
from edgedraft.runtime.bench import (
    INEXACT,
    PLAIN,
    Divergence,
    Drafting,
    PromptRun,
    bench,
    divergences,
    run_prompt,
    summarize,
    total_statistics,
)
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.limits import Limits
from edgedraft.runtime.core.pass_times import PairPassTimes, PassTimes
from edgedraft.runtime.core.policies import PolicyChoice
from edgedraft.runtime.core.sources import ModelTokenSource
from edgedraft.runtime.core.statistics import DraftStatistics

VOCAB_SIZE = 11
TARGET_SECONDS, DRAFTER_SECONDS = 0.5, 0.125  # exact in binary, so are their sums
PROMPTS = [[1, 2, 3], [4], [5, 6]]
ROUND_LIMITS = Limits(max_new_tokens=9)  # the prompt's own token and two rounds of four


class World:
    """A target, drafters of it, one clock that their reads advance, and a log of who read."""

    def __init__(self, scripted, by_hash):
        self.now, self.log, self._scripted = 0.0, [], scripted
        self.answer = by_hash(7, VOCAB_SIZE)
        self.target = self.model("t", TARGET_SECONDS, self.answer)

    def clock(self):
        return self.now

    def model(self, name, seconds, choose):
        def on_read():
            self.now += seconds
            self.log.append(name)

        return self._scripted(choose, VOCAB_SIZE, 64, on_read)

    def drafting(self, name="d", choose=None, draft_length=3):
        return Drafting(
            choice=PolicyChoice(name="fixed", draft_length=draft_length),
            source=ModelTokenSource(
                self.model(name, DRAFTER_SECONDS, choose or self.answer), IndexMap.identity(VOCAB_SIZE)
            ),
            pass_times=PairPassTimes(
                target=PassTimes([TARGET_SECONDS]), drafter=PassTimes([DRAFTER_SECONDS]), acceptance_rate=0.5
            ),
            parameter_ratio=0.5,
            byte_ratio=0.2,
        )

    def wrong(self, context):
        return (self.answer(context) + 1) % VOCAB_SIZE

    def bench(self, ways, prompts=PROMPTS, limits=ROUND_LIMITS, **more):
        return bench(self.target, ways, prompts, limits, self.clock, **more)


@pytest.fixture
def world(scripted, by_hash):
    return World(scripted, by_hash)


def exactly(value):
    return Interval(level=0.5, value=value, low=value, high=value)


def run_of(*token_ids, decode_seconds=1.0):
    counts = DraftStatistics(
        rounds=len(token_ids) - 1,
        tokens=len(token_ids) - 1,
        draft_tokens_proposed=0,
        draft_tokens_evaluated=0,
        draft_tokens_accepted=0,
    )
    return PromptRun(
        token_ids=token_ids,
        statistics=counts,
        prompt_seconds=0.5,
        decode_seconds=decode_seconds,
        drafter_seconds=0.0,
        target_seconds=decode_seconds,
    )


def test_the_target_alone_takes_one_pass_a_token(world):
    report, _ = world.bench({})
    plain = report.ways[PLAIN]
    assert (report.prompts, report.max_new_tokens) == (3, 9)
    assert plain.tokens_per_second == exactly(1 / TARGET_SECONDS)
    assert plain.speed_up == exactly(1.0)
    assert (plain.rounds, plain.tokens, plain.block_efficiency, plain.acceptance_rate) == (24, 24, 1.0, 0.0)
    assert (plain.drafter_milliseconds, plain.target_milliseconds, plain.overhead_milliseconds) == (0.0, 500.0, 0.0)
    assert plain.prompt_milliseconds == 500.0
    assert (plain.mbsu_by_parameters, plain.mbsu_by_bytes, plain.mbsu_by_seconds) == (None, None, None)


def test_a_perfect_drafter_is_as_fast_as_its_costs_allow(world):
    report, _ = world.bench({"perfect": world.drafting()})
    found = report.ways["perfect"]
    round_seconds = 3 * DRAFTER_SECONDS + TARGET_SECONDS
    assert found.tokens_per_second == exactly(4 / round_seconds)
    assert found.speed_up == exactly(4 * TARGET_SECONDS / round_seconds)
    assert (found.rounds, found.tokens, found.block_efficiency) == (6, 24, 4.0)
    assert (found.draft_tokens_proposed, found.draft_tokens_evaluated, found.draft_tokens_accepted) == (18, 18, 18)
    assert (found.drafter_milliseconds, found.target_milliseconds, found.overhead_milliseconds) == (375.0, 500.0, 0.0)
    assert found.prompt_milliseconds == 625.0
    assert found.acceptance_rate == 1.0
    assert found.equal_texts == 3


def test_memory_bound_speed_up_counts_parameters_bytes_and_seconds(world):
    report, _ = world.bench({"perfect": world.drafting()})
    found = report.ways["perfect"]
    assert found.mbsu_by_parameters == 4 / (0.5 * 3 + 1)
    assert found.mbsu_by_bytes == 4 / (0.2 * 3 + 1)
    assert found.mbsu_by_seconds == 4 / (0.25 * 3 + 1)


def test_without_overhead_the_speed_up_is_the_memory_bound_one_by_seconds(world):
    report, _ = world.bench({"useless": world.drafting(choose=world.wrong), "perfect": world.drafting()})
    for name in ("useless", "perfect"):
        assert report.ways[name].mbsu_by_seconds == pytest.approx(report.ways[name].speed_up.value)


def test_a_useless_drafter_slows_down_and_changes_no_text(world):
    report, runs = world.bench({"useless": world.drafting(choose=world.wrong)}, limits=Limits(max_new_tokens=5))
    found = report.ways["useless"]
    assert found.speed_up == exactly(TARGET_SECONDS / (TARGET_SECONDS + 3 * DRAFTER_SECONDS))
    assert (found.block_efficiency, found.acceptance_rate, found.equal_texts) == (1.0, 0.0, 3)
    assert [run.token_ids for run in runs["useless"]] == [run.token_ids for run in runs[PLAIN]]


def test_the_first_token_and_the_prompt_are_not_in_the_speed(world):
    run = run_prompt(world.target, None, list(range(10)) * 5, Limits(max_new_tokens=4), world.clock)
    assert (run.prompt_seconds, run.decode_seconds) == (2 * TARGET_SECONDS, 3 * TARGET_SECONDS)
    assert (run.statistics.rounds, len(run.token_ids)) == (3, 4)
    assert run.tokens_per_second == 1 / TARGET_SECONDS


def test_models_that_were_used_before_start_empty(world):
    drafting = world.drafting()
    world.target.read([9, 9])
    drafting.source.model.read([9])
    fresh = run_prompt(world.target, drafting, [1, 2], ROUND_LIMITS, world.clock)
    assert fresh.token_ids == run_prompt(world.target, None, [1, 2], ROUND_LIMITS, world.clock).token_ids


def test_the_first_prompt_warms_up_uncounted_and_the_order_turns(world):
    ways = {name: world.drafting(name, draft_length=1) for name in "ab"}
    report, runs = world.bench(ways, prompts=[[1, 2], [3, 4]], limits=Limits(max_new_tokens=2))
    plain, a, b = "tt", "taat", "tbbt"
    assert "".join(world.log) == (plain + a + b) + (a + b + plain) + (b + plain + a)
    assert list(runs) == list(report.ways) == [PLAIN, "a", "b"]
    assert {len(found) for found in runs.values()} == {2}


def test_progress_counts_every_run(world):
    seen = []
    world.bench({"d": world.drafting()}, progress=lambda *step: seen.append(step))
    assert seen == [("bench runs", done, 8) for done in range(1, 9)]


def test_exact_mode_is_measured_beside_the_target_without_it(world):
    """Speeds are against the faster target alone, texts are compared with the exact one's."""
    faster = world.model("f", TARGET_SECONDS / 2, world.wrong)
    report, runs = world.bench({"d": world.drafting()}, prompts=PROMPTS[:2], inexact=faster)
    assert [*report.ways] == [*runs] == [PLAIN, INEXACT, "d"]
    assert report.speed_base == INEXACT
    assert [way.equal_texts for way in report.ways.values()] == [2, 0, 2]
    speeds = [way.speed_up for way in report.ways.values()]
    assert speeds[:2] == [exactly(0.5), exactly(1.0)]
    alone, _ = world.bench({"d": world.drafting()}, prompts=PROMPTS[:2])
    assert alone.speed_base == PLAIN
    assert speeds[2].value == alone.ways["d"].speed_up.value / 2


def test_equal_texts_are_counted(world):
    plain = [run_of(1, 2, 3), run_of(4, 5), run_of(6, 7)]
    other = [run_of(1, 2, 3), run_of(4, 9), run_of(6, 7, 8)]
    assert summarize(other, plain, world.drafting()).equal_texts == 1


def test_prompts_answered_by_one_token_are_left_out_of_the_speeds():
    runs = [run_of(1, 2, decode_seconds=0.5), run_of(3, decode_seconds=0.0)]
    assert summarize(runs, runs, None).tokens_per_second == exactly(2.0)


def test_speeds_spread_over_prompts():
    plain = [run_of(1, 2, 3, decode_seconds=2.0)] * 3
    runs = [run_of(1, 2, 3, decode_seconds=seconds) for seconds in (0.5, 1.0, 2.0)]
    found = summarize(runs, plain, None)
    assert found.tokens_per_second == Interval(level=0.5, value=2.0, low=1.5, high=3.0)
    assert found.speed_up == Interval(level=0.5, value=2.0, low=1.5, high=3.0)


def test_a_clock_that_runs_between_reads_is_overhead():
    run = run_of(1, 2, 3, decode_seconds=2.0)
    slow = PromptRun(
        token_ids=run.token_ids,
        statistics=run.statistics,
        prompt_seconds=0.5,
        decode_seconds=2.0,
        drafter_seconds=0.25,
        target_seconds=1.25,
    )
    assert summarize([slow], [run], None).overhead_milliseconds == 250.0


def test_cutting_answers_leaves_a_perfect_drafter_perfect(world):
    report, _ = world.bench({"perfect": world.drafting()}, limits=Limits(max_new_tokens=7))
    assert report.ways["perfect"].acceptance_rate == 1.0


def test_no_prompts_are_refused(world, raises_exactly):
    with raises_exactly("bench needs at least one prompt, got 0"):
        world.bench({}, prompts=[])


def test_answers_of_one_token_cannot_be_timed(world, raises_exactly):
    with raises_exactly("every prompt was answered by a single token - bench on other prompts"):
        world.bench({"d": world.drafting()}, limits=Limits(max_new_tokens=1))


def test_statistics_add_up():
    one = DraftStatistics(
        rounds=1, tokens=2, draft_tokens_proposed=3, draft_tokens_evaluated=4, draft_tokens_accepted=5
    )
    other = DraftStatistics(
        rounds=10, tokens=20, draft_tokens_proposed=30, draft_tokens_evaluated=40, draft_tokens_accepted=50
    )
    assert total_statistics([one, other]) == DraftStatistics(
        rounds=11, tokens=22, draft_tokens_proposed=33, draft_tokens_evaluated=44, draft_tokens_accepted=55
    )


@pytest.mark.parametrize(
    ("one", "other", "position"),
    [
        ((), (), None),
        ((1, 2), (1, 2), None),
        ((1, 2), (1, 3), 1),
        ((9, 2), (1, 2), 0),
        ((1, 2), (1, 2, 3), 2),
        ((1, 2, 3), (1, 2), 2),
        ((), (1,), 0),
    ],
)
def test_texts_diverge_at_the_first_difference_or_where_the_shorter_ends(world, one, other, position):
    runs = {PLAIN: [run_of(*one)], "d": [run_of(*other)]}
    places = [each.position for each in divergences(world.target, PROMPTS[:1], runs, "d")]
    assert places == ([] if position is None else [position])


def test_equal_texts_do_not_diverge(world):
    _, runs = world.bench({"d": world.drafting()})
    assert divergences(world.target, PROMPTS, runs, "d") == []


def test_a_divergence_has_the_targets_margin_where_the_texts_part(world):
    """The scripted logit is the number of tokens read, so the margin tells which context was asked about."""
    plain = [run_of(1, 2, 3), run_of(4, 5), run_of(6, 7, 8)]
    other = [run_of(1, 2, 9), run_of(4, 5), run_of(0, 7, 8)]
    found = divergences(world.target, PROMPTS, {PLAIN: plain, "d": other}, "d")
    assert found == [
        Divergence(prompt=0, position=2, margin=len(PROMPTS[0]) + 2),
        Divergence(prompt=2, position=0, margin=len(PROMPTS[2])),
    ]
