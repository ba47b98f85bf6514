"""Run the check of a conversion in a child process and store its result in a file."""

from pathlib import Path

from edgedraft.exporter.equality.result import EqualityResult
from edgedraft.exporter.models.processes import ProcessCost, run_python
from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.base.records import from_plain

SOURCE_FACTS = "source.json"
"""What a conversion was made from, and how far it lies from that."""


def check_graph(name: str, weights: Path, built: Path, result: Path, log: Path) -> ProcessCost:
    """Compare the fp32 graph in ``built`` with its source, and write an `EqualityResult` to the file ``result``."""
    arguments = ["-m", "edgedraft.exporter.equality.worker_check", str(weights), str(built), str(result)]
    return run_python(f"comparing {name} with its source", arguments, log)


def read_equality(file: Path) -> EqualityResult:
    """Read the result of a check."""
    return from_plain(EqualityResult, read_json(file), str(file))


def finished_check(file: Path) -> EqualityResult | None:
    """Return the result of an earlier check; None if there is none, or if it lacked memory for the weights."""
    result = read_equality(file) if file.is_file() else None
    return None if result is None or result.weights is None else result


def conversion_remarks(folder: Path, name: str) -> tuple[str, ...]:
    """Return what to tell the user about the conversion in ``folder``, of the model called ``name``."""
    file = folder / SOURCE_FACTS
    facts = read_json(file).get("equality") if file.is_file() else None
    return from_plain(EqualityResult, facts, str(file)).remarks(name) if facts else ()
