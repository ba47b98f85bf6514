"""Requests: the arguments of the pipeline's functions, frozen and checked when they are made, without heavy imports."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgedraft.calibration.counts import RANKED_BY, SOURCES, TEXT
from edgedraft.calibration.counts import TARGET as TARGET_ANSWERS
from edgedraft.exporter.graph.precisions import AUTO, PRECISIONS
from edgedraft.exporter.graph.providers import CPU, PROVIDERS
from edgedraft.exporter.models.via_optimum import BUILDER, EXPORT_BACKENDS
from edgedraft.runtime.base.cores import require_threads
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.batch import BATCH_ROWS
from edgedraft.runtime.core.conversation import MOST_ROWS
from edgedraft.runtime.core.model import CONTEXT_LENGTH
from edgedraft.runtime.core.plan import DecodingPlan
from edgedraft.runtime.core.policies import FIXED, PolicyChoice
from edgedraft.runtime.core.sampling import SamplingSettings

TARGET, DRAFTER = "qwen2.5-coder-1.5b-instruct", "qwen2.5-coder-0.5b-instruct"
LOCAL, RAY = "local", "ray"


@dataclass(frozen=True, kw_only=True, slots=True)
class PairInputs:
    """The pair of models, the prompts, and how the pair answers them; the base of the requests that sample a pair.

    - ``target``, ``drafter``: packaged names, files, folders or hub ids. The drafter may also be "mtp", the target's
      own multi-token-prediction head, or "auto": that head where the target's checkpoint carries one, else `DRAFTER`.
      ``other_drafters`` are for planning, which weighs them against ``drafter`` and takes the one that decodes fastest.
    - ``target_precisions``, ``drafter_precisions``, ``threads``: planning compares all that are given. "auto" takes the
      smallest precision that stays close to fp32. Without ``threads``, every core that this process may use is used.
    - ``prompts``: a reference that `edgedraft.calibration.prompts.read_prompts` reads; None for the packaged prompts.
    - ``sampling``: the settings for sampled answers; greedy if None.
    - ``generate_with``: the address of a server that answers as the target; this machine answers if None.
    - ``cache``: the folder for finished work; the user's cache folder if None.
    """

    target: str = TARGET
    drafter: str = AUTO
    other_drafters: tuple[str, ...] = ()
    target_precisions: tuple[str, ...] = (AUTO,)
    drafter_precisions: tuple[str, ...] = (AUTO,)
    export_backend: str = BUILDER
    prompts: str | Path | None = None
    prompts_per_half: int | None = None
    max_new_tokens: int = 64
    threads: tuple[int, ...] = ()
    context_length: int = CONTEXT_LENGTH
    cache: str | Path | None = None
    rank_by: tuple[str, ...] = RANKED_BY
    text_counts: str | Path | None = None
    batch_size: int = BATCH_ROWS
    generate_with: str | None = None
    served_model: str = ""
    concurrency: int = 8
    engine: str = LOCAL
    ray_address: str | None = None
    sampling: SamplingSettings | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        for field in ("target_precisions", "drafter_precisions"):
            names = getattr(self, field)
            _require_known(field, names, (AUTO, *PRECISIONS))
            rule = f"{field}: {AUTO} chooses by itself"
            remedy = f"give {AUTO} alone, or leave it out"
            require(AUTO not in names or len(names) == 1, rule, got=", ".join(names), remedy=remedy)
        drafters = (self.drafter, *self.other_drafters)
        require(len(set(drafters)) == len(drafters), "drafters: expected each once", got=", ".join(drafters))
        _require_known("export_backend", (self.export_backend,), EXPORT_BACKENDS)
        _require_known("rank_by", self.rank_by, SOURCES)
        _require_known("engine", (self.engine,), (LOCAL, RAY))
        names = ("prompts_per_half", "max_new_tokens", "context_length", "batch_size", "concurrency")
        _require_positive({name: getattr(self, name) for name in names})
        for threads in self.threads:
            require_threads(threads)
        require(self.seed is None or self.seed >= 0, "seed: expected 0 or more", got=self.seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrateRequest(PairInputs):
    """Sample a pair and report what draft vocabularies of each size would cover; save it to ``output`` if given."""

    output: str | Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FeaturesRequest(PairInputs):
    """Write training data for a drafter of ``target`` to the folder ``features``; no drafter is read.

    - ``layers``: the layers whose inputs the drafter reads; EAGLE-3's if empty.
    - ``vocab_size``: the number of tokens that it can draft, ranked by ``rank_by``: the target's answers, own text.
    """

    features: str | Path
    layers: tuple[int, ...] = ()
    vocab_size: int = 32000

    def __post_init__(self) -> None:
        PairInputs.__post_init__(self)
        rule = "features are the target's alone"
        named = (self.drafter, *self.other_drafters)
        require(named == (AUTO,), rule, got=f"drafter {', '.join(named)}", remedy="leave the drafter out")
        foreign = [source for source in self.sources if source not in (TARGET_ANSWERS, TEXT)]
        require(not foreign, f"{rule}: rank by {TARGET_ANSWERS} or {TEXT}", got=", ".join(foreign))
        require(self.vocab_size >= 1, "vocab_size: expected 1 or more", got=self.vocab_size)

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the sources that rank tokens; of the pair's usual ones the target's answers are left."""
        return (TARGET_ANSWERS,) if self.rank_by == RANKED_BY else self.rank_by


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanRequest(PairInputs):
    """Choose a plan for this machine, or for the device that a name or a profile file describes.

    - ``vocab_size``, ``draft_length``: chosen by the planner if None.
    - ``vocab``: a token map file whose tokens the drafter keeps, instead of the counted ones; ``vocab_kind``: its kind.
    - ``memory_budget``: the most memory that the plan may use, in bytes.
    - ``min_coverage``: the least share of tokens, 0..1, that the draft vocabulary must cover.
    - ``max_divergence``: how far the target may differ from its fp32 build, in nats per token.
    - ``device``, ``provider``: the device (None: this machine) and the execution provider to plan for.
    - ``calibration``: a saved calibration to use instead of sampling the models.
    - ``conversation_rows``: how many tokens of the text that the draft vocabulary lacks may be drafted beside it, 0 for
      none; of an independent drafter alone.
    - ``trials``: also search with so many trials and compare with the scan; ``storage``: the file that keeps them.
    - ``pictures``: the folder for the plan's pictures.
    """

    vocab_size: int | None = None
    vocab: str | Path | None = None
    vocab_kind: str | None = None
    draft_length: int | None = None
    memory_budget: int | None = None
    min_coverage: float = 0.0
    max_divergence: float | None = None
    device: str | Path | None = None
    provider: str = CPU
    calibration: str | Path | None = None
    conversation_rows: int = 0
    trials: int | None = None
    storage: Path | None = None
    pictures: Path | None = None

    def __post_init__(self) -> None:
        PairInputs.__post_init__(self)
        _require_known("provider", (self.provider,), tuple(PROVIDERS))
        names = (self.drafter, *self.other_drafters)
        fixed = self.calibration is None or not self.other_drafters
        remedy = "leave it out, so that each drafter is traced"
        require(fixed, "calibration: it holds the trace of one drafter", got=f"{len(names)} drafters", remedy=remedy)
        _require_positive(
            {name: getattr(self, name) for name in ("vocab_size", "draft_length", "memory_budget", "trials")}
        )
        rows = self.conversation_rows
        require(0 <= rows <= MOST_ROWS, f"conversation_rows: expected 0..{MOST_ROWS}", got=rows)
        whole = rows == 0 or self.calibration is None
        rule = "conversation_rows: a saved calibration holds no prompts to replay them on"
        require(whole, rule, got=rows, remedy="leave one of them out")
        require(0 <= self.min_coverage <= 1, "min_coverage: expected 0..1", got=self.min_coverage)
        within = self.max_divergence is None or self.max_divergence >= 0
        require(within, "max_divergence: expected 0 or more", got=self.max_divergence)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportRequest(PlanRequest):
    """Plan, and write the bundle to the folder ``output``; then push it to the hub repository ``push_to`` if given.

    Raises `EdgedraftError`, naming the field, for a value that is not allowed.

    >>> ExportRequest(target="folder/of/target", drafter="folder/of/drafter", prompts="mine.jsonl", output="bundle")
    ... # doctest: +SKIP
    """

    output: str | Path
    push_to: str | None = None
    private: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class QuickstartRequest(PlanRequest):
    """Plan, write the bundle to ``output``, and measure it on ``bench_prompts`` of ``bench_tokens`` new tokens each."""

    output: str | Path = Path("quickstart-bundle")
    bench_prompts: int = 8
    bench_tokens: int = 64

    def __post_init__(self) -> None:
        PlanRequest.__post_init__(self)
        _require_positive({"bench_prompts": self.bench_prompts, "bench_tokens": self.bench_tokens})


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchRequest:
    """Measure a bundle: the target alone against speculation, interleaved prompt by prompt.

    - ``bundle``, ``revision``: a folder, or a hub id and maybe its revision, as `edgedraft.load` takes them.
    - ``prompts``: the prompts to use, all of them or ``number``, spread over their categories. None: ``number`` (8) of
      the packaged coding prompts' scoring half.
    - ``draft_length``, ``threads``: taken from the plan if None.
    - ``policies``: the draft policies to measure beside the fixed one.
    - ``full_drafter``: the ONNX folder of the drafter before trimming, to compare with.
    - ``exact``, ``tuned``: as `edgedraft.load` takes them.
    """

    bundle: str | Path
    prompts: str | Path | None = None
    number: int | None = None
    max_new_tokens: int = 128
    draft_length: int | None = None
    policies: tuple[str, ...] = ("adaptive",)
    full_drafter: str | Path | None = None
    threads: int | None = None
    context_length: int = CONTEXT_LENGTH
    verify_hashes: bool = True
    target_provider: str = CPU
    drafter_provider: str = CPU
    exact: bool | None = None
    tuned: bool = True
    revision: str | None = None

    def __post_init__(self) -> None:
        for name in self.policies:
            PolicyChoice(name=name, draft_length=1)  # it refuses unknown names
        names = ("number", "max_new_tokens", "draft_length", "threads", "context_length")
        _require_positive({name: getattr(self, name) for name in names})

    def choices(self, plan: DecodingPlan) -> tuple[PolicyChoice, ...]:
        """Return the policies to run: the fixed one first, then the plan's own, then those asked for."""
        length = self.draft_length or plan.draft_length
        names = dict.fromkeys((FIXED, plan.policy or FIXED, *self.policies))
        return tuple(PolicyChoice(name=name, draft_length=length) for name in names)


def _require_known(field: str, names: tuple[str, ...], known: tuple[str, ...]) -> None:
    require(not isinstance(names, str), f"{field}: expected a tuple of names", got=repr(names))
    unknown = ", ".join(name for name in names if name not in known)
    rule = f"{field}: expected names of {', '.join(known)}"
    require(not unknown and len(names) > 0, rule, got=unknown or "none")


def _require_positive(numbers: Mapping[str, int | None]) -> None:
    for field, number in numbers.items():
        require(number is None or number >= 1, f"{field}: expected 1 or more", got=number)
