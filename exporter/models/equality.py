"""The check of a conversion as the exporter runs it: in a child process, its result kept in a file."""

from pathlib import Path

from edgedraft.exporter.equality.result import EqualityResult
from edgedraft.exporter.models.processes import ProcessCost, run_python
from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.base.kept import kept, record_reader
from edgedraft.runtime.base.plain_files import holds_file
from edgedraft.runtime.base.records import from_plain

SOURCE_FACTS = "source.json"
"""What a conversion was made from, and how far it lies from that."""


def check_graph(name: str, weights: Path, built: Path, result: Path, log: Path) -> ProcessCost:
    """Compare the float graph in ``built`` with its source, and write an `EqualityResult` to the file ``result``."""
    arguments = ["-m", "edgedraft.exporter.equality.worker_check", str(weights), str(built), str(result)]
    return run_python(f"comparing {name} with its source", arguments, log)


read_equality = record_reader(EqualityResult)
"""Reads the result of a check."""


def finished_check(file: Path) -> EqualityResult | None:
    """Return the result of an earlier check; None where there was none, or too little memory for the weights.

    A damaged file counts as none: the check is made again.
    """
    result = kept(read_equality, file)
    return None if result is None or result.weights is None else result


def conversion_remarks(folder: Path, name: str) -> tuple[str, ...]:
    """Return what a user should be told of the conversion in ``folder``, of the model called ``name``."""
    file = folder / SOURCE_FACTS
    facts = read_json(file).get("equality") if holds_file(file) else None
    return from_plain(EqualityResult, facts, str(file)).remarks(name) if facts else ()
