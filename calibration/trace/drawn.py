"""Tracing drawn answers: at every position the likely tokens of both models, as the runtime draws and judges them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.calibration.trace.greedy import answer_logits, log_probabilities
from edgedraft.calibration.trace.rows import DrawnTrace, answer_offsets, least_cap
from edgedraft.runtime.base.arrays import Float32Array, Ids, Int32Array, Logits, Probabilities
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.model import LanguageModel
from edgedraft.runtime.core.sampling import SamplingSettings, adjusted, probabilities

MOST_DRAWN_IDS = 1024
"""No row is longer: the tail of a warm distribution over 150,000 tokens would otherwise take tens of thousands. So
100,000 positions take 0.3 GB at temperature 0.8 and 1.2 GB at worst; what is left out is known and bounds the error."""

LEFT_OUT = 1e-4
"""A whole row lacks less than this of either model's probability."""

LEAST_BEST = 64
"""So many of the drafter's best are kept however sure it is: trimming may take the surest ones away."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DrawnRow:
    """One position: what `DrawnTrace` holds of it, with the drafter's probabilities at the temperature."""

    target_id: int
    wanted: int
    ids: Int32Array
    log_probs: Float32Array
    by_target: Probabilities
    by_drafter: npt.NDArray[np.float32]
    left_by_target: float
    left_by_drafter: float
    best_left: float

    def cut(self, cap: int) -> "DrawnRow":
        """Return the row with its ``cap`` likeliest ids, the target's token and the drafter's best among them."""
        if len(self.ids) <= cap:
            return self
        weight = np.maximum(self.by_target, self.by_drafter)
        weight[self.ids == self.target_id] = np.inf
        weight[0] = np.inf
        kept = np.zeros(len(self.ids), dtype=np.bool_)
        kept[np.argsort(-weight, kind="stable")[:cap]] = True
        return DrawnRow(
            target_id=self.target_id,
            wanted=self.wanted,
            ids=self.ids[kept],
            log_probs=self.log_probs[kept],
            by_target=self.by_target[kept],
            by_drafter=self.by_drafter[kept],
            left_by_target=self.left_by_target + float(self.by_target[~kept].sum()),
            left_by_drafter=self.left_by_drafter + float(self.by_drafter[~kept].sum()),
            best_left=max(self.best_left, float(self.log_probs[~kept].max())),
        )


def trace_draws(
    target: LanguageModel,
    drafter: LanguageModel,
    answers: Sequence[SampledAnswer],
    settings: SamplingSettings,
    progress: Progress = silent,
) -> DrawnTrace:
    """Teacher-force both models, each with its own key/value cache, over answers that the target drew by ``settings``.

    A row has ids until less than `LEFT_OUT` of either distribution is left, at most `MOST_DRAWN_IDS`; the cap that is
    kept is the least that cuts under one row in a thousand, if that many are allowed.
    """
    require(settings.temperature > 0, "trace: drawn answers need a temperature above 0", got=0, remedy="trace greedily")
    rows = DrawnRows(MOST_DRAWN_IDS, settings)
    for done, entry in enumerate(answers):
        progress("answers traced", done, len(answers))
        both = zip(answer_logits(target, entry), answer_logits(drafter, entry), strict=True)
        for place, (by_target, by_drafter) in enumerate(both):
            rows.add(by_target, by_drafter, entry, place)
    progress("answers traced", len(answers), len(answers))
    return rows.trace(answer_offsets([len(entry.token_ids) for entry in answers]))


