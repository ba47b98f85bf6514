"""Read a multi-token-prediction head from a checkpoint: first what its files declare, then its tensors alone."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgedraft.exporter.graph.eagle.attention import GATE
from edgedraft.exporter.graph.eagle.checkpoint import MTP, EagleCheckpoint, EagleLayout
from edgedraft.exporter.models.eagle.config_values import ConfigValues
from edgedraft.exporter.models.eagle.expected import HEAD_NORMS, TensorShapes
from edgedraft.exporter.models.eagle.layout import layer_sizes
from edgedraft.exporter.models.eagle.rotary import rotary_scale, rotary_speeds
from edgedraft.exporter.models.mtp.forms import EMBEDDING_NORM, JOIN, LAST_NORM, STATE_NORM, MtpForm, form_of
from edgedraft.exporter.models.whole_files import safetensors_header
from edgedraft.runtime.base.arrays import AnyArray, Float32Array
from edgedraft.runtime.base.errors import EdgedraftError, naming
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.tensors import read_weights

CONFIG = "config.json"
_QUERY, _FLOATS = "self_attn.q_proj", {"BF16": "f4", "F16": "f2", "F32": "f4", "F64": "f8"}
_LATENT, _EXPERTS = ("kv_a_proj", "kv_b_proj", "q_a_proj", "q_b_proj"), ("mlp.experts", "mlp.gate.", "shared_expert")
_ROTARY_PAIRS = 8  # GroupQueryAttention: the kernel turns so many pairs at a time
_OTHER = "give another drafter with --drafter"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StoredHead:
    """A head's form, and by stored name the file, the header's entry and the name within the head of its tensors."""

    form: MtpForm
    files: Mapping[str, Path]
    entries: Mapping[str, Any]
    leaves: Mapping[str, str]


def declared_mtp(folder: Path, name: str) -> EagleCheckpoint:
    """Return the head in ``folder`` as far as configuration and file headers tell; its tensors hold zeros.

    Raises `EdgedraftError` for a head that is not known, by its family, or by the tensor that is missing or misshapen.
    """
    return _declared(folder, name, stored_head(folder))


def read_mtp(folder: Path, name: str) -> EagleCheckpoint:
    """Return the head in ``folder`` with its weights; no other tensor of the checkpoint is read."""
    stored = stored_head(folder)
    declared = _declared(folder, name, stored)
    weights: dict[str, AnyArray] = {}
    for file in sorted(set(stored.files.values())):
        here = {each for each in stored.leaves if stored.files[each] == file}
        weights |= {stored.leaves[each]: array for each, array in read_weights(file, here).items()}
    return replace(declared, weights=_by_own_names(weights, stored.form, declared.layout))


def stored_head(folder: Path) -> StoredHead:
    """Find the tensors of the head in ``folder``; refuse a folder without one."""
    stored = find_head(folder)
    if stored is None:
        raise EdgedraftError(f"{folder}: expected a multi-token-prediction head", got="none", remedy=_OTHER)
    return stored


def find_head(folder: Path) -> StoredHead | None:
    """Find the tensors of the head in the safetensors files of ``folder``; None if there is none."""
    headers = {file: safetensors_header(file) for file in sorted(folder.glob("*.safetensors"))}
    files = {name: file for file, header in headers.items() for name in header}
    form = form_of(files)
    if form is None:
        return None
    leaves = form.leaves(files)
    entries = {name: headers[files[name]][name] for name in leaves}
    return StoredHead(form=form, files={name: files[name] for name in leaves}, entries=entries, leaves=leaves)


def _declared(folder: Path, name: str, stored: StoredHead) -> EagleCheckpoint:
    config = ConfigValues(folder / CONFIG)
    with naming(folder):
        _require_known(config, stored)
        layout = _layout(config, stored.form)
        shapes = _zeros(stored)
        _expected(layout, stored.form, shapes).check(shapes)
    return EagleCheckpoint(name=name, layout=layout, weights=_by_own_names(shapes, stored.form, layout))


def _require_known(config: ConfigValues, stored: StoredHead) -> None:
    """Refuse, by name, heads whose layers are computed in ways that are not known here."""
    form, leaves = stored.form, list(stored.leaves.values())
    what = f"multi-token-prediction head ({form.name})"
    layers = form.layers(stored.leaves)
    rule = f"{what}: one layer that feeds on itself is known"
    require(len(layers) <= 1, rule, got=f"layers {', '.join(map(str, layers))}", remedy=_OTHER)
    latent = config.value("kv_lora_rank") is not None or any(part in leaf for leaf in leaves for part in _LATENT)
    require(not latent, f"{what}: multi-head latent attention (MLA) is not known", remedy=_OTHER)
    experts = any(part in leaf for leaf in leaves for part in _EXPERTS)
    require(not experts, f"{what}: a layer with experts is not known", remedy=_OTHER)
    dedicated = config.flag("mtp_use_dedicated_embeddings", False)
    require(not dedicated, f"{what}: expected the target's token embedding, not one of its own", remedy=_OTHER)
    named = config.top.get("architectures")
    architecture = str(named[0]) if isinstance(named, list) and named else "none"
    rule = f"{what}: known in targets of {', '.join(form.architectures)}"
    require(architecture in form.architectures, rule, got=architecture, remedy=_OTHER)


def _layout(config: ConfigValues, form: MtpForm) -> EagleLayout:
    sizes = layer_sizes(config)
    speeds = rotary_speeds(config, sizes["head_size"], partial=True)
    rule = f"{config.path}: rotary embedding: expected a multiple of {2 * _ROTARY_PAIRS} values of a head"
    require(len(speeds) % _ROTARY_PAIRS == 0, rule, got=2 * len(speeds))
    windowed = config.flag("use_sliding_window", True) and config.value("sliding_window") is not None
    if windowed:  # a longer text would be read through a window: drafting ends there
        sizes["context_length"] = min(sizes["context_length"], config.size("sliding_window"))
    return EagleLayout(
        **sizes,
        kind=MTP,
        target_hidden=sizes["hidden"],
        rotary_speeds=speeds,
        rotary_scale=rotary_scale(config),
        tapped_layers=(config.size("num_hidden_layers"),) if form.before_final_norm else (),
        residual_normed=False,
        head_normed=True,
        feeds_back_normed=True,
        states_first=form.states_first,
        first_row_blank=form.first_row_blank,
    )


def _expected(layout: EagleLayout, form: MtpForm, found: Mapping[str, AnyArray]) -> TensorShapes:
    """Return the tensors of a head by its form's names; ``found`` decides whether heads are normalised."""
    hidden, heads, groups = layout.hidden, layout.heads * layout.head_size, layout.kv_heads * layout.head_size
    products = {
        _QUERY: (heads * (1 + form.gated), hidden),
        "self_attn.k_proj": (groups, hidden),
        "self_attn.v_proj": (groups, hidden),
        "self_attn.o_proj": (hidden, heads),
        "mlp.gate_proj": (layout.intermediate, hidden),
        "mlp.up_proj": (layout.intermediate, hidden),
        "mlp.down_proj": (hidden, layout.intermediate),
        form.names[JOIN].removesuffix(".weight"): (hidden, 2 * hidden),
    }
    joining = [form.names[name] for name in (EMBEDDING_NORM, STATE_NORM, LAST_NORM)]
    norms = dict.fromkeys([*joining, "input_layernorm.weight", "post_attention_layernorm.weight"], (hidden,))
    if form.head_norms or any(name in found for name in HEAD_NORMS):
        norms |= dict.fromkeys(HEAD_NORMS, (layout.head_size,))
    biases: dict[str, tuple[int | None, ...]] = {f"{name}.bias": shape[:1] for name, shape in products.items()}
    needed: dict[str, tuple[int | None, ...]] = {f"{name}.weight": shape for name, shape in products.items()}
    return TensorShapes(needed=needed | norms, optional=biases, kind="MTP")


