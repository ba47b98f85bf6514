"""Reports on a calibration: coverage and τ by size, whether the prompts are enough, how another domain fares."""

from dataclasses import dataclass
from pathlib import Path

from edgedraft.calibration.counts import TokenCounts
from edgedraft.calibration.sample_size.learning_curve import CurvePoint, filled_groups, learning_curve
from edgedraft.calibration.sample_size.sufficiency import Sufficiency, judge_sufficiency, unseen_mass
from edgedraft.calibration.saved import load_calibration, require_calibration_folder, save_calibration
from edgedraft.exporter.pipeline.plan import calibrated_pair
from edgedraft.exporter.pipeline.requests import CalibrateRequest
from edgedraft.exporter.planning.comparison import Comparison, ComparisonSettings, Domain, compare
from edgedraft.exporter.planning.ranking import token_order
from edgedraft.exporter.planning.scan import replay_function
from edgedraft.exporter.planning.views import Curves, curves
from edgedraft.runtime.base.intervals import Interval
from edgedraft.runtime.base.progress import Note, Progress, silent, unsaid
from edgedraft.runtime.core.statistics import bootstrap_rng

SHOWN_DRAFT_LENGTH, SHOWN_SIZE = 3, 16384
_COMPARED_SIZES = (2048, 4096, 8192, 16384, 32768)


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationReport:
    """A calibration by size, under the keys of ``--json``; ``cut_share`` is of positions that the trace cuts off."""

    curves: Curves
    cut_share: float
    enough: Sufficiency
    unseen_mass: Interval
    learning_curve: tuple[CurvePoint, ...]


def calibrate(request: CalibrateRequest, progress: Progress = silent, note: Note = unsaid) -> CalibrationReport:
    """Sample the pair, save the calibration where asked, and judge it on the held-out half."""
    if request.output:
        require_calibration_folder(Path(request.output))
    pair, calibration = calibrated_pair(request, progress, note)
    if request.output:
        save_calibration(Path(request.output), calibration, pair.end_token_ids)
    order = token_order(pair, calibration)
    ranked_by, size = next(iter(calibration.ranking.values())), min(SHOWN_SIZE, pair.vocab_size)
    return CalibrationReport(
        curves=curves(calibration, replay_function(calibration.trace, order), order, draft_length=SHOWN_DRAFT_LENGTH),
        cut_share=calibration.trace.cut_share,
        enough=judge_sufficiency(ranked_by, size, pair.end_token_ids, bootstrap_rng()),
        unseen_mass=unseen_mass(ranked_by),
        learning_curve=_learning_points(ranked_by, size, pair.end_token_ids),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareRequest:
    """Ask how the token list of calibration ``listed`` serves the domain of ``judged``, at each of ``vocab_size``.

    Both are folders of saved calibrations, or files of counts. Without sizes those from 2,048 to 32,768 are taken.
    """

    listed: Path
    judged: Path
    vocab_size: tuple[int, ...] = ()
    draft_length: int = SHOWN_DRAFT_LENGTH


def compare_calibrations(request: CompareRequest) -> tuple[Comparison, ...]:
    """Read both and compare size by size."""
    listed, judged = (load_calibration(path) for path in (request.listed, request.judged))
    whole = judged.judged.vocab_size
    sizes = request.vocab_size or tuple(size for size in _COMPARED_SIZES if size < whole) or (whole,)
    settings = ComparisonSettings(
        sizes=sizes, draft_length=request.draft_length, first_ids=judged.end_token_ids or listed.end_token_ids
    )
    one, other = (
        Domain(name=path.name, ranking=tuple(saved.ranking.values()), judged=saved.judged, trace=saved.trace)
        for path, saved in ((request.listed, listed), (request.judged, judged))
    )
    return tuple(compare(one, other, settings, bootstrap_rng()))


def _learning_points(counts: TokenCounts, size: int, first_ids: tuple[int, ...]) -> tuple[CurvePoint, ...]:
    """Return coverage by number of prompts; nothing where too few groups hold a token to leave one out."""
    return learning_curve(counts, size, first_ids, bootstrap_rng()).points if len(filled_groups(counts)) > 1 else ()
