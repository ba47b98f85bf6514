"""From a model source to an ONNX folder that the runtime can open, by one of two export backends, cached."""

import importlib.metadata
import importlib.util
import shutil
from dataclasses import dataclass, fields
from pathlib import Path

from edgedraft.exporter.graph.interface import adapt_interface
from edgedraft.exporter.graph.loading import load_graph, save_graph
from edgedraft.exporter.graph.precisions import FLOAT, Precision, precision_named
from edgedraft.exporter.graph.rope_switch import note_rope_switch
from edgedraft.exporter.models.admission import require_supported
from edgedraft.exporter.models.end_tokens import end_token_ids, with_ends
from edgedraft.exporter.models.equality import SOURCE_FACTS, conversion_remarks
from edgedraft.exporter.models.float_graph import FloatGraph, copy_texts, make_float_graph
from edgedraft.exporter.models.genai_settings import genai_settings
from edgedraft.exporter.models.gguf_parts import join_gguf
from edgedraft.exporter.models.processes import ProcessCost, run_python
from edgedraft.exporter.models.sources import GGUF, ONNX, ModelSource, onnx_file, require_unchanged
from edgedraft.exporter.models.sums import is_whole, write_sums
from edgedraft.exporter.models.via_optimum import (
    BUILDER,
    EXPORT_BACKENDS,
    OPTIMUM_PINS,
)
from edgedraft.exporter.models.whole_files import require_whole
from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError, first_line
from edgedraft.runtime.base.files import read_json, write_json
from edgedraft.runtime.base.kept import short_sum
from edgedraft.runtime.base.plain_files import holds_file
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require, to_plain
from edgedraft.runtime.base.replacing import replacing_folder

GRAPH_NAME = "model.onnx"

AS_EXPORTED = "as-exported"

_SETTINGS = "genai_config.json"

_BUILDING = 1
"""Raise this when a float graph gets other numbers, or is checked for more."""

