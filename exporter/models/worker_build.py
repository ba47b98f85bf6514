"""Child process that turns a Hugging Face folder into a float32 graph with onnxruntime-genai's model builder.

Usage: python -m edgedraft.exporter.models.worker_build MODEL_FOLDER OUTPUT_FOLDER [RESULT_FILE]

With a result file, the graph is compared with its source and the result is written there. If a tiny copy of the
configuration is converted wrongly, no weight is read and nothing is built.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# The check loads onnxruntime, which must come before the builder.
from edgedraft.exporter.equality.checking import check_configuration, check_weights
from edgedraft.exporter.graph.checkpoints import add_checkpoints
from edgedraft.exporter.graph.loading import load_graph
from edgedraft.exporter.graph.whole_weights import whole_weights
from edgedraft.exporter.models.builder_mends import longest_context, mend_config, mended_methods
from edgedraft.runtime.base.files import read_json, write_json
from edgedraft.runtime.base.kept import write_record

_OFFLINE = "HF_HUB_OFFLINE"
# A window's cache would be refused where the context is shorter, and forget what a rewind may need.
_OPTIONS = ("windowed_kv_cache=false",)


def build(weights: Path, output: Path, precision: str = "fp32", options: Sequence[str] = _OPTIONS) -> None:
    """Write the builder's folder for the CPU to ``output``; ``precision`` and ``options`` are the builder's own."""
    import onnx_ir as ir

    where = (None, str(weights), str(output), precision, "cpu", str(output / "builder-cache"))
    with _offline():
        from onnxruntime_genai.models import builder

        parsed = builder.parse_extra_options(*where, list(options))
        config = parsed["hf_details"]["hf_config"]
        limit = longest_context(config)
        with mended_methods(builder, config), whole_weights():
            mend_config(config)
            builder.create_model(*where, **parsed)
    graph = load_graph(output / "model.onnx")
    if add_checkpoints(graph):
        ir.save(graph, output / "model.onnx")
    if limit is not None:
        _limit_context(output / "genai_config.json", limit)


@contextmanager
def _offline() -> Iterator[None]:
    """Keep the hub's client from waiting for a network inside the block: the folder is whole."""
    online = _OFFLINE not in os.environ
    os.environ.setdefault(_OFFLINE, "1")
    try:
        yield
    finally:
        if online:
            del os.environ[_OFFLINE]


def _limit_context(file: Path, limit: int) -> None:
    settings = read_json(file)
    settings["model"]["context_length"] = min(settings["model"]["context_length"], limit)
    settings["search"]["max_length"] = settings["model"]["context_length"]
    write_json(file, settings)


def build_checked(weights: Path, output: Path, result_file: Path) -> None:
    """Build and compare; use `build` for a model whose conversion was compared before."""
    result = check_configuration(weights, build, output / "tiny")
    if result.acceptable:
        build(weights, output)
        result = check_weights(weights, output, result)
    write_record(result_file, result)


if __name__ == "__main__":
    weights_folder, output_folder, *result_file = map(Path, sys.argv[1:])
    if result_file:
        build_checked(weights_folder, output_folder, result_file[0])
    else:
        build(weights_folder, output_folder)
