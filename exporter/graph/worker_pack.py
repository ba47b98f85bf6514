"""Child process that packs a float ONNX folder's weights in a precision; its memory is freed when it ends.

Usage: python -m edgedraft.exporter.graph.worker_pack FLOAT_FOLDER OUTPUT_FOLDER PRECISION
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


if __name__ == "__main__":
    pack_folder(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
