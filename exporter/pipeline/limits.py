"""Refusing models that a provider or a device cannot hold, as early as their sizes are known."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from edgedraft.devices.profile import LAPTOP, DeviceProfile
from edgedraft.exporter.bundle.layer import require_cpu
from edgedraft.exporter.bundle.writing import check_weights
from edgedraft.exporter.graph.head import ROW_TILE
from edgedraft.exporter.graph.precisions import Precision, precision_named
from edgedraft.exporter.graph.providers import CPU, TARGET, Provider, check_files, check_tensor
from edgedraft.exporter.models.eagle.pair import EaglePair
from edgedraft.exporter.models.pair import AnyPair
from edgedraft.exporter.models.sources import HUGGING_FACE, ModelSource
from edgedraft.exporter.planning.ranking import index_map
from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.base.records import require


def provider_on(provider: Provider, profile: DeviceProfile | None) -> Provider:
    """Return the provider on a device (None: this machine); a laptop's GPU binds more than every GPU must."""
    laptop = profile is None or profile.kind == LAPTOP
    return replace(provider, largest_tensor_bytes=None) if laptop else provider


def check_source(source: ModelSource, role: str, precision: str, provider: Provider) -> None:
    """Refuse a model before it is converted, where its configuration tells how large its tables become."""
    if source.kind == HUGGING_FACE and provider.largest_tensor_bytes is not None:
        nbytes = table_bytes(read_json(source.path / "config.json", infinite=True), role, precision_named(precision))
        if nbytes is not None:
            check_tensor(provider, f"{role}: the token table of {source.name} in {precision}", nbytes)


def table_bytes(config: Mapping[str, Any], role: str, precision: Precision) -> int | None:
    """Return bytes of the larger of token table and head, without scales; None where the configuration does not say.

    A drafter's head is cut, so only its token table counts.
    """
    text = {**config, **(config.get("text_config") or {})}
    rows, width = text.get("vocab_size"), text.get("hidden_size")
    if not isinstance(rows, int) or not isinstance(width, int):
        return None
    bits = max(precision.embedding_bits, precision.bits) if role == TARGET else precision.embedding_bits
    return rows * width * bits // 8


def check_pair(pair: AnyPair, provider: Provider, profile: DeviceProfile | None, size: int | None = None) -> None:
    """Refuse a converted pair that cannot be held with ``size`` draft tokens; None asks whether it can with any."""
    size = size or min(ROW_TILE, pair.most_draft_tokens)
    if isinstance(pair, EaglePair):
        require_cpu(provider)
        return
    rule = f"provider: {pair.recurrent}: recurrent states are kept by the cpu alone"
    fits = pair.recurrent is None or provider.name == CPU
    require(fits, rule, got=provider.name, remedy="leave out --provider, or give models with attention alone")
    check_weights(pair, index_map(np.arange(pair.vocab_size), size), provider)
    if profile is not None:
        check_files(provider, profile, pair.stored_bytes(size))
