"""From a model source to an ONNX folder the runtime can open, through onnxruntime-genai's model builder, cached."""

import hashlib
import importlib.metadata
import importlib.util
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from edgedraft.exporter.graphs import fix_cache_shapes, load_graph, save_graph
from edgedraft.exporter.processes import ProcessCost, run_python
from edgedraft.exporter.sources import GGUF, ONNX, ModelSource
from edgedraft.runtime.errors import EdgedraftError, MissingExtraError, first_line
from edgedraft.runtime.files import read_json, replacing_folder, write_json
from edgedraft.runtime.progress import Progress, silent
from edgedraft.runtime.records import require
from edgedraft.runtime.text import TEXT_FILES

GRAPH_NAME = "model.onnx"

# int4 and int8 are block-wise weights with int8 activations (accuracy level 4), the fastest single row on CPUs.
_BUILDER_OPTIONS = {
    "int4": ("block_size=32", "accuracy_level=4"),
    "int8": ("block_size=32", "accuracy_level=4"),
    "fp32": (),
}
PRECISIONS = tuple(_BUILDER_OPTIONS)
AS_EXPORTED = "as-exported"

# A 4- or 8-bit step is far coarser than float16's rounding, and half the size keeps the builder's memory down.
_UNPACKED_DTYPE = {"int4": "float16", "int8": "float16", "fp32": "float32"}


@dataclass(frozen=True, kw_only=True, slots=True)
class OnnxFolder:
    """A converted model: ``model.onnx`` with its data, tokenizer and genai_config.json, and what making it took."""

    path: Path
    source: ModelSource
    precision: str
    costs: tuple[ProcessCost, ...]

    @property
    def graph(self) -> Path:
        """The ONNX file."""
        return self.path / GRAPH_NAME

    @property
    def key(self) -> str:
        """Names this exact conversion."""
        return self.path.name


def convert(source: ModelSource, precision: str, cache: Path, progress: Progress = silent) -> OnnxFolder:
    """The model as an ONNX folder in ``cache``; made once, then taken from there.

    An ONNX source keeps its own precision; only its cache shapes are fixed, in a copy.
    """
    require(precision in PRECISIONS, f"precision: expected one of {', '.join(PRECISIONS)}", got=precision)
    precision = AS_EXPORTED if source.kind == ONNX else precision
    folder = cache / "onnx" / f"{source.name}-{precision}-{_key(source, precision)}"
    costs: tuple[ProcessCost, ...] = ()
    if not (folder / GRAPH_NAME).is_file():
        log = cache / "logs" / f"{folder.name}.log"
        with replacing_folder(folder) as temporary:
            costs = _make(source, precision, temporary, log, progress)
    return OnnxFolder(path=folder, source=source, precision=precision, costs=costs)


def end_token_ids(folder: Path) -> tuple[int, ...]:
    """End-of-turn ids of an ONNX folder, from its genai_config.json."""
    found = read_json(folder / "genai_config.json")["model"]["eos_token_id"]
    return tuple(sorted(found)) if isinstance(found, list) else (int(found),)


def context_length(folder: Path) -> int:
    """How many tokens the model was made for."""
    return int(read_json(folder / "genai_config.json")["model"]["context_length"])


def _key(source: ModelSource, precision: str) -> str:
    facts = [source.identity, precision]
    if source.kind != ONNX:
        builder = importlib.metadata.version("onnxruntime-genai")
        facts += [builder, _UNPACKED_DTYPE[precision], *_BUILDER_OPTIONS[precision]]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def _make(source: ModelSource, precision: str, folder: Path, log: Path, progress: Progress) -> tuple[ProcessCost, ...]:
    if source.kind == ONNX:
        _copy_onnx(source.path, folder)
        return ()
    costs = []
    unpacked = folder / "unpacked"
    weights = source.path
    if source.kind == GGUF:
        progress(f"unpacking {source.name}", 0, 2)
        costs.append(_unpack(source, unpacked, _UNPACKED_DTYPE[precision], log))
        weights = unpacked
    progress(f"building {source.name} {precision}", 1, 2)
    costs.append(_build(source.name, weights, precision, folder, log))
    shutil.rmtree(unpacked, ignore_errors=True)
    shutil.rmtree(folder / "builder-cache", ignore_errors=True)
    _fix_graph(folder / GRAPH_NAME)
    write_json(folder / "source.json", {"name": source.name, "identity": source.identity, "precision": precision})
    progress(f"building {source.name} {precision}", 2, 2)
    return tuple(costs)


def _unpack(source: ModelSource, output: Path, dtype: str, log: Path) -> ProcessCost:
    for module in ("torch", "transformers", "gguf"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(module, "export")
    arguments = ["-m", "edgedraft.exporter.worker_unpack", str(source.path), str(output), dtype]
    return run_python(f"unpacking {source.name}", arguments, log)


def _build(name: str, weights: Path, precision: str, folder: Path, log: Path) -> ProcessCost:
    if importlib.util.find_spec("onnxruntime_genai") is None:
        raise MissingExtraError("onnxruntime-genai", "export")
    arguments = ["-m", "onnxruntime_genai.models.builder", "-i", str(weights), "-o", str(folder)]
    arguments += ["-p", precision, "-e", "cpu", "-c", str(folder / "builder-cache")]
    options = _BUILDER_OPTIONS[precision]
    arguments += ["--extra_options", *options] if options else []
    return run_python(f"building {name} {precision}", arguments, log)


def _fix_graph(graph: Path) -> None:
    """Rewrite the small graph file; its data file is left as it is."""
    import onnx_ir as ir

    model = load_graph(graph)
    fix_cache_shapes(model)
    ir.save(model, graph)


def _copy_onnx(source: Path, folder: Path) -> None:
    """An exported folder, copied with fixed cache shapes and one data file."""
    model = load_graph(source / GRAPH_NAME)
    fix_cache_shapes(model)
    try:
        save_graph(model, folder / GRAPH_NAME, f"{GRAPH_NAME}.data")
    except FileNotFoundError as error:
        raise EdgedraftError(f"{source}: the graph's data file is missing", got=first_line(error)) from error
    remedy = "export it with onnxruntime-genai's model builder"
    require((source / "genai_config.json").is_file(), f"{source}: no genai_config.json", remedy=remedy)
    for name in ("genai_config.json", *TEXT_FILES):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
