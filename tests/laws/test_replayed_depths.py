"""What replay says of a drafter that reads the target's states is what running it does, for every size and length.

The runs are the runtime's own, on trimmed graphs. Replay reads one trace of the whole head: its passes hold up to 33
rows, or many chains at once, where the runs read one row or a few. In fp32 these differ by 2e-5, so a draft whose best
two logits lie closer than that could go either way; none of these texts has one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.calibration.trace.depths import trace_depths, trace_drawn_depths
from edgedraft.calibration.trace.file import read_trace, write_trace
from edgedraft.calibration.trace.rows import AcceptanceTrace, DrawnTrace
from edgedraft.exporter.graph.eagle.depths import score_depths
from edgedraft.exporter.graph.head import trim_head
from edgedraft.exporter.models.eagle.pair import rows_of
from edgedraft.exporter.planning.ranking import index_map, ranks_of, scored_first
from edgedraft.exporter.planning.replay import AcceptanceWindows, acceptance_windows
from edgedraft.exporter.planning.replay_depths import replay_depths
from edgedraft.exporter.planning.replay_draws import expected_acceptance, expected_replay
from edgedraft.exporter.planning.scan import replay_answers, scan_depths, scan_replays
from edgedraft.runtime.core.decoding import GREEDY, DecodingMethod, plain_rounds, sampled, speculative_rounds
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.policies import FixedLength
from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.core.sampling import SamplingSettings
from edgedraft.runtime.core.token_drafter import TokenDrafter
from edgedraft.runtime.onnx.eagle import EagleGraph
from edgedraft.runtime.onnx.eagle_depths import PLACES, EagleDepths
from edgedraft.runtime.onnx.eagle_source import EagleSource, EagleSources
from edgedraft.runtime.onnx.session import SessionSettings
from tests.laws.agreeing_eagle import AGREEING, BorrowingPair, open_pair

CONTEXT, NEW_TOKENS, VOCAB = 128, 32, 1024
EARLY = 5
"""Prompts that are far from the end of the context."""
SIZES = {"EAGLE-2": (48, 400, VOCAB), "EAGLE-3": (48, 320, 640)}
LENGTHS = (1, 2, 3, 5, 8)
SETTINGS = SessionSettings(threads=2, context_length=CONTEXT)
every_kind = pytest.mark.parametrize("name", AGREEING)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Stage:
    """A pair with its scorer of depths, a token order, and a source for each size of the draft vocabulary."""

    opened: BorrowingPair
    target: object
    scorer: EagleDepths
    order: np.ndarray
    sources: dict[int, EagleSource]

    def run(self, prompt: Sequence[int], size: int, length: int, method: DecodingMethod = GREEDY) -> list[Round]:
        drafter = TokenDrafter(self.sources[size], FixedLength(length))
        rounds = speculative_rounds(self.target, drafter, prompt, method)
        return list(limited(rounds, Limits(max_new_tokens=NEW_TOKENS)))

    def plain(self, prompt: Sequence[int], method: DecodingMethod = GREEDY) -> SampledAnswer:
        return answer_of(
            prompt, list(limited(plain_rounds(self.target, prompt, method), Limits(max_new_tokens=NEW_TOKENS)))
        )


def answer_of(prompt: Sequence[int], rounds: Sequence[Round]) -> SampledAnswer:
    token_ids = tuple(token for round_ in rounds for token in round_.token_ids)
    return SampledAnswer(prompt_id="", prompt_ids=tuple(prompt), token_ids=token_ids)


def examined(rounds: Sequence[Round]) -> list[tuple[int, int, bool]]:
    """Drafts that the target examined: where the round began, the depth, and whether they were kept."""
    root, found = 0, []
    for round_ in rounds[1:]:
        found += [(root, depth, True) for depth in range(round_.accepted)]
        if round_.accepted < min(round_.drafted, len(round_.token_ids)):
            found.append((root, round_.accepted, False))
        root += len(round_.token_ids)
    return found


def open_stage(folder: Path, name: str, prompts: Sequence[Sequence[int]]) -> Stage:
    """Tokens are ranked by what the target says at temperature 1, so that trimming takes many good ones away."""
    opened = open_pair(folder, name, CONTEXT, mixed=0.2)
    target, rng, step = opened.target.new_model(), np.random.default_rng(1), opened.checkpoint / "step.onnx"
    fusing = opened.checkpoint / "fusing.onnx"
    fusing = fusing if fusing.is_file() else None
    said = np.zeros(VOCAB, dtype=np.int64)
    for prompt in prompts:
        for round_ in limited(
            plain_rounds(target, prompt, sampled(SamplingSettings(), rng)), Limits(max_new_tokens=30)
        ):
            said[list(round_.token_ids)] += 1
    head = opened.sources.index_map
    order = scored_first(np.argsort(-said, kind="stable"), head.target_ids)
    sources = {}
    for size in SIZES[name]:
        kept, model = index_map(order, size), ir.load(step)
        trim_head(model, rows_of(kept, head))
        ir.save(model, step.with_name(f"step-{size}.onnx"))
        graph = EagleGraph(step.with_name(f"step-{size}.onnx"), fusing, SETTINGS)
        sources[size] = EagleSources(graph=graph, index_map=kept).new_source()
    model = ir.load(step)
    score_depths(model, PLACES)
    ir.save(model, step.with_name("depths.onnx"))
    scorer = EagleDepths(step.with_name("depths.onnx"), fusing, head, SETTINGS, depths=8)
    return Stage(opened=opened, target=target, scorer=scorer, order=order, sources=sources)


@pytest.fixture(scope="module")
def prompts(random_prompts) -> list[list[int]]:
    """Prompts of any length, one token among them, and some that end near the end of the context."""
    rng = np.random.default_rng(5)
    late = [rng.integers(2, VOCAB, CONTEXT - left).tolist() for left in (0, 1, 5)]
    return [[7], [9, 8], *random_prompts(EARLY - 2, seed=17, longest=50), *late]


@pytest.fixture(scope="module")
def stages(tmp_path_factory, prompts) -> Callable[[str], Stage]:
    folder, known = tmp_path_factory.mktemp("depths"), dict[str, Stage]()

    def opened(name: str) -> Stage:
        if name not in known:
            known[name] = open_stage(folder, name, prompts[:EARLY])
        return known[name]

    return opened


# --- greedy ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def traces(stages, prompts) -> Callable[[str], AcceptanceTrace]:
    known = dict[str, AcceptanceTrace]()

    def traced(name: str) -> AcceptanceTrace:
        if name not in known:
            stage = stages(name)
            known[name] = trace_depths(stage.target, stage.scorer, [stage.plain(prompt) for prompt in prompts])
        return known[name]

    return traced


def accepted_by(windows: AcceptanceWindows, answer: int, size: int) -> Callable[[int, int], bool]:
    """Whether the draft of a round that begins at a position of the answer is right at a depth."""

    def right(root: int, depth: int) -> bool:
        rows = windows.depths[depth]
        return bool(rows.accepted(size)[rows.offsets[answer] + root])

    return right


def walked(right: Callable[[int, int], bool], positions: int, draft_length: int) -> list[tuple[int, int, bool]]:
    """The simplest walk: each round begins behind the one before."""
    root, found = 0, []
    while root < positions:
        depth = 0
        while depth < draft_length and root + depth < positions:
            found.append((root, depth, right(root, depth)))
            if not found[-1][2]:
                break
            depth += 1
        root += depth + 1
    return found


@every_kind
def test_the_drafts_examined_and_kept_are_those_replayed(name, stages, traces, prompts):
    """One trace, 120 runs: three sizes, five draft lengths, eight prompts, of which three fill the context."""
    stage, trace = stages(name), traces(name)
    windows = acceptance_windows(trace, ranks_of(stage.order))
    positions, kept = np.diff(trace.offsets), []
    for size in SIZES[name]:
        for length in LENGTHS:
            outcome = replay_depths(windows, size, length)
            for place, prompt in enumerate(prompts):
                rounds = stage.run(prompt, size, length)
                where = (size, length, place)
                assert outcome.rounds[place] == len(rounds) - 1, where
                assert outcome.tokens[place] == sum(len(round_.token_ids) for round_ in rounds[1:])
                expected = walked(accepted_by(windows, place, size), positions[place], length)
                if len(prompt) + positions[place] == CONTEXT:
                    # Nothing is drafted for the last token: the context has no place to read it.
                    expected = [each for each in expected if sum(each[:2]) < positions[place] - 1]
                else:
                    assert outcome.evaluated[place] == len(expected)
                    assert outcome.accepted[place] == sum(right for *_, right in expected)
                    assert outcome.full_rounds[place] == sum(round_.accepted == length for round_ in rounds[1:])
                assert examined(rounds) == expected, where
                kept += [(depth, right) for _, depth, right in expected]
    for depth in range(3):
        assert 0.02 < np.mean([right for at, right in kept if at == depth]) < 0.99


@every_kind
def test_a_scan_sums_the_replays_of_all_sizes_and_lengths(name, stages, traces):
    order, trace = stages(name).order, traces(name)
    windows, sizes, lengths = acceptance_windows(trace, ranks_of(order)), np.arange(1, VOCAB, 37), (1, 2, 5, 8)
    scanned = scan_depths(windows, sizes, lengths)
    one_by_one = scan_replays(lambda size, length: replay_depths(windows, size, length), sizes, lengths)
    for part in ("rounds", "full_rounds", "accepted", "evaluated"):
        np.testing.assert_array_equal(getattr(scanned, part), getattr(one_by_one, part))
    assert scanned.tokens == one_by_one.tokens


@every_kind
def test_a_replay_by_the_first_depth_alone_is_caught(name, stages, traces, prompts):
    """Later drafts come from the layer's own states: what it would draft with the target's is something else."""
    stage, trace = stages(name), traces(name)
    windows, size = acceptance_windows(trace, ranks_of(stage.order)), SIZES[name][-1]
    deepest = max(len(round_.token_ids) for prompt in prompts[:EARLY] for round_ in stage.run(prompt, size, 5)[1:])
    assert deepest > 3
    for depth in (1, 2, 3):
        fed, read = windows.depths[depth].accepted(size), windows.accepted(size)[trace.positions_of(depth)]
        assert 0.02 < (fed != read).mean() < 0.5


@every_kind
def test_a_file_keeps_all_depths(name, traces, stages, tmp_path):
    trace = traces(name)
    write_trace(tmp_path / "trace.safetensors", trace)
    found = read_trace(tmp_path / "trace.safetensors")
    assert len(found.depths) == len(trace.depths) == 8
    for one, other in zip(found.depths, trace.depths, strict=True):
        assert one.cap == other.cap
        for part in ("target_ids", "wanted", "ids", "log_probs_by_drafter", "offsets"):
            np.testing.assert_array_equal(getattr(one, part), getattr(other, part))


# --- drawn -----------------------------------------------------------------------------------------------------------

DRAWN = {
    "temperature 0.8": SamplingSettings(temperature=0.8),
    "temperature 1.2, top-k": SamplingSettings(temperature=1.2, top_k=10),
    "temperature 1, penalty": SamplingSettings(temperature=1.0, top_p=0.9, repetition_penalty=1.2),
}
DRAWN_LENGTH, ANSWERS = 4, 40
ALARM = 4.0
"""Standard deviations: by chance one check in 15,000 goes further."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Drawn:
    """Answers drawn by running, their trace, and the fate of each examined draft: root, depth, kept; by answer."""

    runs: list[list[Round]]
    trace: DrawnTrace
    fates: list[list[tuple[int, int, bool]]]

    def deviation(self, chance: Callable[[int, int], np.ndarray]) -> float:
        """How many standard deviations more drafts were kept than the chances of their depth and row say."""
        chances, kept = [], []
        for answer, fates in enumerate(self.fates):
            for root, depth, right in fates:
                chances.append(chance(depth, self.trace.depths[depth].offsets[answer] + root))
                kept.append(right)
        found = np.array(chances)
        return float((np.array(kept) - found).sum() / np.sqrt((found * (1 - found)).sum()))