class DrawnRows:
    """Collects the rows of one depth, each with up to ``most`` ids, of answers drawn by ``settings``."""

    def __init__(self, most: int, settings: SamplingSettings) -> None:
        self._most, self._settings = most, settings
        self._rows: list[DrawnRow] = []

    def add(self, by_target: Logits, by_drafter: Logits, entry: SampledAnswer, place: int) -> None:
        """Add the row of the answer's position ``place`` from both models' logits (vocab,).

        The repetition penalty sees the prompt and the answer so far, as in the runtime.
        """
        settings, context = self._settings, [*entry.prompt_ids, *entry.token_ids]
        seen = np.unique(context[: len(entry.prompt_ids) + place + 1])
        target_scores, drafter_scores = (
            adjusted(row, settings, seen, settings.logit_bias) for row in (by_target, by_drafter)
        )
        row = drawn_row(target_scores, drafter_scores, entry.token_ids[place + 1], settings)
        self._rows.append(row.cut(self._most))

    def trace(self, offsets: Ids, deeper: tuple[DrawnTrace, ...] = ()) -> DrawnTrace:
        """Return the rows as a trace, cut to the least cap that cuts under one row in a thousand."""
        wanted = np.asarray([row.wanted for row in self._rows], dtype=np.int64)
        cap = max(least_cap(wanted, self._most), 2)
        return _end_to_end([row.cut(cap) for row in self._rows], offsets, cap, self._settings, deeper)


def drawn_row(by_target: Logits, by_drafter: Logits, target_id: int, settings: SamplingSettings) -> DrawnRow:
    """Return the row of one position from both models' adjusted logits (vocab,), however long."""
    drawn = probabilities(by_target, settings)
    drafted = probabilities(by_drafter, SamplingSettings(temperature=settings.temperature))
    kept = np.zeros(len(drawn), dtype=np.bool_)
    kept[likeliest(drawn)] = True
    kept[likeliest(drafted)] = True
    kept[np.argpartition(by_drafter, -min(LEAST_BEST, len(drawn)))[-LEAST_BEST:]] = True
    kept[[target_id, int(np.argmax(by_drafter))]] = True
    ids = np.flatnonzero(kept)
    ids = ids[np.argsort(-by_drafter[ids], kind="stable")]
    left = np.where(kept, -np.inf, by_drafter)
    next_best = np.argmax(left)
    log_probs = log_probabilities(by_drafter, np.append(ids, next_best))
    return DrawnRow(
        target_id=target_id,
        wanted=len(ids),
        ids=ids.astype(np.int32),
        log_probs=log_probs[:-1],
        by_target=drawn[ids],
        by_drafter=drafted[ids].astype(np.float32),
        left_by_target=float(drawn[~kept].sum()),
        left_by_drafter=float(drafted[~kept].sum()),
        best_left=float(log_probs[-1]) if np.isfinite(left[next_best]) else -np.inf,
    )


def likeliest(distribution: Probabilities) -> Ids:
    """Return the fewest of the likeliest ids that leave out less than `LEFT_OUT` of a distribution (vocab,).

    Most of a large vocabulary takes no part in the sort: tokens that weigh less than that all together.
    """
    candidates = np.flatnonzero(distribution > LEFT_OUT / len(distribution))
    ordered = candidates[np.argsort(-distribution[candidates], kind="stable")]
    left = 1.0 - np.cumsum(distribution[ordered])
    return ordered[: int(np.count_nonzero(left >= LEFT_OUT)) + 1]


def _end_to_end(
    rows: Sequence[DrawnRow], offsets: Ids, cap: int, settings: SamplingSettings, deeper: tuple[DrawnTrace, ...]
) -> DrawnTrace:
    def floats(parts: Sequence[npt.ArrayLike]) -> Float32Array:
        return np.concatenate([np.zeros(0, dtype=np.float32), *map(np.atleast_1d, parts)]).astype(np.float32)

    with np.errstate(divide="ignore"):
        log_probs_by_target = floats([np.log(row.by_target) for row in rows])
    return DrawnTrace(
        target_ids=np.asarray([row.target_id for row in rows], dtype=np.int64),
        wanted=np.asarray([row.wanted for row in rows], dtype=np.int64),
        ids=np.concatenate([np.zeros(0, dtype=np.int32), *(row.ids for row in rows)]),
        log_probs_by_drafter=floats([row.log_probs for row in rows]),
        offsets=offsets,
        cap=cap,
        log_probs_by_target=log_probs_by_target,
        left_by_target=floats([row.left_by_target for row in rows]),
        left_by_drafter=floats([row.left_by_drafter for row in rows]),
        best_left=floats([row.best_left for row in rows]),
        settings=settings,
        deeper=deeper,
    )
