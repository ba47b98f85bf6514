"""Tracing a drafter that feeds on its own states: the rows of every depth along the target's answers.

The draft at depth d of a round was scored by the drafter's states of d own steps behind the round's first row. When it
is examined, all earlier drafts of the round were right, so the tokens that these steps read are the answer's own. The
row depends on where the round began and on d alone: not on the draft length, nor on the draft vocabulary.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Protocol

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.calibration.trace.drawn import MOST_DRAWN_IDS, DrawnRows
from edgedraft.calibration.trace.greedy import MOST_IDS, GreedyRows
from edgedraft.calibration.trace.rows import AcceptanceTrace, DrawnTrace, answer_offsets, ids_per_row
from edgedraft.runtime.base.arrays import Ids, Logits
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.model import LanguageModel, Pass, prompt_pieces
from edgedraft.runtime.core.sampling import SamplingSettings


class DepthScorer(Protocol):
    """A drafter that scores drafts at every depth along a given text (`edgedraft.runtime.onnx.eagle_depths`)."""

    @property
    def depths(self) -> int:
        """Return how many depths are scored."""
        ...

    @property
    def most_rows(self) -> int:
        """Return how many rows can be scored at once."""
        ...

    def begin(self, text_ids: Sequence[int]) -> None:
        """Start a text."""
        ...

    def take(self, target_pass: Pass, count: int) -> None:
        """Copy the features of the next ``count`` tokens, the first that ``target_pass`` has read."""
        ...

    def score(self, first: int, count: int) -> Iterator[Logits]:
        """Yield the logits (rows, vocab) of each depth, of drafts from row ``first`` on, ``count`` rows or fewer."""
        ...


def trace_depths(
    target: LanguageModel, drafter: DepthScorer, answers: Sequence[SampledAnswer], progress: Progress = silent
) -> AcceptanceTrace:
    """Teacher-force target and drafter over the target's greedy answers; see `AcceptanceTrace.deeper`."""
    most = ids_per_row(drafter.depths * _positions(answers), MOST_IDS)
    rows = [GreedyRows(most) for _ in range(drafter.depths)]
    for done, entry in enumerate(answers):
        progress("answers traced", done, len(answers))
        for depth, place, by_drafter, _ in scored_drafts(target, drafter, entry):
            rows[depth].add(by_drafter, entry.token_ids[place + depth + 1])
    progress("answers traced", len(answers), len(answers))
    first, *deeper = rows
    lengths = [len(entry.token_ids) for entry in answers]
    return first.trace(
        answer_offsets(lengths), tuple(each.trace(_deeper(lengths, depth)) for depth, each in enumerate(deeper, 1))
    )


def trace_drawn_depths(
    target: LanguageModel,
    drafter: DepthScorer,
    answers: Sequence[SampledAnswer],
    settings: SamplingSettings,
    progress: Progress = silent,
) -> DrawnTrace:
    """Teacher-force target and drafter over answers that the target drew by ``settings``; see `DrawnTrace.deeper`."""
    require(settings.temperature > 0, "trace: drawn answers need a temperature above 0", got=0, remedy="trace greedily")
    most = ids_per_row(drafter.depths * _positions(answers), MOST_DRAWN_IDS)
    rows = [DrawnRows(most, settings) for _ in range(drafter.depths)]
    for done, entry in enumerate(answers):
        progress("answers traced", done, len(answers))
        for depth, place, by_drafter, by_target in scored_drafts(target, drafter, entry):
            rows[depth].add(by_target, by_drafter, entry, place + depth)
    progress("answers traced", len(answers), len(answers))
    first, *deeper = rows
    lengths = [len(entry.token_ids) for entry in answers]
    return first.trace(
        answer_offsets(lengths), tuple(each.trace(_deeper(lengths, depth)) for depth, each in enumerate(deeper, 1))
    )


def scored_drafts(
    target: LanguageModel, drafter: DepthScorer, entry: SampledAnswer
) -> Iterator[tuple[int, int, Logits, Logits]]:
    """Yield depth, the position where the round began, and both models' logits (vocab,) for the draft at that depth.

    Both score the position that lies ``depth`` behind. Every round of the answer is passed, a piece at a time. Memory:
    the target's logits of a piece and of the positions that its deepest drafts reach.
    """
    positions = len(entry.token_ids) - 1
    if positions < 1:
        return
    drafter.begin([*entry.prompt_ids, *entry.token_ids])
    scored, ahead = _target_rows(target, drafter, entry), list[Logits]()
    for start in range(0, positions, drafter.most_rows):
        count = min(drafter.most_rows, positions - start)
        reached = min(start + count + drafter.depths - 1, positions)
        ahead += islice(scored, reached - start - len(ahead))
        # The drafter's row joins the features of the prompt's last token with the answer's first token, and so on.
        for depth, logits in enumerate(drafter.score(len(entry.prompt_ids) - 1 + start, count)):
            for row, by_drafter in enumerate(logits):
                yield depth, start + row, by_drafter, ahead[row + depth]
        del ahead[:count]


def _target_rows(target: LanguageModel, drafter: DepthScorer, entry: SampledAnswer) -> Iterator[Logits]:
    """Yield the target's logits (vocab,) for each token of the answer after its first; hand on all features."""
    target.rewind(0)
    for piece in prompt_pieces(entry.prompt_ids):
        drafter.take(target.read(piece), len(piece))
    for piece in prompt_pieces(entry.token_ids[:-1]):
        target_pass = target.read(piece)
        drafter.take(target_pass, len(piece))
        yield from target_pass.logits.copy()


def _positions(answers: Sequence[SampledAnswer]) -> int:
    return sum(len(entry.token_ids) for entry in answers)


def _deeper(lengths: Sequence[int], depth: int) -> Ids:
    return answer_offsets([max(length - depth, 1) for length in lengths])
