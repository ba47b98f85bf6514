"""From a model source to an ONNX folder the runtime can open, by one of two export routes, cached."""

import hashlib
import importlib.metadata
import importlib.util
import json
import shutil
from dataclasses import dataclass, fields
from pathlib import Path

from edgedraft.exporter.graph.loading import drop_cache_windows, fix_cache_shapes, load_graph, save_graph
from edgedraft.exporter.graph.precisions import FLOAT, Precision, precision_named
from edgedraft.exporter.models.genai_settings import genai_settings
from edgedraft.exporter.models.processes import ProcessCost, run_python
from edgedraft.exporter.models.routes import BUILDER, ROUTES
from edgedraft.exporter.models.sources import GGUF, ONNX, ModelSource, onnx_file
from edgedraft.exporter.models.via_optimum import OPTIMUM_PINS, export_with_optimum, optimum_python
from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError, first_line
from edgedraft.runtime.base.files import read_json, replacing_folder, write_json
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.tokenizer_files import CHAT_TEMPLATE, TEXT_FILES
from edgedraft.runtime.text.chat_template import read_chat_template

GRAPH_NAME = "model.onnx"

AS_EXPORTED = "as-exported"

_SETTINGS = "genai_config.json"

_PACKING = 1
"""Raise when packing gives other numbers for the same precision: old conversions in caches are then made again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OnnxFolder:
    """A converted model: ``model.onnx`` with its data, tokenizer and genai_config.json; its route, and what it took."""

    path: Path
    source: ModelSource
    precision: str
    costs: tuple[ProcessCost, ...]
    via: str = BUILDER

    @property
    def graph(self) -> Path:
        """The ONNX file."""
        return self.path / GRAPH_NAME

    @property
    def file_bytes(self) -> int:
        """Graph and weights on disk, which is what they take in memory."""
        return sum(file.stat().st_size for file in self.path.glob(f"{GRAPH_NAME}*"))

    @property
    def key(self) -> str:
        """Names this exact conversion."""
        return self.path.name


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversion:
    """What to convert, how finely, by which route, and the cache that everything made on the way stays in."""

    source: ModelSource
    precision: Precision
    via: str
    cache: Path

    def __post_init__(self) -> None:
        require(self.via in ROUTES, f"via: expected one of {', '.join(ROUTES)}", got=self.via)

    @property
    def name(self) -> str:
        """The precision's name, and the route's where it is not the usual one; an ONNX folder has neither."""
        if self.source.kind == ONNX:
            return AS_EXPORTED
        return self.precision.name + (f"-{self.via}" if self.via != BUILDER else "")

    @property
    def folder(self) -> Path:
        """Where the result stays."""
        return self.cache / "onnx" / f"{self.source.name}-{self.name}-{self._key()}"

    @property
    def log(self) -> Path:
        """Where the tools write."""
        return self.cache / "logs" / f"{self.folder.name}.log"

    @property
    def unpacked_dtype(self) -> str:
        """A packed step is far coarser than float16's rounding, and half the size keeps memory and disk down."""
        return "float32" if self.precision.layout == FLOAT else "float16"

    def _key(self) -> str:
        facts: list[object] = [self.source.identity]
        if self.source.kind == ONNX:
            facts.append(AS_EXPORTED)
        else:
            facts += [
                importlib.metadata.version("onnxruntime-genai") if self.via == BUILDER else OPTIMUM_PINS,
                self.unpacked_dtype,
                _PACKING,
                [getattr(self.precision, field.name) for field in fields(self.precision) if field.name != "purpose"],
            ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def convert(
    source: ModelSource, precision: str, cache: Path, progress: Progress = silent, via: str = BUILDER
) -> OnnxFolder:
    """The model as an ONNX folder in ``cache``; made once, then taken from there.

    ``via`` is one of `ROUTES`. An ONNX source needs neither: it keeps its own precision, and only its cache shapes are
    fixed, in a copy.
    """
    wanted = Conversion(source=source, precision=precision_named(precision), via=via, cache=cache)
    costs: tuple[ProcessCost, ...] = ()
    if not (wanted.folder / GRAPH_NAME).is_file():
        with replacing_folder(wanted.folder) as temporary:
            costs = _make(wanted, temporary, progress)
    told = AS_EXPORTED if source.kind == ONNX else precision
    return OnnxFolder(path=wanted.folder, source=source, precision=told, costs=costs, via=via)


def end_token_ids(folder: Path) -> tuple[int, ...]:
    """End-of-turn ids of an ONNX folder, from its genai_config.json."""
    found = read_json(folder / _SETTINGS)["model"]["eos_token_id"]
    return tuple(sorted(found)) if isinstance(found, list) else (int(found),)


def context_length(folder: Path) -> int:
    """How many tokens the model was made for."""
    return int(read_json(folder / _SETTINGS)["model"]["context_length"])


def _make(wanted: Conversion, folder: Path, progress: Progress) -> tuple[ProcessCost, ...]:
    source, precision = wanted.source, wanted.precision
    if source.kind == ONNX:
        _copy_onnx(source.path, folder)
        return ()
    steps, what = 3, f"building {source.name} {precision.name}"
    costs = []
    unpacked, built = folder / "unpacked", folder / "built"
    weights = source.path
    if source.kind == GGUF:
        progress(f"unpacking {source.name}", 0, steps)
        costs.append(_unpack(source, unpacked, wanted))
        weights = unpacked
    progress(what, 1, steps)
    costs.append(_build(weights, built, wanted) if wanted.via == BUILDER else _export(weights, built, wanted, progress))
    shutil.rmtree(unpacked, ignore_errors=True)
    progress(what, 2, steps)
    costs.append(_pack(source.name, precision, built, folder, wanted.log))
    shutil.rmtree(built)
    facts = {"name": source.name, "identity": source.identity, "precision": precision.name, "via": wanted.via}
    write_json(folder / "source.json", facts)
    progress(what, steps, steps)
    return tuple(costs)


def _unpack(source: ModelSource, output: Path, wanted: Conversion) -> ProcessCost:
    for module in ("torch", "transformers", "gguf"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(module, "export")
    arguments = ["-m", "edgedraft.exporter.graph.worker_unpack", str(source.path), str(output), wanted.unpacked_dtype]
    return run_python(f"unpacking {source.name}", arguments, wanted.log)


def _build(weights: Path, output: Path, wanted: Conversion) -> ProcessCost:
    """The float graph; packing its weights ourselves needs a fifth of the memory that the builder's quantizer does."""
    if importlib.util.find_spec("onnxruntime_genai") is None:
        raise MissingExtraError("onnxruntime-genai", "export")
    arguments = ["-m", "edgedraft.exporter.models.worker_build", str(weights), str(output)]
    return run_python(f"building {wanted.source.name}", arguments, wanted.log)


def _export(weights: Path, output: Path, wanted: Conversion, progress: Progress) -> ProcessCost:
    """The float graph by Optimum, with the files beside it that the builder would have written."""
    remedy = "save the model's tokenizer as tokenizer.json beside it"
    require((weights / "tokenizer.json").is_file(), f"{weights}: no tokenizer.json", remedy=remedy)
    python = optimum_python(wanted.cache, progress)
    cost = export_with_optimum(wanted.source.name, weights, output, python, wanted.log)
    write_json(output / _SETTINGS, genai_settings(weights, load_graph(output / GRAPH_NAME), GRAPH_NAME))
    _copy_texts(weights, output)
    return cost


def _pack(name: str, precision: Precision, built: Path, folder: Path, log: Path) -> ProcessCost:
    arguments = ["-m", "edgedraft.exporter.graph.worker_pack", str(built), str(folder), precision.name]
    return run_python(f"packing {name} {precision.name}", arguments, log)


def _copy_onnx(source: Path, folder: Path) -> None:
    """An exported folder, copied with fixed cache shapes and one data file; its settings are made where it has none."""
    graph = onnx_file(source)
    assert graph is not None
    model = load_graph(graph)
    fix_cache_shapes(model)
    windowed = drop_cache_windows(model)
    own = source / _SETTINGS
    settings = read_json(own) if own.is_file() else genai_settings(source, model, GRAPH_NAME)
    if windowed:  # else stock engines would go on giving those layers a shorter buffer
        settings["model"]["decoder"].pop("sliding_window", None)
    try:
        save_graph(model, folder / GRAPH_NAME, f"{GRAPH_NAME}.data")
    except FileNotFoundError as error:
        raise EdgedraftError(f"{source}: the graph's data file is missing", got=first_line(error)) from error
    write_json(folder / _SETTINGS, settings)
    _copy_texts(source, folder)


def _copy_texts(source: Path, folder: Path) -> None:
    """The template gets a file of its own, where others look for it."""
    for name in TEXT_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    template = read_chat_template(source).source
    if template is not None and not (folder / CHAT_TEMPLATE).is_file():
        (folder / CHAT_TEMPLATE).write_text(template, encoding="utf-8")
