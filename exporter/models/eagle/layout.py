"""Read the layout of an EAGLE layer from its configuration; two schemas use some keys differently."""

from typing import TypedDict

from edgedraft.exporter.graph.eagle.checkpoint import EAGLE, EAGLE3, EagleLayout
from edgedraft.exporter.models.eagle.config_values import ConfigValues
from edgedraft.exporter.models.eagle.rotary import rotary_scale, rotary_speeds
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import require

_TAPS = "eagle_aux_hidden_state_layer_ids"
_USED = "use_aux_hidden_state"
_EPSILON = 1e-6


def read_layout(config: ConfigValues, kind: str) -> EagleLayout:
    """Return the layout of a drafter of ``kind``, which is known from the names of its tensors."""
    layers = config.size_or("num_hidden_layers", 1)
    require(layers == 1, f"{config.path}: num_hidden_layers: only drafters of one layer are known", got=layers)
    sizes = layer_sizes(config)
    speculators = "transformer_layer_config" in config.top
    layer_output = config.flag("norm_output", not speculators)
    return EagleLayout(
        **sizes,
        kind=kind,
        target_hidden=config.size_or("target_hidden_size", sizes["hidden"]),
        rotary_speeds=rotary_speeds(config, sizes["head_size"]),
        rotary_scale=rotary_scale(config),
        tapped_layers=_tapped_layers(config) if kind == EAGLE3 else (),
        residual_normed=config.flag("norm_before_residual", False),
        # In speculators' schema norm_output feeds the normed state back; in SpecForge's it is the norm before the head.
        head_normed=kind == EAGLE3 and (speculators or layer_output),
        feeds_back_normed=kind == EAGLE3 and speculators and layer_output,
    )


class LayerSizes(TypedDict):
    """The fields of `EagleLayout` that every decoder's configuration states."""

    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_size: int
    vocab_size: int
    context_length: int
    epsilon: float


def layer_sizes(config: ConfigValues) -> LayerSizes:
    """Read the sizes of a decoder's layers; refuse layers that are not computed as Llama's are."""
    activation = config.value("hidden_act")
    require(activation in (None, "silu"), f"{config.path}: hidden_act: expected silu", got=repr(activation))
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    kv_heads = config.size_or("num_key_value_heads", heads)
    require(heads % kv_heads == 0, f"{config.path}: num_key_value_heads: expected a divisor of {heads}", got=kv_heads)
    head_size = config.size_or("head_dim", hidden // heads)
    require(head_size % 2 == 0, f"{config.path}: head_dim: expected an even number", got=head_size)
    epsilon = config.value("rms_norm_eps")
    return {
        "hidden": hidden,
        "intermediate": config.size("intermediate_size"),
        "heads": heads,
        "kv_heads": kv_heads,
        "head_size": head_size,
        "vocab_size": config.size("vocab_size"),
        "context_length": config.size_or("max_position_embeddings", 2048),
        "epsilon": _EPSILON if epsilon is None else config.positive("rms_norm_eps", epsilon),
    }


def _tapped_layers(config: ConfigValues) -> tuple[int, ...] | None:
    """Return the layers whose inputs are tapped; None if the configuration does not name them.

    SpecForge, AngelSlim and SGLang name them in ``eagle_config``, by the layer whose *output* is read. speculators and
    vLLM name them at the top level, by the layer that the state enters.
    """
    nest = config.group("eagle_config")
    require(nest.get(_USED, True) is True, f"{config.path}: {_USED}: drafters without tapped layers are not known")
    later, ids = (1, nest[_TAPS]) if nest.get(_TAPS) is not None else (0, config.value(_TAPS))
    if ids is None:
        return None
    if not isinstance(ids, list) or not ids or not all(type(each) is int and each + later >= 0 for each in ids):
        raise EdgedraftError(f"{config.path}: {_TAPS}: expected a list of layers", got=repr(ids))
    return tuple(each + later for each in ids)


def kind_of(names: set[str]) -> str:
    """Return the kind of layer that has tensors of these ``names``: EAGLE-3 norms the state, EAGLE-1 and 2 do not."""
    return EAGLE3 if "hidden_norm.weight" in names else EAGLE
