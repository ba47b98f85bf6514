"""What a counting job has done so far, on disk: a run killed at any moment goes on from the last whole checkpoint."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgedraft.calibration.counts_file import read_counts, write_counts
from edgedraft.calibration.data.reading import ReadReport
from edgedraft.calibration.text.tally import CountReport, Tally
from edgedraft.runtime.base.files import read_json, write_json
from edgedraft.runtime.base.records import from_plain, require, to_plain

_FORMAT = "edgedraft counting 1"
_POINTER = "done.json"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Done:
    """The tally of all entries before ``next_number``; of all there are once ``finished``."""

    next_number: int
    tally: Tally
    finished: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pointer:
    """What the small file says: which counts belong to it, and the reports."""

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
        told = json.dumps([_FORMAT, to_plain(facts)], sort_keys=True)
        self.folder = root / f"counting-{hashlib.sha256(told.encode()).hexdigest()[:20]}"

    def read(self) -> Done | None:
        """The last checkpoint; None where there is none."""
        path = self.folder / _POINTER
        if not path.exists():
            return None
        found = from_plain(_Pointer, read_json(path), str(path))
        require(found.format == _FORMAT, f"{path}: expected format {_FORMAT}", got=found.format)
        tally = Tally(counts=read_counts(self.folder / found.counts), report=found.report, reading=found.reading)
        return Done(next_number=found.next_number, tally=tally, finished=found.finished)

    def write(self, done: Done) -> None:
        """Take the place of the last checkpoint."""
        name = f"counts-{done.next_number}{'-finished' if done.finished else ''}.safetensors"
        write_counts(self.folder / name, done.tally.counts)
        pointer = _Pointer(
            format=_FORMAT,
            counts=name,
            next_number=done.next_number,
            finished=done.finished,
            report=done.tally.report,
            reading=done.tally.reading,
        )
        write_json(self.folder / _POINTER, to_plain(pointer))
        for old in self.folder.glob("*counts-*.safetensors*"):
            if old.name != name:
                old.unlink(missing_ok=True)
