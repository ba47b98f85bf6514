"""The planner's quality gate: the target in its chosen precision against its own fp32 build, on a few answers."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from edgedraft.calibration.answers.sampling import Answer
from edgedraft.exporter.models.convert import AS_EXPORTED, convert
from edgedraft.exporter.models.pair import Pair
from edgedraft.exporter.pipeline.quality import divergence
from edgedraft.runtime.base.files import read_json, write_json
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import from_plain, require, to_plain
from edgedraft.runtime.bundle.manifest import DivergenceEntry
from edgedraft.runtime.onnx.session import open_model

JUDGED_ANSWERS = 8

_FLOAT = "fp32"


def target_divergence(
    pair: Pair, answers: Sequence[Answer], cache: Path, progress: Progress = silent
) -> DivergenceEntry:
    """How far the pair's target strays from its fp32 build on the first answers; measured once, then from ``cache``."""
    remedy = "start from the model the folder was exported from"
    exported = pair.target.precision == AS_EXPORTED
    require(not exported, "--max-divergence: an ONNX folder has no fp32 build to compare with", remedy=remedy)
    judged = answers[:JUDGED_ANSWERS]
    float_target = convert(pair.target.source, _FLOAT, cache, progress, pair.target.export_backend)
    facts = [pair.target.key, float_target.key, [[*entry.prompt_ids, -1, *entry.token_ids] for entry in judged]]
    kept = cache / "quality" / f"{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]}.json"
    if kept.exists():
        return from_plain(DivergenceEntry, read_json(kept), str(kept))
    own = float_target.key == pair.target.key
    reference = pair.target_model if own else open_model(float_target.graph, pair.settings)
    measured = divergence(pair.target.precision, reference, pair.target_model, judged, progress)
    write_json(kept, to_plain(measured))
    return measured
