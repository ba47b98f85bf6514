"""Bundles of a tiny target and the layers that agree with it (`tests.laws.agreeing_eagle`), without planning."""

from pathlib import Path

import numpy as np

from edgedraft.exporter.bundle.token_order import SizeForecasts, TokenOrder
from edgedraft.exporter.bundle.writing import BundleContents
from edgedraft.exporter.models.eagle.pair import EaglePair
from edgedraft.exporter.models.pair import PairRequest, prepare_pair
from edgedraft.exporter.planning.ranking import index_map, scored_first
from edgedraft.runtime.onnx.session import SessionSettings

CONTEXT, TOKENS = 128, 1024


def open_layer(root: Path, name: str, target: str = "fp32", drafter: str = "fp32") -> EaglePair:
    """Convert the target in ``root`` and the layer called ``name``; both once per precision."""
    request = PairRequest(
        target=str(root / "target"),
        drafter=str(root / name),
        target_precision=target,
        drafter_precision=drafter,
        settings=SessionSettings(threads=2, context_length=CONTEXT),
    )
    pair = prepare_pair(request, root / "cache")
    assert isinstance(pair, EaglePair)
    return pair


def contents_of(pair: EaglePair, size: int, plan, calibration) -> BundleContents:
    """Contents with a random token order, of which ``size`` tokens are kept, and a forecast for every tile."""
    order = np.random.default_rng(0).permutation(TOKENS)
    ends = np.isin(order, pair.end_token_ids)
    order = scored_first(np.concatenate([order[ends], order[~ends]]), pair.head_ids)
    sizes = np.arange(64, len(pair.head_ids) + 1, 64)
    figures = {"coverage": np.full((len(sizes), 3), 0.5), "speeds": np.full((len(sizes), 5), 0.5)}
    return BundleContents(
        pair=pair,
        index_map=index_map(order, size),
        plan=plan(draft_vocab_size=size),
        calibration=calibration(),
        divergence=None,
        order=TokenOrder(token_ids=order, forecasts=SizeForecasts(sizes=sizes, **figures)),
    )
