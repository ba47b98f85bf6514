"""A target and EAGLE drafters that agree with it often but not always, by construction and without training.

The target is a Llama of two layers. Its first layer adds little and its token embedding has rows of unit size, so the
second layer reads nearly the tokens themselves. An EAGLE layer with the second layer's weights then predicts nearly
what the target does. EAGLE-3 adds to the target's state instead of the token: four additional heads pass the token on,
and everything that the layer adds is so large that the state has little effect.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from edgedraft.exporter.graph.eagle.assembling import assemble
from edgedraft.exporter.graph.eagle.checkpoint import EagleCheckpoint
from edgedraft.exporter.graph.loading import fix_cache_shapes, load_graph
from edgedraft.exporter.graph.precisions import TABLE
from edgedraft.exporter.graph.taps import tap_target, target_shape
from edgedraft.exporter.models.eagle.fitting import fitted
from edgedraft.exporter.models.eagle.reading import read_eagle
from edgedraft.exporter.models.worker_build import build
from edgedraft.runtime.onnx.eagle import EagleGraph
from edgedraft.runtime.onnx.eagle_source import EagleSources
from edgedraft.runtime.onnx.session import OnnxGraph, SessionSettings
from tests.exporter.families import quiet, save_tokenizer
from tests.plain_eagle import EPSILON, HIDDEN, INTER, KV_HEADS, VOCAB, Trainer, save_checkpoint

HEADS, HEAD_SIZE, KEPT = 4, 32, 640
_LAYER = "model.layers.1."
_SHARP, _LOUD = 2.0, 8.0
_BASE = {
    "hidden_size": HIDDEN,
    "intermediate_size": INTER,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "rms_norm_eps": EPSILON,
    "vocab_size": VOCAB,
    "max_position_embeddings": 512,
    "head_dim": HEAD_SIZE,
}
AGREEING = {
    "EAGLE-2": Trainer(config=_BASE, prefix="layers.0.", eagle3=False, head=False, head_normed=False, entering=()),
    "EAGLE-3": Trainer(
        config={
            "transformer_layer_config": {**_BASE, "num_attention_heads": 2 * HEADS, "num_key_value_heads": 2 * HEADS},
            "draft_vocab_size": KEPT,
            "eagle_aux_hidden_state_layer_ids": [0, 1, 1],
            "norm_output": True,
        },
        prefix="layers.0.",
        feeds_back_normed=True,
    ),
}


@dataclass(frozen=True, kw_only=True)
class BorrowingPair:
    """A tapped target and a drafter's sources, loaded, with the paths of the checkpoint and of the target's weights."""

    target: OnnxGraph
    sources: EagleSources
    checkpoint: Path
    weights: dict[str, torch.Tensor]


def save_target(folder: Path) -> dict[str, torch.Tensor]:
    """Write the target as transformers does; return its weights."""
    torch.manual_seed(0)
    config = LlamaConfig(**_BASE, num_hidden_layers=2, tie_word_embeddings=False, bos_token_id=0, eos_token_id=1)
    model = LlamaForCausalLM(config).float()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 2:
                quiet = "layers.0." in name and name.endswith(("o_proj.weight", "down_proj.weight"))
                weight.normal_(0.0, (0.05 if quiet else 1.5) / weight.shape[1] ** 0.5)
        table = model.model.embed_tokens.weight
        table.div_(table.pow(2).mean(-1, keepdim=True).sqrt())
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def eagle2_state(weights: dict[str, torch.Tensor], mixed: float = 0.0) -> dict[str, torch.Tensor]:
    """The second layer, reading the token and, ``mixed`` in by a random matrix of that size, the state."""
    layer = {name.removeprefix(_LAYER): weights[name] for name in weights if name.startswith(_LAYER)}
    state = {f"layers.0.{name}": tensor for name, tensor in layer.items() if name != "input_layernorm.weight"}
    noise = torch.randn(HIDDEN, HIDDEN, generator=torch.Generator().manual_seed(3)) / HIDDEN**0.5
    return state | {"fc.weight": torch.cat([torch.eye(HIDDEN), mixed * noise], 1)}


def eagle3_state(weights: dict[str, torch.Tensor], mixed: float = 0.0) -> dict[str, torch.Tensor]:
    """The second layer, with heads that find the row's own token and pass it on.

    The states have little effect; more by ``mixed``, the size of a random matrix on the first of them.
    """
    layer = {name.removeprefix(_LAYER): weights[name] for name in weights if name.startswith(_LAYER)}
    nothing, one = torch.zeros(HIDDEN, HIDDEN), torch.eye(HIDDEN)
    noise = torch.randn(HIDDEN, HIDDEN, generator=torch.Generator().manual_seed(3)) / HIDDEN**0.5
    group = HEADS // KV_HEADS
    added = {"q": _SHARP * one, "k": _SHARP * one, "v": one}
    state = {}
    for part, own in added.items():
        taken = layer[f"self_attn.{part}_proj.weight"]
        if part != "q":  # a key and a value for each query: all eight heads then have their own
            taken = taken.view(KV_HEADS, HEAD_SIZE, HIDDEN).repeat_interleave(group, 0).reshape(-1, HIDDEN)
        both = torch.cat([taken, own])
        state[f"layers.0.self_attn.{part}_proj.weight"] = torch.cat([both, torch.zeros_like(both)], 1)
    state["layers.0.self_attn.o_proj.weight"] = _LOUD * torch.cat([layer["self_attn.o_proj.weight"], one], 1)
    for name in ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj", "post_attention_layernorm"):
        state[f"layers.0.{name}.weight"] = layer[f"{name}.weight"] * (_LOUD if name == "mlp.down_proj" else 1)
    for name in ("layers.0.input_layernorm", "layers.0.hidden_norm", "norm"):
        state[f"{name}.weight"] = torch.ones(HIDDEN)
    ids = torch.from_numpy(np.sort(np.random.default_rng(0).permutation(VOCAB)[:KEPT]))
    state |= {
        "fc.weight": torch.cat([0.02 * one + mixed * _LOUD * noise, nothing, nothing], 1),
        "lm_head.weight": weights["lm_head.weight"][ids],
    }
    return state | {"d2t": ids - torch.arange(KEPT), "t2d": torch.zeros(VOCAB).index_fill(0, ids, 1).bool()}


def save_pair(root: Path, tokenizer: Path) -> dict[str, Path]:
    """Write the target, with another model's tokenizer and chat template, and both drafters; return the folders."""
    weights = save_target(root / "target")
    for pattern in ("*token*", "chat_template*"):
        for file in tokenizer.glob(pattern):
            (root / "target" / file.name).write_bytes(file.read_bytes())
    states = {"EAGLE-2": eagle2_state, "EAGLE-3": eagle3_state}
    layers = {name: save_checkpoint(root / name, AGREEING[name], state(weights)) for name, state in states.items()}
    return {"target": root / "target", **layers}


