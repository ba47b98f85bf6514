"""From a model source to an ONNX folder the runtime can open, through onnxruntime-genai's model builder, cached."""

import hashlib
import importlib.metadata
import importlib.util
import json
import shutil
from dataclasses import dataclass, fields
from pathlib import Path

from edgedraft.exporter.graphs import fix_cache_shapes, load_graph, save_graph
from edgedraft.exporter.precisions import FLOAT, Precision, precision_named
from edgedraft.exporter.processes import ProcessCost, run_python
from edgedraft.exporter.sources import GGUF, ONNX, ModelSource
from edgedraft.runtime.errors import EdgedraftError, MissingExtraError, first_line
from edgedraft.runtime.files import read_json, replacing_folder, write_json
from edgedraft.runtime.progress import Progress, silent
from edgedraft.runtime.records import require
from edgedraft.runtime.text import TEXT_FILES

GRAPH_NAME = "model.onnx"

AS_EXPORTED = "as-exported"

_PACKING = 1
"""Raise when packing gives other numbers for the same precision: old conversions in caches are then made again."""


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
    def file_bytes(self) -> int:
        """Graph and weights on disk, which is what they take in memory."""
        return sum(file.stat().st_size for file in self.path.glob(f"{GRAPH_NAME}*"))

    @property
    def key(self) -> str:
        """Names this exact conversion."""
        return self.path.name


def convert(source: ModelSource, precision: str, cache: Path, progress: Progress = silent) -> OnnxFolder:
    """The model as an ONNX folder in ``cache``; made once, then taken from there.

    An ONNX source keeps its own precision; only its cache shapes are fixed, in a copy.
    """
    chosen = precision_named(precision)
    name = AS_EXPORTED if source.kind == ONNX else precision
    folder = cache / "onnx" / f"{source.name}-{name}-{_key(source, chosen)}"
    costs: tuple[ProcessCost, ...] = ()
    if not (folder / GRAPH_NAME).is_file():
        log = cache / "logs" / f"{folder.name}.log"
        with replacing_folder(folder) as temporary:
            costs = _make(source, chosen, temporary, log, progress)
    return OnnxFolder(path=folder, source=source, precision=name, costs=costs)


def end_token_ids(folder: Path) -> tuple[int, ...]:
    """End-of-turn ids of an ONNX folder, from its genai_config.json."""
    found = read_json(folder / "genai_config.json")["model"]["eos_token_id"]
    return tuple(sorted(found)) if isinstance(found, list) else (int(found),)


def context_length(folder: Path) -> int:
    """How many tokens the model was made for."""
    return int(read_json(folder / "genai_config.json")["model"]["context_length"])


def _key(source: ModelSource, precision: Precision) -> str:
    facts: list[object] = [source.identity]
    if source.kind == ONNX:
        facts.append(AS_EXPORTED)
    else:
        builder = importlib.metadata.version("onnxruntime-genai")
        facts += [
            builder,
            _unpacked_dtype(precision),
            _PACKING,
            [getattr(precision, field.name) for field in fields(precision) if field.name != "purpose"],
        ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def _unpacked_dtype(precision: Precision) -> str:
    """A packed step is far coarser than float16's rounding, and half the size keeps memory and disk down."""
    return "float32" if precision.layout == FLOAT else "float16"


def _make(
    source: ModelSource, precision: Precision, folder: Path, log: Path, progress: Progress
) -> tuple[ProcessCost, ...]:
    if source.kind == ONNX:
        _copy_onnx(source.path, folder)
        return ()
    steps, what = 3, f"building {source.name} {precision.name}"
    costs = []
    unpacked, built = folder / "unpacked", folder / "built"
    weights = source.path
    if source.kind == GGUF:
        progress(f"unpacking {source.name}", 0, steps)
        costs.append(_unpack(source, unpacked, _unpacked_dtype(precision), log))
        weights = unpacked
    progress(what, 1, steps)
    costs.append(_build(source.name, weights, built, log))
    shutil.rmtree(unpacked, ignore_errors=True)
    progress(what, 2, steps)
    costs.append(_pack(source.name, precision, built, folder, log))
    shutil.rmtree(built)
    write_json(folder / "source.json", {"name": source.name, "identity": source.identity, "precision": precision.name})
    progress(what, steps, steps)
    return tuple(costs)


def _unpack(source: ModelSource, output: Path, dtype: str, log: Path) -> ProcessCost:
    for module in ("torch", "transformers", "gguf"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(module, "export")
    arguments = ["-m", "edgedraft.exporter.worker_unpack", str(source.path), str(output), dtype]
    return run_python(f"unpacking {source.name}", arguments, log)


def _build(name: str, weights: Path, output: Path, log: Path) -> ProcessCost:
    """The float graph; packing its weights ourselves needs a fifth of the memory that the builder's quantizer does."""
    if importlib.util.find_spec("onnxruntime_genai") is None:
        raise MissingExtraError("onnxruntime-genai", "export")
    arguments = ["-m", "onnxruntime_genai.models.builder", "-i", str(weights), "-o", str(output)]
    arguments += ["-p", "fp32", "-e", "cpu", "-c", str(output / "builder-cache")]
    return run_python(f"building {name}", arguments, log)


def _pack(name: str, precision: Precision, built: Path, folder: Path, log: Path) -> ProcessCost:
    arguments = ["-m", "edgedraft.exporter.worker_pack", str(built), str(folder), precision.name]
    return run_python(f"packing {name} {precision.name}", arguments, log)


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
