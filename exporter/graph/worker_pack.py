"""Child process that packs a float ONNX folder's weights in a precision; its memory is freed when it ends.

Usage: python -m edgedraft.exporter.graph.worker_pack FLOAT_FOLDER OUTPUT_FOLDER PRECISION, or FLOAT_GRAPH in place of
the folder to pack the graph of a finished folder, which stays as it is.
"""

import sys
from pathlib import Path

import onnx_ir as ir

from edgedraft.exporter.graph.loading import fix_cache_shapes, load_graph, save_graph
from edgedraft.exporter.graph.packing import pack_model
from edgedraft.exporter.graph.precisions import FLOAT, precision_named
from edgedraft.exporter.graph.rope_switch import note_rope_switch

GRAPH, DATA = "model.onnx", "model.onnx.data"


def pack_folder(built: Path, output: Path, name: str) -> None:
    """Write the folder's model to ``output`` in the precision called ``name``; move the rest of its files there."""
    precision = precision_named(name)
    model = load_graph(built / GRAPH)
    laid_out = (built / DATA).is_file()  # as the model builder leaves it
    fix_cache_shapes(model)
    note_rope_switch(model)
    if precision.layout == FLOAT and laid_out:
        (built / DATA).replace(output / DATA)
        ir.save(model, output / GRAPH)
    else:
        pack_model(model, precision)
        save_graph(model, output / GRAPH, DATA)
    for file in built.iterdir():
        if file.is_file() and not file.name.startswith(GRAPH):
            file.replace(output / file.name)


def pack_graph(graph: Path, output: Path, name: str) -> None:
    """Write the model of a finished float folder, without its other files, to ``output`` in another precision."""
    model = load_graph(graph)
    pack_model(model, precision_named(name))
    save_graph(model, output / GRAPH, DATA)


if __name__ == "__main__":
    source, arguments = Path(sys.argv[1]), (Path(sys.argv[2]), sys.argv[3])
    if source.is_file():
        pack_graph(source, *arguments)
    else:
        pack_folder(source, *arguments)
