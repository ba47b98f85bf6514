"""What does a step of a target's own multi-token-prediction head cost by the size of its LM head?

    python -m tests.benchmarks.mtp_steps [--sizes K ...] [--layers N] [--seconds S] [--json FILE]

A target of Qwen 3.5 0.8B's shape with random weights, its head among them, is made and converted to int4 once
(--layers: fewer layers of the target, which is quicker, and changes the target's passes alone). Then the head's passes
are timed in turn with the target's, as `tests.benchmarks.eagle_steps` times those of an EAGLE-3 layer, and the same
tables follow.
"""

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, Qwen3_5Config

from edgedraft.console import Console
from edgedraft.exporter.models.cache import cache_folder
from edgedraft.exporter.models.convert import convert
from edgedraft.exporter.models.eagle.converting import convert_layer
from edgedraft.exporter.models.eagle.pair import EaglePair
from edgedraft.exporter.models.layers import layer_source
from edgedraft.exporter.models.mtp.telling import CHOICE
from edgedraft.exporter.models.sources import resolve
from edgedraft.runtime.onnx.session import SessionSettings
from tests.benchmarks.eagle_steps import ACCEPTANCE, CONTEXT, PRECISION, show_steps, time_steps
from tests.exporter.families import save_tokenizer

SIZES, LAYERS, PERIOD = (248320, 65536, 32768, 16384, 8192), 24, 4
SHAPE: dict[str, Any] = {
    "hidden_size": 1024,
    "intermediate_size": 3584,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 256,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 16,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "vocab_size": 248320,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
    "mtp_num_hidden_layers": 1,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 1e7,
        "partial_rotary_factor": 0.25,
        "mrope_interleaved": True,
        "mrope_section": [11, 11, 10],
    },
}
TOWER = {
    "depth": 1,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_heads": 1,
    "out_hidden_size": SHAPE["hidden_size"],
    "num_position_embeddings": 16,
}


def random_target(folder: Path, layers: int) -> Path:
    """Write the checkpoint to ``folder``, unless it is there."""
    if (folder / "config.json").is_file():
        return folder
    torch.manual_seed(0)
    # Every fourth layer has full attention, the last among them.
    kinds = ["full_attention" if place % PERIOD == PERIOD - 1 else "linear_attention" for place in range(layers)]
    sizes = SHAPE | {"num_hidden_layers": layers, "layer_types": kinds}
    config = Qwen3_5Config(text_config=sizes, vision_config=TOWER, tie_word_embeddings=True)
    AutoModelForImageTextToText.from_config(config).to(torch.bfloat16).save_pretrained(folder / "body")
    state = load_file(folder / "body" / "model.safetensors")
    last, hidden = f"layers.{layers - 1}.", SHAPE["hidden_size"]
    state |= {f"mtp.layers.0.{name.split(last)[1]}": each.clone() for name, each in state.items() if last in name}
    state["mtp.fc.weight"] = (0.02 * torch.randn(hidden, 2 * hidden)).to(torch.bfloat16)
    norms = ("mtp.norm", "mtp.pre_fc_norm_embedding", "mtp.pre_fc_norm_hidden")
    state |= {f"{name}.weight": torch.zeros(hidden, dtype=torch.bfloat16) for name in norms}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    save_tokenizer(folder)
    (folder / "body" / "model.safetensors").unlink()
    for file in (folder / "body").iterdir():
        file.rename(folder / file.name)
    (folder / "body").rmdir()
    return folder


def opened(layers: int, threads: int) -> EaglePair:
    """Return the target with its head, converted."""
    cache = cache_folder(None)
    folder = random_target(cache / "mtp-steps" / f"random-{layers}", layers)
    target = convert(resolve(str(folder), cache), PRECISION, cache)
    source = layer_source(f"{folder}{CHOICE}", cache)
    assert source is not None
    settings = SessionSettings(threads=threads, context_length=CONTEXT)
    return EaglePair(target, convert_layer(source, target, PRECISION), settings)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--acceptance", type=float, nargs="+", default=ACCEPTANCE)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="adds to this file")
    options = parser.parse_args()
    console, times = Console(), defaultdict[str, list[float]](list)
    if options.json and options.json.is_file():
        times |= json.loads(options.json.read_text())
    pair = opened(options.layers, options.threads)
    console.say(f"kernels: {pair.target_graph.kernels.name}")
    time_steps(pair, tuple(options.sizes), options.seconds, times)
    show_steps(console, times, tuple(options.sizes), tuple(options.acceptance))
    if options.json:
        options.json.write_text(json.dumps(times))
    return 0


if __name__ == "__main__":
    sys.exit(main())
