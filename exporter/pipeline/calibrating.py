"""Calibrating a pair: how its answers are made, in the cache folder that is named after all that decides them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgedraft.calibration.answers.batched import Draws, OneByOne, batched_answering
from edgedraft.calibration.answers.completions import AnswerSpec
from edgedraft.calibration.answers.endpoint import EndpointAnswering
from edgedraft.calibration.answers.sampling import Answering
from edgedraft.calibration.answers.server import Endpoint
from edgedraft.calibration.counts import RANKED_BY, TEXT, TokenCounts
from edgedraft.calibration.data.samples import RANK, SCORE
from edgedraft.calibration.prompts import Prompt, take
from edgedraft.calibration.ray_engine import RayOptions, answering_on_ray
from edgedraft.calibration.run import Calibration, CalibrationJob, LayerHandle, ModelHandle, calibrate
from edgedraft.calibration.trace.file import Trace
from edgedraft.exporter.graph.precisions import CHANNELS, TABLE
from edgedraft.exporter.models.convert import OnnxFolder
from edgedraft.exporter.models.eagle.pair import EaglePair
from edgedraft.exporter.models.eagle.tracing import open_scorer
from edgedraft.exporter.models.pair import AnyPair
from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.base.kept import short_sum
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require, to_plain
from edgedraft.runtime.core.batch import BATCH_ROWS, Batch
from edgedraft.runtime.core.limits import Limits
from edgedraft.runtime.onnx.session import OnnxGraph
from edgedraft.runtime.text.codec import TextCodec

_ANSWERS_VERSION = 2  # of how answers come about: raise it when the same facts would give other answers


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptSet:
    """The prompts of a job, their name for the card, and how many tokens each answer may have."""

    name: str
    prompts: tuple[Prompt, ...]
    max_new_tokens: int

    def at_most(self, per_half: int | None) -> "PromptSet":
        """Return the set with the first ``per_half`` prompts of each half."""
        kept = take(self.prompts, RANK, per_half) + take(self.prompts, SCORE, per_half)
        return replace(self, prompts=kept)


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerSettings:
    """Settings for generating answers. Decoding is greedy if ``draws`` is None.

    If ``endpoint`` is set, that server answers as the target; with ``cluster``, a Ray cluster sends it the requests.
    ``sources`` rank tokens, the most important first; ``text`` holds counts of the user's own text. ``batch_rows``
    answers are generated at once.
    """

    sources: tuple[str, ...] = RANKED_BY
    text: TokenCounts | None = None
    draws: Draws | None = None
    endpoint: Endpoint | None = None
    cluster: RayOptions | None = None
    batch_rows: int = BATCH_ROWS

    def __post_init__(self) -> None:
        remedy = "count it with edgedraft calibrate count"
        require(TEXT not in self.sources or self.text is not None, "ranking by text needs counted text", remedy=remedy)
        asked = self.cluster is None or self.endpoint is not None
        require(asked, "ray asks a server for answers", got="none", remedy="name one with --generate-with")
        if self.draws is not None:
            warm = self.draws.settings.temperature > 0
            require(warm, "a penalty or a bias needs a temperature above 0 here", got=0, remedy="give --temperature")

    def facts(self, max_new_tokens: int) -> dict[str, Any]:
        """Return everything that decides an answer beside model and prompt, as plain data."""
        served = {} if self.endpoint is None else {"endpoint": self.endpoint.url, "served": self.endpoint.model}
        return {"max_new_tokens": max_new_tokens, "draws": to_plain(self.draws), **served}


def calibrate_pair(
    pair: AnyPair,
    prompts: PromptSet,
    cache: Path,
    progress: Progress = silent,
    settings: AnswerSettings | None = None,
) -> Calibration:
    """Calibrate, or take from ``cache`` what was done before."""
    settings = settings or AnswerSettings()
    check_text(pair.codec, settings.text)
    facts = settings.facts(prompts.max_new_tokens)
    job = CalibrationJob(
        prompts=prompts.prompts,
        sources=tuple(source for source in settings.sources if source != TEXT),
        draws=settings.draws,
        vocab_size=pair.vocab_size,
        folder=cache / "calibration" / _key(pair, prompts, facts, pair.drafter.key),
        target_folder=cache / "answers" / _key(pair, prompts, facts),
        options=facts,
    )
    limits = Limits(max_new_tokens=prompts.max_new_tokens, end_token_ids=pair.end_token_ids)
    spec = AnswerSpec(limits=limits, vocab_size=pair.vocab_size, draws=settings.draws)
    by_target = (
        local_answering(pair.target, lambda: pair.target_graph, limits, settings)
        if settings.endpoint is None
        else served_answering(settings.endpoint, pair.codec, spec, settings.cluster)
    )
    target = ModelHandle(name=pair.target.key, answering=by_target, open_model=lambda: pair.target_model)
    made = calibrate(job, target, _drafter(pair, limits, settings), pair.codec, progress)
    text = {TEXT: settings.text.fitted(pair.vocab_size)} if settings.text else {}
    everything = {**made.ranking, **text}
    return replace(made, ranking={source: everything[source] for source in settings.sources})


def _drafter(pair: AnyPair, limits: Limits, settings: AnswerSettings) -> ModelHandle | LayerHandle:
    name = pair.drafter.key
    if isinstance(pair, EaglePair):
        return LayerHandle(name=name, open_scorer=lambda depths: open_scorer(pair, depths))
    answering = local_answering(pair.drafter, lambda: pair.drafter_graph, limits, settings)
    return ModelHandle(name=name, answering=answering, open_model=lambda: pair.drafter_model)


def require_trace_of(pair: AnyPair, trace: Trace, where: str) -> None:
    """Refuse a saved trace of another kind of drafter: with depths of a layer, without them of an independent one."""
    kinds = ("an independent drafter", "a drafter that reads the target's states")
    own, traced = isinstance(pair, EaglePair), trace.most_drafts is not None
    remedy = f"calibrate with {pair.drafter.source.name}"
    require(
        own == traced, f"{where}: expected the trace of {kinds[own]}", got=f"that of {kinds[traced]}", remedy=remedy
    )


def check_text(codec: TextCodec, text: TokenCounts | None) -> None:
    """Refuse counts of another tokenizer before minutes of sampling."""
    if text is not None:
        counted = text.provenance.tokenizer_fingerprint
        rule = f"counted text: expected the tokenizer {codec.fingerprint[:12]}"
        require(codec.has_fingerprint(counted), rule, got=counted[:12])


def local_answering(
    folder: OnnxFolder, graph: Callable[[], OnnxGraph], limits: Limits, settings: AnswerSettings
) -> Answering:
    """Answer by our own runtime, one at a time where a pass mixes what its rows hold."""
    alone = folder.precision in TABLE and TABLE[folder.precision].layout == CHANNELS

    def batch() -> Batch:
        return OneByOne(graph().new_model()) if alone else graph().batch(settings.batch_rows)

    return batched_answering(batch, limits, settings.draws)


def served_answering(endpoint: Endpoint, codec: TextCodec, spec: AnswerSpec, cluster: RayOptions | None) -> Answering:
    """Answer by a server that runs the target; a ``cluster`` sends it the requests."""
    answering = EndpointAnswering(endpoint=endpoint, codec=codec, spec=spec)
    return answering if cluster is None else answering_on_ray(answering, cluster)


def _key(pair: AnyPair, prompts: PromptSet, facts: Mapping[str, Any], *drafter: str) -> str:
    """Name the folder of a calibration; without a ``drafter`` that of the target's answers."""
    text = text_facts(pair.target.path, pair.codec, pair.end_token_ids)
    return answers_key([pair.target.key, *drafter], prompts, facts, text)


def answers_key(models: list[str], prompts: PromptSet, facts: Mapping[str, Any], text: list[Any]) -> str:
    """Name answers of ``models`` to ``prompts`` after all that decides them; ``text`` is from `text_facts`."""
    asked = [[prompt.id, prompt.split, prompt.digest] for prompt in prompts.prompts]
    return short_sum([_ANSWERS_VERSION, *models, facts, asked, *text])


def text_facts(folder: Path, codec: TextCodec, end_token_ids: Sequence[int]) -> list[Any]:
    """Return what decides answers beside the models' own settings: other ends, and tokens that begin a bare prompt."""
    stated = read_json(folder / "genai_config.json")["model"]["eos_token_id"]
    own = set(stated if isinstance(stated, list) else [stated])
    ends = [] if own == set(end_token_ids) else [list(end_token_ids)]
    special = [] if codec.has_template else [codec.special.before, codec.special.behind]
    return [*ends, *special]
