"""Corrections of onnxruntime-genai's model builder, where its graphs differ from transformers.

Each one changes the configuration that the builder reads, or replaces one of its methods. Every conversion is compared
with its source afterwards (see `edgedraft.exporter.equality`).
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from edgedraft.exporter.models.rotary import inverse_frequencies, rotary_tables

_EPSILONS = ("norm_eps", "layer_norm_eps", "layer_norm_epsilon")
_OLMO_EPSILON = 1e-5  # written into transformers' code, not into the configuration
_UNIT_LENGTH_EPSILON = 1e-6  # so is this one
_WINDOW, _WHOLE = "sliding_attention", "full_attention"

_Mend = tuple[Any, str, Callable[..., Any]]
"""A class of the builder, the name of one of its methods, and what takes its place."""


def mend_config(config: Any) -> None:
    """Put settings where the builder looks for them, in place.

    The builder knows one name for the epsilon of norms. It reads windows only if the kind of each layer is listed, and
    LongRoPE's original length only outside the rotary settings.
    """
    for part in {id(part): part for part in (config, config.get_text_config())}.values():
        epsilon = next((getattr(part, name) for name in _EPSILONS if getattr(part, name, None) is not None), None)
        if getattr(part, "model_type", "") == "olmo":
            epsilon = _OLMO_EPSILON
        if epsilon is not None and not hasattr(part, "rms_norm_eps"):
            part.rms_norm_eps = epsilon
        if getattr(part, "mtp_num_hidden_layers", None):
            part.mtp_num_hidden_layers = 0  # the head is a drafter; with it the builder asks for initializers it shares
        if getattr(part, "sliding_window", None) and getattr(part, "layer_types", None) is None:
            part.layer_types = [_WINDOW] * part.num_hidden_layers
        _mend_rope(part)


def _mend_rope(part: Any) -> None:
    """Put rotary settings where the builder looks for them, in place.

    transformers 5 has one record of rotary settings for each kind of layer of Gemma 3. The builder reads the base of
    layers with a window from ``rope_local_base_freq``, and everything else from a single record.
    """
    rope = getattr(part, "rope_parameters", None) or {}
    if str(getattr(part, "model_type", "")).startswith("gemma3") and _WHOLE in rope:
        part.rope_local_base_freq = rope[_WINDOW]["rope_theta"]
        part.rope_parameters = dict(rope[_WHOLE])
    if rope.get("rope_type") == "longrope":
        rope.setdefault("type", "longrope")
        part.original_max_position_embeddings = rope["original_max_position_embeddings"]
    elif getattr(part, "model_type", "") == "phi3":
        part.original_max_position_embeddings = part.max_position_embeddings


@contextmanager
def mended_methods(builder: Any, config: Any) -> Iterator[None]:
    """Replace methods of the classes in the module ``builder`` while it builds the model of ``config``.

    ``config`` is the configuration before `mend_config`.
    """
    source = copy.deepcopy(config.get_text_config())
    replaced = [*_rotary_mends(builder, source), _weight_mend(builder.Model), *_layer_mends(builder, source)]
    replaced.append(_unit_length_mend(builder))
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in replaced]
    try:
        for owner, name, method in replaced:
            setattr(owner, name, method)
        yield
    finally:
        for owner, name, method in before:
            setattr(owner, name, method)


def _rotary_mends(builder: Any, source: Any) -> Iterator[_Mend]:
    """Compute rotary tables as transformers does: for several families the builder ignores YaRN and linear factors."""
    base = builder.Model
    make_caches, from_scratch = base.make_rotary_embedding_caches, base.make_rotary_embedding_caches_from_scratch

    def make_rope_init(model: Any, config: Any) -> None:
        sections = config.rope_parameters.get("mrope_section")
        if sections is not None:
            model.rope_attrs.update(op_type="MRotaryEmbedding", mrope_section=sections)
        inverse_frequencies(source, _WHOLE, long=False)  # raises for a kind that transformers does not know
        model.own_tables = True

    def make_rotary_embedding_caches(model: Any, **names: str) -> Any:
        model.table_kind = _WINDOW if "local" in names.get("cos_cache_name", "") else _WHOLE
        return make_caches(model, **names)

    def make_tables(model: Any) -> Any:
        two_tables = "multi_cache" in model.rope_attrs
        if not hasattr(model, "own_tables") and not two_tables:
            return from_scratch(model)
        rows = model.rope_attrs["cache_length"]
        long = two_tables and rows != model.original_context_length
        return rotary_tables(source, getattr(model, "table_kind", _WHOLE), rows, long=long)

    yield base, "make_rotary_embedding_caches", make_rotary_embedding_caches
    for owner in (base, builder.GPTOSSModel):
        yield owner, "make_rotary_embedding_caches_from_scratch", make_tables
    for owner in (base, builder.LlamaModel):
        yield owner, "make_rope_init", make_rope_init


def _weight_mend(base: Any) -> _Mend:
    """Convert norms to float32 before an offset is added: bfloat16 would round the sum."""
    load_weights = base.load_weights

    def load_wide_norms(model: Any, path: str) -> Any:
        weights = load_weights(model, path)
        for parameter in weights.parameters() if hasattr(weights, "parameters") else ():
            if parameter.dim() == 1:
                parameter.data = parameter.data.float()
        return weights

    return base, "load_weights", load_wide_norms


def _unit_length_mend(builder: Any) -> _Mend:
    """Scale keys and queries of Qwen 3.5's recurrent layers as transformers does, with an epsilon.

    x / sqrt(sum(x^2) + e) is the norm by the root of the mean square with e / n, times 1 / sqrt(n).
    """

    def make_unit_length(model: Any, name: str, root_input: str, dtype: Any, shape: Any, **_: object) -> None:
        import torch

        size, weight, output = shape[-1], f"{name}.weight", f"{name}/output_0"
        model.make_initializer(torch.full((size,), size**-0.5), weight, to=dtype)
        kept = {"axis": -1, "epsilon": _UNIT_LENGTH_EPSILON / size, "stash_type": 1}
        model.make_node(
            "SimplifiedLayerNormalization", inputs=[root_input, weight], outputs=[output], name=name, **kept
        )
        model.make_value(output, dtype, shape=shape)

    return builder.Model, "make_lp_normalization", make_unit_length


def _layer_mends(builder: Any, source: Any) -> Iterator[_Mend]:
    """Correct Gemma's scale of embeddings, OLMo's norm, and layers without rotary embedding."""
    begin_gemma, make_norm = builder.GemmaModel.__init__, builder.OLMoModel.make_layernorm
    make_attention = builder.Model.make_attention
    rotated = getattr(source, "no_rope_layers", None)  # 1 where a layer rotates
    rotates_none = getattr(source, "position_embedding_type", "rope") != "rope"

    def exact_scale(model: Any, *arguments: Any) -> None:
        begin_gemma(model, *arguments)
        model.embed_attrs["scale"] = model.hidden_size**0.5  # the builder rounds it to two digits

    def mean_too(model: Any, layer: int, norm: Any, skip: bool, simple: bool, location: str) -> None:
        make_norm(model, layer, norm, skip, False, location)

    def as_declared(model: Any, layer: int, attention: Any, root_input: str, **options: Any) -> None:
        attributes = model.attention_attrs
        kept = {name: attributes[name] for name in ("rope", "use_rope_in_attn")}
        if rotates_none or (rotated is not None and not rotated[layer]):
            attributes.update(rope=False, use_rope_in_attn=False)
        make_attention(model, layer, attention, root_input, **options)
        attributes.update(kept)

    yield builder.GemmaModel, "__init__", exact_scale
    yield builder.OLMoModel, "make_layernorm", mean_too
    yield builder.Model, "make_attention", as_declared


def longest_context(config: Any) -> int | None:
    """Return the longest text that the built graph computes correctly, None if the configuration alone limits it.

    Ministral scales queries by their position beyond the original length, which the builder leaves out.
    """
    rope = getattr(config.get_text_config(), "rope_parameters", None) or {}
    return int(rope["original_max_position_embeddings"]) if rope.get("llama_4_scaling_beta") else None