@pytest.fixture(scope="module")
def drawn(stages, prompts) -> Callable[[str, str], Drawn]:
    known = dict[tuple[str, str], Drawn]()

    def draw(name: str, kind: str) -> Drawn:
        stage, asked = stages(name), [prompts[number % EARLY] for number in range(ANSWERS)]
        runs = [
            stage.run(prompt, SIZES[name][1], DRAWN_LENGTH, sampled(DRAWN[kind], np.random.default_rng(seed)))
            for seed, prompt in enumerate(asked)
        ]
        answers = [answer_of(prompt, rounds) for prompt, rounds in zip(asked, runs, strict=True)]
        trace = trace_drawn_depths(stage.target, stage.scorer, answers, DRAWN[kind])
        return Drawn(runs=runs, trace=trace, fates=[examined(rounds) for rounds in runs])

    def remembered(name: str, kind: str) -> Drawn:
        if (name, kind) not in known:
            known[name, kind] = draw(name, kind)
        return known[name, kind]

    return remembered


@pytest.mark.parametrize("kind", DRAWN)
@every_kind
def test_drafts_are_kept_as_often_as_expected(name, kind, stages, drawn):
    """At all depths: by Σ_S min(p, q_S) before the text is known, and by min(1, q_S(x) / p(x)) given the text."""
    found = drawn(name, kind)
    expected = expected_acceptance(found.trace, ranks_of(stages(name).order), SIZES[name][1])
    depths = (expected, *expected.deeper)
    assert max(rows.doubt.mean() for rows in depths) < 0.02
    assert {depth for fates in found.fates for _, depth, _ in fates} >= {0, 1, 2}
    for part in ("acceptance", "kept"):
        assert abs(found.deviation(lambda depth, row, part=part: getattr(depths[depth], part)[row])) < ALARM


