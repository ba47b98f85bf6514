"""Child process that turns a Hugging Face folder into a float32 graph with onnxruntime-genai's model builder.

Usage: python -m edgedraft.exporter.models.worker_build MODEL_FOLDER OUTPUT_FOLDER
"""

import sys
from pathlib import Path
from typing import Any

from edgedraft.exporter.graph.whole_weights import whole_weights

# A window's cache would be refused where the context is shorter, and forget what a rewind may need.
_OPTIONS = ["windowed_kv_cache=false"]


def build(weights: Path, output: Path) -> None:
    """Write the builder's folder for the CPU to ``output``."""
    from onnxruntime_genai.models.builder import create_model, parse_extra_options

    where = (None, str(weights), str(output), "fp32", "cpu", str(output / "builder-cache"))
    options = parse_extra_options(*where, _OPTIONS)
    flatten_rope(options["hf_details"]["hf_config"])
    with whole_weights():
        create_model(*where, **options)


def flatten_rope(config: Any) -> None:
    """Put Gemma 3's two rotary bases where the builder looks for them, in place.

    transformers 5 keeps one record of rotary settings for each kind of layer; the builder reads the base of the layers
    with a window from ``rope_local_base_freq``, and the rest from a single record.
    """
    for part in (config, getattr(config, "text_config", config)):
        by_layer = getattr(part, "rope_parameters", None) or {}
        if str(getattr(part, "model_type", "")).startswith("gemma3") and "full_attention" in by_layer:
            part.rope_local_base_freq = by_layer["sliding_attention"]["rope_theta"]
            part.rope_parameters = dict(by_layer["full_attention"])


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]))