_PACKING = 1
"""Raise this when packing gives other numbers for the same precision: conversions in caches are then made again.

The divergences in `packaged/` are of packed weights, too: measure them again.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class OnnxFolder:
    """A converted model: ``model.onnx`` with its data, tokenizer and genai_config.json.

    ``costs`` are of this run. ``remarks`` tell in what the model may differ from its source, a line each.
    """

    path: Path
    source: ModelSource
    precision: str
    costs: tuple[ProcessCost, ...]
    export_backend: str = BUILDER
    remarks: tuple[str, ...] = ()

    @property
    def graph(self) -> Path:
        """Return the path of the ONNX file."""
        return self.path / GRAPH_NAME

    @property
    def file_bytes(self) -> int:
        """Return the bytes of graph and weights on disk, which is what they take in memory."""
        return model_bytes(self.path)

    @property
    def key(self) -> str:
        """Return the name of this exact conversion."""
        return self.path.name


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversion:
    """One conversion: source, precision, export backend, and the cache that keeps the result and the logs."""

    source: ModelSource
    precision: Precision
    export_backend: str
    cache: Path

    def __post_init__(self) -> None:
        rule = f"export backend: expected one of {', '.join(EXPORT_BACKENDS)}"
        require(self.export_backend in EXPORT_BACKENDS, rule, got=self.export_backend)

    @property
    def name(self) -> str:
        """Return the precision, and the backend unless it is the default; an ONNX folder has neither."""
        if self.source.kind == ONNX:
            return AS_EXPORTED
        return self.precision.name + (f"-{self.export_backend}" if self.export_backend != BUILDER else "")

    @property
    def folder(self) -> Path:
        """Return the folder of the result in the cache."""
        return self.cache / "onnx" / f"{self.source.name}-{self.name}-{self._key()}"

    @property
    def log(self) -> Path:
        """Return the file for the output of the tools."""
        return self.cache / "logs" / f"{self.folder.name}.log"

    @property
    def unpacked_dtype(self) -> str:
        """Return the type in which a GGUF file is unpacked."""
        # A packed weight is far coarser than float16's rounding, and half the size keeps memory and disk down.
        return "float32" if self.precision.layout == FLOAT else "float16"

    def float_graph(self, weights: Path, built: Path) -> FloatGraph:
        """Return the float graph that is made from the folder ``weights`` in the folder ``built``."""
        return FloatGraph(
            name=self.source.name,
            weights=weights,
            built=built,
            export_backend=self.export_backend,
            cache=self.cache,
            log=self.log,
            equality_file=self.cache / "equality" / f"{self.source.name}-{short_sum(self._float_facts())}.json",
        )

    def _key(self) -> str:
        if self.source.kind == ONNX:
            return short_sum([self.source.identity, AS_EXPORTED])
        names = [field.name for field in fields(self.precision) if field.name != "purpose"]
        return short_sum([*self._float_facts(), _PACKING, [getattr(self.precision, name) for name in names]])

    def _float_facts(self) -> list[object]:
        """Return what decides the numbers of the float graph."""
        return [
            self.source.identity,
            importlib.metadata.version("onnxruntime-genai") if self.export_backend == BUILDER else OPTIMUM_PINS,
            self.unpacked_dtype,
            _BUILDING,
        ]


def convert(
    source: ModelSource, precision: str, cache: Path, progress: Progress = silent, export_backend: str = BUILDER
) -> OnnxFolder:
    """Return the model as an ONNX folder in ``cache``, made on the first call, or again where a file of it is damaged.

    ``export_backend`` is one of `EXPORT_BACKENDS`. An ONNX source needs neither precision nor backend: it is copied as
    it is, but for its cache shapes, which become fixed.
    """
    conversion = Conversion(
        source=source, precision=precision_named(precision), export_backend=export_backend, cache=cache
    )
    costs: tuple[ProcessCost, ...] = ()
    if not is_whole(conversion.folder):
        with replacing_folder(conversion.folder) as temporary:
            costs = _make(conversion, temporary, progress)
            write_sums(temporary)
    return OnnxFolder(
        path=conversion.folder,
        source=source,
        precision=AS_EXPORTED if source.kind == ONNX else precision,
        costs=costs,
        export_backend=export_backend,
        remarks=conversion_remarks(conversion.folder, source.name),
    )


def model_bytes(folder: Path) -> int:
    """Return the bytes of the graph in ``folder`` and its data files, one or several."""
    files = [*folder.glob(f"{GRAPH_NAME}*"), *folder.glob("model-*-of-*.onnx.data")]
    return sum(file.stat().st_size for file in files)


def context_length(folder: Path) -> int:
    """Read how many tokens the model was made for."""
    return int(read_json(folder / _SETTINGS)["model"]["context_length"])


def _make(conversion: Conversion, folder: Path, progress: Progress) -> tuple[ProcessCost, ...]:
    source, precision = conversion.source, conversion.precision
    require_whole(source)
    if source.kind == ONNX:
        _copy_onnx(source, folder)
        return ()
    require_supported(source, conversion.export_backend)
    steps, what = 3, f"building {source.name} {precision.name}"
    costs = []
    unpacked, built = folder / "unpacked", folder / "built"
    weights = source.path
    if source.kind == GGUF:
        require_unchanged(source)
        progress(f"unpacking {source.name}", 0, steps)
        costs.append(_unpack(source, unpacked, conversion))
        weights = unpacked
    progress(what, 1, steps)
    made = make_float_graph(conversion.float_graph(weights, built), progress)
    costs += made.costs
    _state_ends(built, weights)
    shutil.rmtree(unpacked, ignore_errors=True)
    progress(what, 2, steps)
    costs.append(_pack(source.name, precision, built, folder, conversion.log))
    shutil.rmtree(built)
    facts = {
        "name": source.name,
        "identity": source.identity,
        "precision": precision.name,
        "via": conversion.export_backend,
        "equality": to_plain(made.equality),
    }
    write_json(folder / SOURCE_FACTS, facts)
    progress(what, steps, steps)
    return tuple(costs)


def _unpack(source: ModelSource, output: Path, conversion: Conversion) -> ProcessCost:
    for module in ("torch", "transformers", "gguf"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(module, "export")
    file = source.path
    if source.parts:
        file = output.with_name("joined.gguf")
        join_gguf(source.parts, file)
    arguments = ["-m", "edgedraft.exporter.graph.worker_unpack", str(file), str(output), conversion.unpacked_dtype]
    cost = run_python(f"unpacking {source.name}", arguments, conversion.log)
    if source.parts:
        file.unlink()
    return cost


def _pack(name: str, precision: Precision, built: Path, folder: Path, log: Path) -> ProcessCost:
    arguments = ["-m", "edgedraft.exporter.graph.worker_pack", str(built), str(folder), precision.name]
    return run_python(f"packing {name} {precision.name}", arguments, log)


def _copy_onnx(exported: ModelSource, folder: Path) -> None:
    """Copy an exported folder with fixed cache shapes and one data file; write its settings if it has none."""
    source, graph = exported.path, onnx_file(exported)
    model = load_graph(graph)
    note_rope_switch(model)
    windowed = adapt_interface(model)
    own = source / _SETTINGS
    settings = read_json(own) if holds_file(own) else genai_settings(source, model, GRAPH_NAME)
    decoder = settings["model"].get("decoder", {})
    if "filename" in decoder:
        decoder["filename"] = GRAPH_NAME
    if windowed:  # else stock engines would go on giving those layers a shorter buffer
        decoder.pop("sliding_window", None)
    try:
        save_graph(model, folder / GRAPH_NAME, f"{GRAPH_NAME}.data")
    except FileNotFoundError as error:
        raise EdgedraftError(f"{source}: the graph's data file is missing", got=first_line(error)) from error
    write_json(folder / _SETTINGS, settings)
    copy_texts(source, folder)
    _state_ends(folder, source)


def _state_ends(folder: Path, source: Path) -> None:
    """Write every id that ends a turn, by the files here and at the source, into genai_config.json."""
    settings = read_json(folder / _SETTINGS)
    write_json(folder / _SETTINGS, with_ends(settings, end_token_ids(folder, source)))
