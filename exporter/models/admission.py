"""Admission: decide from a model's configuration, before weights are read, whether it is converted."""

from collections.abc import Mapping
from typing import Any

from edgedraft.exporter.graph.interface import require_readable
from edgedraft.exporter.models.families import ModelFamily, by_architecture, by_gguf, unsupported
from edgedraft.exporter.models.gguf_header import gguf_architecture, read_gguf_header
from edgedraft.exporter.models.gguf_rotary import dropped_positions
from edgedraft.exporter.models.layers import refuse_layers
from edgedraft.exporter.models.sources import GGUF, HUGGING_FACE, ONNX, ModelSource, onnx_file
from edgedraft.exporter.models.via_optimum import BUILDER
from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.base.records import require

_CONFIG = "config.json"
_UNPACKED_BY_THE_BUILDER = ("mxfp4", "fp8")
_ATTENTION = ("attention", "full_attention")
_LAYERS = {
    "Granite 4": _ATTENTION,
    "Qwen 3.5": ("linear_attention", "full_attention"),
    "LFM2": ("conv", "full_attention"),
}
"""The kinds of layers that are converted, of families that have several."""


def require_supported(source: ModelSource, export_backend: str) -> None:
    """Refuse a model that ``export_backend`` does not convert correctly; the error names its family and alternatives.

    An ONNX graph is not converted, so it passes; see `require_readable_graph`.
    """
    if source.kind == ONNX:
        return
    if source.kind == HUGGING_FACE:
        refuse_layers(source.path)
    family, name = _of_gguf(source) if source.kind == GGUF else _of_config(source)
    if export_backend == BUILDER:
        if family.reason:
            raise unsupported(source.path, _label(family, name), family.reason, optimum=family.optimum)
    elif not family.optimum:
        reason = family.reason or "Optimum cannot export it"
        raise unsupported(source.path, _label(family, name), reason, optimum=False)


def require_readable_graph(source: ModelSource) -> None:
    """Refuse an ONNX graph whose inputs and outputs the runtime does not understand; other models pass."""
    if source.kind == ONNX:
        require_readable(onnx_file(source))


def _of_gguf(source: ModelSource) -> tuple[ModelFamily, str]:
    name = gguf_architecture(source.path)
    family = by_gguf(name)
    if family is None:
        reason = "transformers cannot unpack such files; give the model's Hugging Face folder where its family is taken"
        raise unsupported(source.path, f"the GGUF architecture {name}", reason, optimum=False)
    dropped = dropped_positions(name, [read_gguf_header(part) for part in source.parts or (source.path,)])
    rule = f"{source.path}: transformers drops {dropped} when it unpacks the file, and texts would be wrong"
    require(dropped is None, rule, remedy="give the model's Hugging Face folder")
    return family, name


def _of_config(source: ModelSource) -> tuple[ModelFamily, str]:
    where = source.path / _CONFIG
    config = read_json(where, infinite=True)
    require(isinstance(config, Mapping), f"{where}: expected an object", got=type(config).__name__)
    named = config.get("architectures")
    name = str(named[0]) if isinstance(named, list) and named else ""
    require(bool(name), f"{where}: no architectures", remedy="give the model's own configuration")
    family = by_architecture(name)
    if family is None:
        raise unsupported(source.path, f"the architecture {name}", "it is not known", optimum=False)
    _require_plain_weights(source, config)
    if family.name in _LAYERS:
        text = config.get("text_config")
        _require_layers(source, text if isinstance(text, Mapping) else config, family, _label(family, name))
    return family, name


def _require_plain_weights(source: ModelSource, config: Mapping[str, Any]) -> None:
    """Refuse weights that another tool quantized: they would be packed a second time, or not at all."""
    packed = config.get("quantization_config")
    method = str(packed.get("quant_method", "unknown")) if isinstance(packed, Mapping) else ""
    rule = f"{source.path}: expected float weights, not those that {method} has quantized"
    known = not method or method in _UNPACKED_BY_THE_BUILDER
    require(known, rule, remedy="give the model's own float weights; --target-precision quantizes them")


def _require_layers(source: ModelSource, config: Mapping[str, Any], family: ModelFamily, label: str) -> None:
    """Refuse those models of a mixed family that have experts, or layers of a kind that is not converted."""
    kinds = config.get("layer_types") or config.get("layers_block_type") or []
    known = _LAYERS[family.name]
    others = sorted({str(kind) for kind in kinds if kind not in known}) if isinstance(kinds, list) else [str(kinds)]
    experts = config.get("num_local_experts") or config.get("num_experts") or 0
    if others or experts:
        has = " and ".join([f"{experts} experts"] * bool(experts) + [f"{kind} layers" for kind in others])
        reason = f"its dense members alone are converted, and this one has {has}"
        if not experts and known is not _ATTENTION:
            reason = f"its members of {' and '.join(known)} layers alone are converted, and this one has {has}"
        raise unsupported(source.path, label, reason, optimum=False)


def _label(family: ModelFamily, name: str) -> str:
    return f"the family {family.name} ({name})"
