"""A tiny target with an EAGLE-2 and an EAGLE-3 layer that often agree with it, and bundles of them without planning."""

from pathlib import Path

import numpy as np

from edgedraft.exporter.bundle.token_order import SizeForecasts, TokenOrder
from edgedraft.exporter.bundle.writing import BundleContents
from edgedraft.exporter.models.eagle.pair import EaglePair
from edgedraft.exporter.models.pair import PairRequest, prepare_pair
from edgedraft.exporter.planning.ranking import index_map, scored_first
from edgedraft.runtime.onnx.session import SessionSettings
from tests.laws.agreeing_eagle import AGREEING, eagle2_state, eagle3_state, save_target
from tests.plain_eagle import save_checkpoint

CONTEXT, TOKENS = 128, 1024


def save_models(root: Path, texts: Path) -> None:
    """Write the target and both layers as trainers do; tokenizer and template are those in ``texts``."""
    weights = save_target(root / "target")
    for file in [*texts.glob("*token*"), *texts.glob("chat_template*")]:
        (root / "target" / file.name).write_bytes(file.read_bytes())
    for name, state in (("EAGLE-2", eagle2_state), ("EAGLE-3", eagle3_state)):
        save_checkpoint(root / name, AGREEING[name], state(weights))


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
