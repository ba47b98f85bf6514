"""What does trimming the head gain in VocabTrim's own setting: an EAGLE-2 layer for Llama-3.2-3B, on this machine?

    python -m tests.benchmarks.vocabtrim_shapes build [--folder FOLDER]
    python -m tests.benchmarks.vocabtrim_shapes times [--folder FOLDER] [--seconds S] [--json FILE]

``build`` writes a target of the shape of Llama-3.2-3B and a layer of EAGLE-2, both int4 with random weights: bytes and
time do not depend on values. The layer borrows the target's head of 128,256 rows, whole and trimmed to --kept rows.
``times`` takes turns between all passes, with a target's pass before each of the drafter's. MBSU is VocabTrim's
τ / (c · γ + 1), with c counted in parameters, in bytes and in measured time. The ratio is for equal τ; a loss of τ is
not in it. Source: VocabTrim, arXiv 2506.22694.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from edgedraft.console import Console
from edgedraft.exporter.graph.eagle.assembling import assemble
from edgedraft.exporter.graph.eagle.checkpoint import EAGLE, EagleCheckpoint, EagleLayout
from edgedraft.exporter.graph.head import trim_head
from edgedraft.exporter.graph.loading import load_graph, model_size
from edgedraft.exporter.graph.precisions import precision_named
from edgedraft.exporter.graph.taps import tap_target
from edgedraft.exporter.models.cache import cache_folder
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.statistics import memory_bound_speed_up
from edgedraft.runtime.onnx.eagle import EagleGraph
from edgedraft.runtime.onnx.features import features_of
from edgedraft.runtime.onnx.session import OnnxGraph, SessionSettings
from tests.benchmarks.eagle_steps import ROWS, spread, timed
from tests.benchmarks.llama_shapes import CONTEXT, EPSILON, LlamaShape, llama, save

SHAPE = LlamaShape(hidden=3072, intermediate=8192, layers=28, heads=24, kv_heads=8, head_size=128, vocab_size=128256)
KEPT, LENGTHS = 32900, (1, 2, 3, 4)
FULL, TRIMMED = "full", "trimmed"


def layer() -> EagleCheckpoint:
    """Return EAGLE-2's layer for the target, with random weights."""
    rng, hidden, inter = np.random.default_rng(1), SHAPE.hidden, SHAPE.intermediate
    keys = SHAPE.kv_heads * SHAPE.head_size
    shapes = {
        "fc": (hidden, 2 * hidden),
        "self_attn.q_proj": (hidden, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, hidden),
        "mlp.gate_proj": (inter, hidden),
        "mlp.up_proj": (inter, hidden),
        "mlp.down_proj": (hidden, inter),
    }
    weights = {f"{name}.weight": rng.standard_normal(shape, dtype=np.float32) * 0.02 for name, shape in shapes.items()}
    weights |= {"fc.bias": np.zeros(hidden, np.float32), "post_attention_layernorm.weight": np.ones(hidden, np.float32)}
    layout = EagleLayout(
        kind=EAGLE,
        hidden=hidden,
        target_hidden=hidden,
        intermediate=inter,
        heads=SHAPE.heads,
        kv_heads=SHAPE.kv_heads,
        head_size=SHAPE.head_size,
        vocab_size=SHAPE.vocab_size,
        context_length=CONTEXT,
        epsilon=EPSILON,
        rotary_speeds=5e5 ** (-np.arange(0, SHAPE.head_size, 2) / SHAPE.head_size),
        tapped_layers=(),
        residual_normed=False,
        head_normed=False,
        feeds_back_normed=False,
    )
    return EagleCheckpoint(name="eagle-2", layout=layout, weights=weights)


def build(folder: Path, kept: int) -> None:
    """Write the tapped target and both drafters."""
    target, checkpoint = llama(SHAPE), layer()
    for name in (FULL, TRIMMED):
        step = assemble(checkpoint, target, precision_named("int4"), CONTEXT).step
        if name == TRIMMED:
            trim_head(step, IndexMap(target_ids=np.arange(kept), target_vocab_size=SHAPE.vocab_size))
        save(step, folder / name)
    tap_target(target, checkpoint.layout)
    save(target, folder / "target")


