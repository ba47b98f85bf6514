"""Converted models prepared for a provider of this machine, kept in the cache: what is timed is what is bundled."""

import shutil
from dataclasses import replace
from pathlib import Path

from edgedraft.exporter.graph.loading import load_graph, save_graph
from edgedraft.exporter.graph.preparing import prepare
from edgedraft.exporter.graph.providers import Provider
from edgedraft.exporter.models.convert import GRAPH_NAME, OnnxFolder
from edgedraft.exporter.models.pair import Pair
from edgedraft.runtime.base.files import replacing_folder


def prepared_pair(pair: Pair, provider: Provider, cache: Path) -> Pair:
    """The pair with graphs that ``provider`` runs well, to be opened on it."""
    target, drafter = (prepared_folder(folder, provider, cache) for folder in (pair.target, pair.drafter))
    return Pair(target, drafter, replace(pair.settings, provider=provider.name))


def prepared_folder(folder: OnnxFolder, provider: Provider, cache: Path) -> OnnxFolder:
    """The folder itself where nothing is to be changed, else a changed copy, made once."""
    path = cache / "onnx" / f"{folder.key}-{provider.name}"
    if not (path / GRAPH_NAME).is_file():
        model = load_graph(folder.graph)
        if not prepare(model, provider):
            return folder
        with replacing_folder(path) as temporary:
            save_graph(model, temporary / GRAPH_NAME, f"{GRAPH_NAME}.data")
            for file in folder.path.iterdir():
                if file.is_file() and not file.name.startswith(GRAPH_NAME):
                    shutil.copyfile(file, temporary / file.name)
    return replace(folder, path=path)
