"""A saved calibration: the data that shows how well a token list serves a domain, without answers or prompts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedraft.calibration.counts import SOURCES, TokenCounts
from edgedraft.calibration.counts_file import read_counts, write_counts
from edgedraft.calibration.run import Calibration
from edgedraft.calibration.trace.file import Trace, read_trace, traced_tokenizer, write_trace
from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.base.outputs import require_own_folder
from edgedraft.runtime.base.records import from_plain, require, to_plain
from edgedraft.runtime.base.replacing import replacing_folder, resume

_FACTS, _SCORING, _TRACE = "calibration.json", "scoring.safetensors", "trace.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Facts:
    """``sources`` that rank tokens, the most important first, and the ids that end a turn."""

    sources: tuple[str, ...]
    end_token_ids: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SavedCalibration:
    """Counts that rank, the most important source first; the scoring half's counts and trace, where there are any."""

    ranking: Mapping[str, TokenCounts]
    end_token_ids: tuple[int, ...]
    scoring: TokenCounts | None = None
    trace: Trace | None = None

    @property
    def judged(self) -> TokenCounts:
        """Return the counts that a list is to cover: the scoring half's, or all if there is no such half."""
        return next(iter(self.ranking.values())) if self.scoring is None else self.scoring


def save_calibration(folder: Path, calibration: Calibration, end_token_ids: Sequence[int]) -> None:
    """Write the folder, in place of a calibration that was there; nothing else is replaced."""
    require_calibration_folder(folder)
    facts = _Facts(sources=tuple(calibration.ranking), end_token_ids=tuple(end_token_ids))
    with replacing_folder(folder, _names().__contains__) as temporary:
        (temporary / _FACTS).write_text(json.dumps(to_plain(facts), indent=2) + "\n", encoding="utf-8")
        for source, counts in calibration.ranking.items():
            write_counts(_ranking(temporary, source), counts)
        write_counts(temporary / _SCORING, calibration.scoring)
        fingerprint = calibration.scoring.provenance.tokenizer_fingerprint
        write_trace(temporary / _TRACE, calibration.trace, fingerprint)


def require_calibration_folder(path: Path) -> None:
    """Refuse to save where anything but a calibration is; callers ask before minutes of sampling."""
    require_own_folder(path, "a calibration", _FACTS, _names())


def _names() -> set[str]:
    """Return the names of all files that a saved calibration may have."""
    return {_FACTS, _SCORING, _TRACE, *(_ranking(Path(), source).name for source in SOURCES)}


def load_calibration(path: Path) -> SavedCalibration:
    """Read what `save_calibration` wrote, or a counts file: that ranks, and has neither scoring half nor trace."""
    resume(path)
    if not path.is_dir():
        counts = read_counts(path)
        return SavedCalibration(ranking={counts.provenance.source: counts}, end_token_ids=())
    facts = from_plain(_Facts, read_json(path / _FACTS), str(path / _FACTS))
    require(len(facts.sources) > 0, f"{path / _FACTS}: sources: expected at least one", got="none")
    ranking = {source: read_counts(_ranking(path, source)) for source in facts.sources}
    scoring = read_counts(path / _SCORING)
    _require_one_tokenizer(path, (*ranking.values(), scoring))
    return SavedCalibration(
        ranking=ranking, end_token_ids=facts.end_token_ids, scoring=scoring, trace=read_trace(path / _TRACE)
    )


def _require_one_tokenizer(path: Path, counts: Sequence[TokenCounts]) -> None:
    """Refuse a folder put together from calibrations of different tokenizers: ids would mean different tokens."""
    traced, remedy = traced_tokenizer(path / _TRACE), "save one calibration whole"
    for each in counts:
        counted = each.provenance.tokenizer_fingerprint
        rule = f"{path}: the trace holds ids of the tokenizer {traced[:12]}, its counts must too"
        require(counted == traced, rule, got=counted[:12], remedy=remedy)


def _ranking(folder: Path, source: str) -> Path:
    return folder / f"ranking-{source}.safetensors"