def time_passes(folder: Path, seconds: float, times: dict[str, list[float]], console: Console) -> None:
    """Time all passes in turn; keys are "target 2", "full first 2", "trimmed next"."""
    settings = SessionSettings(threads=2, context_length=512)
    graph = OnnxGraph(folder / "target" / "model.onnx", settings)
    target, text = graph.new_model(), list(range(1000, 1128))
    console.say(f"kernels: {graph.kernels.name}")
    target.read(text)
    features = features_of(target.read(text[:8])).copy()
    layers = {name: EagleGraph(folder / name / "model.onnx", None, settings).new_layer() for name in (FULL, TRIMMED)}
    for each in layers.values():
        each.read(text[:64], np.repeat(features[:1], 64, 0))
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        for rows in ROWS:
            target.rewind(128)
            with timed(times[f"target {rows}"]):
                target.read(text[:rows])
            for name, each in layers.items():
                target.rewind(128)
                target.read(text[:1])
                with timed(times[f"{name} first {rows}"]):
                    _, states = each.read(text[:rows], features[:rows])
                with timed(times[f"{name} next"]):
                    each.read(text[:1], states)
                each.rewind(64)


def show(folder: Path, times: dict[str, list[float]], console: Console) -> None:
    sizes = {name: model_size(load_graph(folder / name / "model.onnx")) for name in ("target", FULL, TRIMMED)}
    whole, plain = sizes["target"], float(np.median(times["target 1"]))
    names = [*(f"first {rows}" for rows in ROWS), "next"]
    costs = ", ".join(f"v({rows}) = {np.median(times[f'target {rows}']) / plain:.2f}" for rows in ROWS[1:])
    console.say(
        f"target: {whole.parameters / 1e6:,.0f} M parameters, {whole.weight_bytes / 1e6:,.0f} MB a pass, "
        f"{spread(times['target 1'])} ms, {costs}; {len(times['target 1'])} turns"
    )
    console.table(
        ("head", "parameters, M", "MB", *(f"{name}, ms" for name in names), "next ÷ target"),
        [
            (
                name,
                f"{sizes[name].parameters / 1e6:.1f}",
                f"{sizes[name].weight_bytes / 1e6:.1f}",
                *(spread(times[f"{name} {each}"]) for each in names),
                f"{np.median(times[f'{name} next']) / plain:.3f}",
            )
            for name in (FULL, TRIMMED)
        ],
    )
    ratios = {
        "parameters": {name: sizes[name].parameters / whole.parameters for name in (FULL, TRIMMED)},
        "bytes": {name: sizes[name].weight_bytes / whole.weight_bytes for name in (FULL, TRIMMED)},
        "time": {name: float(np.median(times[f"{name} next"])) / plain for name in (FULL, TRIMMED)},
    }
    rows = []
    for what, costs_ in ratios.items():
        gains = [
            memory_bound_speed_up(1, costs_[TRIMMED], length) / memory_bound_speed_up(1, costs_[FULL], length)
            for length in LENGTHS
        ]
        rows.append((what, f"{costs_[FULL]:.3f}", f"{costs_[TRIMMED]:.3f}", *(f"{gain:.3f}×" for gain in gains)))
    header = ("c counted in", "c, full", "c, trimmed", *(f"MBSU trimmed ÷ full, γ {length}" for length in LENGTHS))
    console.table(header, rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=("build", "times"))
    parser.add_argument("--folder", type=Path, default=cache_folder(None) / "vocabtrim-shapes")
    parser.add_argument("--kept", type=int, default=KEPT)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--json", type=Path, help="adds to this file")
    options = parser.parse_args()
    console, times = Console(), defaultdict[str, list[float]](list)
    if options.mode == "build":
        build(options.folder, options.kept)
        return 0
    if options.json and options.json.is_file():
        times |= json.loads(options.json.read_text())
    time_passes(options.folder, options.seconds, times, console)
    show(options.folder, times, console)
    if options.json:
        options.json.write_text(json.dumps(times))
    return 0


if __name__ == "__main__":
    sys.exit(main())