def open_pair(root: Path, name: str, context_length: int = 128, mixed: float = 0.0) -> BorrowingPair:
    """Save, convert, tap and open the target (converted once per ``root``) and the drafter called ``name``.

    With ``mixed`` the states that the drafter reads change what it drafts.
    """
    weights = save_target(root / "target")
    if not (root / "built").is_dir():
        with quiet():
            build(root / "target", root / "built")
    trainer = AGREEING[name]
    checkpoint = save_checkpoint(
        root / name, trainer, (eagle3_state if trainer.eagle3 else eagle2_state)(weights, mixed)
    )
    return assembled_pair(read_eagle(checkpoint), root / "built" / "model.onnx", checkpoint, weights, context_length)


def assembled_pair(
    read: EagleCheckpoint, graph: Path, checkpoint: Path, weights: dict[str, torch.Tensor], context_length: int
) -> BorrowingPair:
    """Tap the target in ``graph``, assemble the drafter that was ``read``, and open both from ``checkpoint``."""
    target = ir.external_data.load_to_model(load_graph(graph))
    fix_cache_shapes(target)
    read = fitted(read, target_shape(target))
    made = assemble(read, target, TABLE["fp32"], context_length)
    tap_target(target, read.layout)
    parts = {"target": target, "step": made.step} | ({} if made.fusing is None else {"fusing": made.fusing})
    for part, model in parts.items():
        ir.save(model, checkpoint / f"{part}.onnx")
    settings = SessionSettings(threads=2, context_length=context_length)
    fusing = checkpoint / "fusing.onnx" if made.fusing is not None else None
    drafter = EagleGraph(checkpoint / "step.onnx", fusing, settings)
    return BorrowingPair(
        target=OnnxGraph(checkpoint / "target.onnx", settings),
        sources=EagleSources(graph=drafter, index_map=made.index_map),
        checkpoint=checkpoint,
        weights=weights,
    )