def _zeros(stored: StoredHead) -> dict[str, AnyArray]:
    """Return arrays of the declared shapes and types, which take no memory."""
    arrays: dict[str, AnyArray] = {}
    for name, leaf in stored.leaves.items():
        zero = np.zeros((), dtype=_FLOATS.get(stored.entries[name]["dtype"], "i1"))
        arrays[leaf] = np.broadcast_to(zero, tuple(stored.entries[name]["shape"]))
    return arrays


def _by_own_names(weights: Mapping[str, AnyArray], form: MtpForm, layout: EagleLayout) -> dict[str, Float32Array]:
    """Return tensors by the names of `EagleCheckpoint`, norms as factors, and queries apart from their gate."""
    own = {theirs: ours for ours, theirs in form.names.items()}
    own |= {name.replace("weight", "bias"): each.replace("weight", "bias") for name, each in own.items()}
    made = {own.get(name, name): array for name, array in weights.items()}
    if form.norms_from_one:
        made |= {name: array + np.float32(1) for name, array in made.items() if "norm" in name}
    for part in ("weight", "bias") if form.gated else ():
        if (both := made.get(f"{_QUERY}.{part}")) is not None:
            pairs = both.reshape(layout.heads, 2, layout.head_size, *both.shape[1:])
            query, gate = (np.ascontiguousarray(pairs[:, place]).reshape(-1, *both.shape[1:]) for place in (0, 1))
            made |= {f"{_QUERY}.{part}": query, GATE.replace("weight", part): gate}
    return made
