"""Choose one of the ONNX graphs in a folder."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.base.plain_files import holds_file
from edgedraft.runtime.base.records import require

SETTINGS = "genai_config.json"
GRAPH_FOLDERS = ("", "onnx", "model")
"""Where graphs lie: beside the other files, in ``onnx`` (hub repositories) or in ``model`` (Olive)."""

_NAME = "model.onnx"


def graph_in(folder: Path, chosen: str = "") -> Path | None:
    """Return the graph of ``folder`` that ``chosen`` names, or else the one that its settings or its name point to.

    ``chosen`` is a path in the folder (``onnx/model_q4.onnx``), a file name, or the part of the name after ``model_``
    (``q4``). Returns None for a folder without graphs. Raises `EdgedraftError` naming the graphs if the choice is not
    clear.
    """
    graphs = graphs_in(folder)
    if chosen:
        return _chosen(folder, graphs, chosen)
    stated = _stated(folder)
    if stated is not None:
        return stated
    named = [folder / part / _NAME for part in GRAPH_FOLDERS]
    found = next((path for path in named if path in graphs), None)
    if found is None and len(graphs) > 1:
        rule = f"{folder}: several graphs and no {_NAME}"
        remedy = f"choose one, as in {folder}#{graphs[0].stem.removeprefix('model_')}"
        raise EdgedraftError(rule, got=_names(folder, graphs), remedy=remedy)
    return found or next(iter(graphs), None)


def graphs_in(folder: Path) -> list[Path]:
    """List the graphs of ``folder``, sorted."""
    return sorted(path for part in GRAPH_FOLDERS for path in (folder / part).glob("*.onnx") if path.is_file())


def files_beside(graph: Path) -> Path:
    """Return the folder with the tokenizer and settings of ``graph``: its own folder, or that one's parent."""
    own, around = graph.parent, graph.parent.parent
    names = ("tokenizer.json", SETTINGS, "config.json")
    return around if not any(holds_file(own / name) for name in names) and graph.parent.name else own


def _chosen(folder: Path, graphs: list[Path], name: str) -> Path:
    fits = [path for path in graphs if name in (path.relative_to(folder).as_posix(), path.name, path.stem)]
    fits = fits or [path for path in graphs if path.stem == f"model_{name}"]
    rule = f"{folder}: no graph called {name}"
    require(bool(fits), rule, remedy=f"choose one of {_names(folder, graphs)}" if graphs else "it holds no graphs")
    require(len(fits) == 1, f"{folder}: several graphs called {name}", got=_names(folder, fits))
    return fits[0]


def _names(folder: Path, graphs: list[Path]) -> str:
    return ", ".join(path.relative_to(folder).as_posix() for path in graphs)


def _stated(folder: Path) -> Path | None:
    """Return the graph that genai_config.json names, in the folder or one of its subfolders."""
    for part in GRAPH_FOLDERS:
        settings = folder / part / SETTINGS
        if holds_file(settings):
            name = _decoder(read_json(settings), settings).get("filename", _NAME)
            where = f"{settings}: model.decoder.filename"
            inside = isinstance(name, str) and name and ".." not in PurePosixPath(name).parts
            require(bool(inside) and not Path(name).is_absolute(), f"{where}: expected a file in the folder", got=name)
            graph = settings.parent / name
            # A folder of weights may keep settings without a graph; one whose graph has another name is not whole.
            require(
                graph.is_file() or name == _NAME, f"{where}: no such file", got=name, remedy="give the whole folder"
            )
            return graph if graph.is_file() else None
    return None


def _decoder(settings: Any, where: Path) -> Mapping[str, Any]:
    model = settings.get("model") if isinstance(settings, Mapping) else None
    decoder = model.get("decoder") if isinstance(model, Mapping) else None
    if not isinstance(decoder, Mapping):
        return {}
    rule = f"{where}: model.decoder.pipeline: a model in several graphs is not read"
    require("pipeline" not in decoder, rule, remedy="export it as one graph")
    return decoder