@pytest.mark.parametrize("kind", DRAWN)
@every_kind
def test_rounds_are_as_many_as_expected(name, kind, stages, drawn):
    """Given each text; the spread is that of the answers themselves."""
    found = drawn(name, kind)
    expected = expected_acceptance(found.trace, ranks_of(stages(name).order), SIZES[name][1])
    outcome = expected_replay(expected, DRAWN_LENGTH)
    counts = {
        "rounds": [len(rounds) - 1 for rounds in found.runs],
        "accepted": [sum(right for *_, right in fates) for fates in found.fates],
        "evaluated": [len(fates) for fates in found.fates],
        "full_rounds": [sum(round_.accepted == DRAWN_LENGTH for round_ in rounds[1:]) for rounds in found.runs],
    }
    for what, measured in counts.items():
        difference = np.array(measured) - getattr(outcome, what)
        assert difference.any() or what != "rounds"  # a penalty may leave a draft no choice but its fate
        assert abs(difference.sum()) < ALARM * np.sqrt((difference**2).sum()) + 1e-9, what


@every_kind
def test_drawn_answers_are_scanned_over_the_depths_of_their_trace(name, stages, drawn):
    """The same numbers by the planner's own way, and a longer draft than was traced is refused in one line."""
    found, order = drawn(name, "temperature 0.8"), stages(name).order
    from edgedraft.calibration.counts import Provenance, count_tokens
    from edgedraft.runtime.base.errors import EdgedraftError

    provenance = Provenance(source="target", tokenizer_fingerprint="")
    counts = count_tokens([("00", found.trace.target_ids)], VOCAB, provenance)
    answers = replay_answers(found.trace, counts, order, SIZES[name], (1, DRAWN_LENGTH))
    expected = expected_replay(expected_acceptance(found.trace, ranks_of(order), SIZES[name][1]), DRAWN_LENGTH)
    assert answers.scan.rounds[1, 1] == pytest.approx(expected.rounds.sum())
    with pytest.raises(EdgedraftError, match=r"traced for drafts of 1\.\.8 tokens, got 9"):
        answers.replay(SIZES[name][1], 9)
