"""Make the fp32 graph of a model folder with one of two export backends, and compare it with its source."""

import importlib.util
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from edgedraft.exporter.equality.borders import has_far_border
from edgedraft.exporter.equality.result import EqualityResult
from edgedraft.exporter.graph.loading import load_graph
from edgedraft.exporter.models.equality import check_graph, finished_check, read_equality
from edgedraft.exporter.models.genai_settings import MODEL_CONFIG_NAME, genai_settings
from edgedraft.exporter.models.processes import ProcessCost, run_python
from edgedraft.exporter.models.via_optimum import BUILDER, export_with_optimum, optimum_python
from edgedraft.runtime.base.errors import MissingExtraError
from edgedraft.runtime.base.files import read_json, write_json
from edgedraft.runtime.base.kept import write_record
from edgedraft.runtime.base.plain_files import holds_file
from edgedraft.runtime.base.progress import Progress
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.tokenizer_files import CHAT_TEMPLATE, TEXT_FILES
from edgedraft.runtime.text.chat_template import read_chat_template

_GRAPH, _SETTINGS = "model.onnx", "genai_config.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class FloatGraph:
    """A float graph to make in the folder ``built`` from the Hugging Face folder ``weights``.

    The tools' output goes to ``log``. The result of the comparison is stored in ``equality_file``, for the conversions
    to other precisions.
    """

    name: str
    weights: Path
    built: Path
    export_backend: str
    cache: Path
    log: Path
    equality_file: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class MadeGraph:
    """The cost of making the fp32 graph, and the result of its comparison with the source."""

    costs: tuple[ProcessCost, ...]
    equality: EqualityResult


def make_float_graph(wanted: FloatGraph, progress: Progress) -> MadeGraph:
    """Make the graph and compare it with its source, unless that was done for another precision.

    Raises `EdgedraftError` if the conversion computes something else than the source.
    """
    known = finished_check(wanted.equality_file)
    wanted.equality_file.parent.mkdir(parents=True, exist_ok=True)
    if wanted.export_backend == BUILDER:
        costs = [_build(wanted, compared=known is not None)]
    else:
        costs = _export_compared(wanted, progress) if known is None else [_export(wanted, progress)]
    result = known or _accepted(wanted)
    return MadeGraph(costs=tuple(costs), equality=result)


def _accepted(wanted: FloatGraph) -> EqualityResult:
    """Return the result of the check; refuse an unequal graph and delete its result."""
    result = read_equality(wanted.equality_file)
    if not result.acceptable:
        wanted.equality_file.unlink()
    other = "--export-backend optimum" if wanted.export_backend == BUILDER else "the default, --export-backend builder"
    result.require_equal(wanted.name, f"try {other}, or another model")
    return result


def _build(wanted: FloatGraph, *, compared: bool) -> ProcessCost:
    """Build the graph. Packing its weights later takes a fifth of the memory that the builder's quantizer needs."""
    if importlib.util.find_spec("onnxruntime_genai") is None:
        raise MissingExtraError("onnxruntime-genai", "export")
    folders = [str(wanted.weights), str(wanted.built), *([] if compared else [str(wanted.equality_file)])]
    arguments = ["-m", "edgedraft.exporter.models.worker_build", *folders]
    return run_python(f"building {wanted.name}", arguments, wanted.log)


def _export_compared(wanted: FloatGraph, progress: Progress) -> list[ProcessCost]:
    """Export and compare with the source; first a tiny copy if windows or rotary borders have no effect on it."""
    costs, copied = list[ProcessCost](), None
    scratch = wanted.built.with_name("tiny")
    if has_far_border(read_json(wanted.weights / MODEL_CONFIG_NAME)):
        tiny = replace(wanted, name=f"a tiny copy of {wanted.name}", weights=scratch, built=scratch / "built")
        arguments = ["-m", "edgedraft.exporter.equality.worker_copy", str(wanted.weights), str(scratch)]
        costs.append(run_python(f"making {tiny.name}", arguments, wanted.log))
        costs += [_export(tiny, progress), _compare(tiny)]
        found = read_equality(wanted.equality_file)
        copied = found.weights
        write_record(wanted.equality_file, replace(found, configuration=copied, weights=None))
        shutil.rmtree(scratch)
        _accepted(wanted)
    costs += [_export(wanted, progress), _compare(wanted)]
    found = read_equality(wanted.equality_file)
    write_record(wanted.equality_file, replace(found, configuration=copied))
    return costs


def _compare(wanted: FloatGraph) -> ProcessCost:
    return check_graph(wanted.name, wanted.weights, wanted.built, wanted.equality_file, wanted.log)


def _export(wanted: FloatGraph, progress: Progress) -> ProcessCost:
    """Export the graph with Optimum, and write the files that the builder would write beside it."""
    weights, output = wanted.weights, wanted.built
    remedy = "save the model's tokenizer as tokenizer.json beside it"
    require(holds_file(weights / "tokenizer.json"), f"{weights}: no tokenizer.json", remedy=remedy)
    python = optimum_python(wanted.cache, progress)
    cost = export_with_optimum(wanted.name, weights, output, python, wanted.log)
    write_json(output / _SETTINGS, genai_settings(weights, load_graph(output / _GRAPH), _GRAPH))
    copy_texts(weights, output)
    return cost


def copy_texts(source: Path, folder: Path) -> None:
    """Copy tokenizer and chat template; the template also as a file of its own, where other programs look for it."""
    for name in TEXT_FILES:
        if holds_file(source / name):
            shutil.copyfile(source / name, folder / name)
    template = read_chat_template(source).source
    if template is not None and not holds_file(folder / CHAT_TEMPLATE):
        (folder / CHAT_TEMPLATE).write_text(template, encoding="utf-8")
