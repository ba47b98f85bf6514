"""Keep on disk what a counting job has done: a run killed at any moment goes on from the last whole checkpoint."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgedraft.calibration.counts_file import read_counts, write_counts
from edgedraft.calibration.data.reading import ReadReport
from edgedraft.calibration.text.count_result import CountReport, CountResult
from edgedraft.runtime.base.kept import kept, record_reader, write_record
from edgedraft.runtime.base.records import to_plain
from edgedraft.runtime.base.replacing import tidy

_FORMAT = "edgedraft counting 1"
_POINTER = "done.json"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CheckpointState:
    """The result of all entries before ``next_number``, or of all there are once ``finished``."""

    next_number: int
    result: CountResult
    finished: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pointer:
    """The small file's content: the name of the counts that belong to it, and the reports."""

    format: str
    counts: str
    next_number: int
    finished: bool
    report: CountReport
    reading: ReadReport


class Checkpoint:
    """One job's folder, named after the ``facts`` that decide its result: other data or options begin anew.

    Counts are written first, then the small file that names them, so a crash between the two leaves the older pair.
    """

    def __init__(self, root: Path, facts: Mapping[str, Any]) -> None:
        described = json.dumps([_FORMAT, to_plain(facts)], sort_keys=True)
        self.folder = root / f"counting-{hashlib.sha256(described.encode()).hexdigest()[:20]}"

    def read(self) -> CheckpointState | None:
        """Read the last checkpoint; None where there is none, or it is damaged."""
        pointer = kept(record_reader(_Pointer), self.folder / _POINTER)
        counts = None if pointer is None else kept(read_counts, self.folder / pointer.counts)
        if pointer is None or counts is None or pointer.format != _FORMAT:
            return None
        result = CountResult(counts=counts, report=pointer.report, reading=pointer.reading)
        return CheckpointState(next_number=pointer.next_number, result=result, finished=pointer.finished)

    def write(self, state: CheckpointState) -> None:
        """Write a checkpoint in place of the last one."""
        name = f"counts-{state.next_number}{'-finished' if state.finished else ''}.safetensors"
        write_counts(self.folder / name, state.result.counts)
        pointer = _Pointer(
            format=_FORMAT,
            counts=name,
            next_number=state.next_number,
            finished=state.finished,
            report=state.result.report,
            reading=state.result.reading,
        )
        write_record(self.folder / _POINTER, pointer)
        for old in self.folder.glob("counts-*.safetensors"):
            if old.name != name:
                tidy(old)
                old.unlink(missing_ok=True)
