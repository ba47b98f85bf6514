"""Hostile files: each kind of file that is read beside bundles is mutated and read, in a forked child."""

import importlib
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from tests.trust.formats import FORMATS, Format
from tests.trust.frame import Trial, Verdict, kind
from tests.trust.isolated import Refusal, isolated
from tests.trust.mutations import replace_by_no_file

_LOADED = (
    *("torch", "pyarrow.parquet", "gguf", "edgedraft.exporter.models.sources", "edgedraft.exporter.vocab.reading"),
    *("edgedraft.calibration.data.reading", "edgedraft.runtime.text.codec", "edgedraft.devices.probing.posted"),
    *("edgedraft.exporter.models.end_tokens", "edgedraft.runtime.serving.guard", "edgedraft.runtime.base.kept"),
)
"""Imported before the forks, not in every child."""


@kind(
    "hostile-files", promise="a mutated file is refused in one line, or read as what it says", trials=6000, weight=2.0
)
def hostile_files(folder: Path) -> Iterator[Trial]:
    """Write a file of each format once; then mutate and read it."""
    for module in _LOADED:
        importlib.import_module(module)
    for each in FORMATS:
        isolated(partial(_written, each, folder / each.file), 120.0)
    known = {each.file: isolated(partial(each.read, folder / each.file / each.file)) for each in FORMATS}
    for name, value in known.items():
        assert not isinstance(value, Refusal), f"{name}: {value}"

    def trial(number: int, rng: Random) -> Verdict:
        each = FORMATS[number % len(FORMATS)]
        return mutated_file(each, folder / each.file, folder / "trial", rng, known[each.file])

    yield trial


def mutated_file(form: Format, source: Path, copy: Path, rng: Random, known: Any) -> Verdict:
    """Mutate a copy of the format's file, and judge what reading it gives."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(source, copy)
    file = copy / form.file
    if rng.random() < 0.04:
        how, absent = replace_by_no_file(file, rng), True
    else:
        how, absent = "mutated", False
        file.write_bytes(form.mutate(file.read_bytes(), rng))
    outcome = isolated(partial(form.read, file))
    if isinstance(outcome, Refusal):
        return Verdict.REFUSED
    assert not absent or how == "nothing", f"{form.file}: {how} was read"
    assert not form.summed or outcome == known, f"{form.file}: a changed file was read as another"
    return Verdict.HELD


def _written(form: Format, folder: Path) -> int:
    folder.mkdir()
    form.write(folder / form.file)
    return 0


KINDS = (hostile_files,)
