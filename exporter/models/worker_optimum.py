"""Child process in Optimum's environment that turns a Hugging Face folder into a decoder graph with past.

Usage: python worker_optimum.py MODEL_FOLDER OUTPUT_FOLDER

It runs where only Optimum and what it pins are installed, so nothing of edgedraft is imported here.
"""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

_WHOLE_WEIGHTS = Path(__file__).parents[1] / "graph" / "whole_weights.py"

# What transformers 5 keeps per kind of attention, and where transformers 4 looks for its base.
_BASES = {"full_attention": "rope_theta", "sliding_attention": "rope_local_base_freq"}


def readable_by_4(config: dict[str, Any]) -> dict[str, Any]:
    """Translate a configuration to the form that transformers 4 reads.

    transformers 5 writes the rotary settings into ``rope_parameters``, which 4 ignores: it would take its default base
    of 10,000 and export another model without a word.
    """
    config = dict(config)
    rope: dict[str, Any] | None = config.pop("rope_parameters", None)
    if rope is None or "rope_theta" in config:
        return config
    by_kind = {kind: values for kind, values in rope.items() if isinstance(values, dict)}
    if not set(by_kind) <= set(_BASES):
        raise SystemExit(f"config.json: rope_parameters: unknown kinds of attention: {', '.join(sorted(by_kind))}")
    for kind, values in by_kind.items():
        config[_BASES[kind]] = values["rope_theta"]
    whole: dict[str, Any] = dict(by_kind.get("full_attention", rope))
    for key in ("rope_theta", "partial_rotary_factor"):
        if key in whole:
            config[key] = whole.pop(key)
    if whole.get("rope_type", "default") != "default":
        config["rope_scaling"] = whole
    return config


def export(model_folder: Path, output: Path) -> None:
    """Write ``output/model.onnx``, float32, and its data file where it is too large for one."""
    from optimum.exporters.onnx import onnx_export_from_model
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = readable_by_4(json.loads((model_folder / "config.json").read_text(encoding="utf-8")))
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    with runpy.run_path(str(_WHOLE_WEIGHTS))["whole_weights"]():
        model = AutoModelForCausalLM.from_pretrained(model_folder, config=config, dtype="float32")
    onnx_export_from_model(model, output, task="text-generation-with-past", do_validation=False)


if __name__ == "__main__":
    export(Path(sys.argv[1]), Path(sys.argv[2]))
