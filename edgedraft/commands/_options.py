"""Options that several commands share, and the records they become."""

import argparse
import os
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from edgedraft.exporter.models.pair import Pair
    from edgedraft.exporter.pipeline.calibrating import AnswerSettings, PromptSet
    from edgedraft.runtime.base.progress import Progress
    from edgedraft.runtime.core.sampling import SamplingSettings
    from edgedraft.runtime.engine import DecodingOptions, Engine


LOCAL, RAY = "local", "ray"


class Arguments(Protocol):
    """A parser, or a group of its options."""

    def add_argument(self, *names: Any, **facts: Any) -> Any:
        """As argparse's."""
        ...


TARGET, DRAFTER = "qwen2.5-coder-1.5b-instruct", "qwen2.5-coder-0.5b-instruct"

_MODEL_HELP = "packaged name, GGUF file, Hugging Face or ONNX folder, or hub id"


def add_pair_arguments(parser: argparse.ArgumentParser) -> None:
    """Which models, prompts and precisions an export works on."""
    parser.add_argument("--target", default=TARGET, metavar="MODEL", help=f"{_MODEL_HELP} (default: {TARGET})")
    parser.add_argument("--drafter", default=DRAFTER, metavar="MODEL", help=f"likewise (default: {DRAFTER})")
    _add_precision_arguments(parser)
    _add_route_argument(parser)
    text = "JSON lines, Parquet, text, - for standard input, or a hub data set (default: the shipped coding prompts)"
    parser.add_argument("--prompts", metavar="DATA", help=text)
    parser.add_argument("--prompts-per-half", type=positive, metavar="N", help="use the first N of each half only")
    parser.add_argument("--max-new-tokens", type=positive, default=64, metavar="N", help="per answer (default: 64)")
    text = "several are weighed against each other (default: every core this process may use)"
    parser.add_argument("--threads", type=positive, nargs="+", metavar="N", help=text)
    _add_context_argument(parser)
    add_cache_argument(parser)
    _add_calibration_arguments(parser)


def add_cache_argument(parser: argparse.ArgumentParser) -> None:
    """Where finished work is kept."""
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="default: the user's cache folder")


def _add_calibration_arguments(parser: argparse.ArgumentParser) -> None:
    """How calibration answers are made, and which counts rank the tokens."""
    from edgedraft.calibration.counts import RANKED_BY, SOURCES
    from edgedraft.runtime.core.batch import BATCH_ROWS

    group = parser.add_argument_group("calibration")
    group.add_argument(
        "--rank-by",
        nargs="+",
        choices=SOURCES,
        default=list(RANKED_BY),
        metavar="SOURCE",
        help=f"{', '.join(SOURCES)}: counts that rank tokens, each breaking the ties of those before it "
        f"(default: {' '.join(RANKED_BY)})",
    )
    group.add_argument("--text-counts", type=Path, metavar="FILE", help="written by edgedraft calibrate count")
    text = f"answers that are made at once (default: {BATCH_ROWS})"
    group.add_argument("--batch-size", type=positive, default=BATCH_ROWS, metavar="N", help=text)
    text = "let an OpenAI-compatible server (http://…/v1) answer as the target; its key: OPENAI_API_KEY"
    group.add_argument("--generate-with", metavar="URL", help=text)
    group.add_argument("--served-model", default="", metavar="NAME", help="its name there (default: the only one)")
    group.add_argument("--concurrency", type=positive, default=8, metavar="N", help="requests at once (default: 8)")
    add_engine_arguments(group)
    _add_drawing_arguments(group)


def add_engine_arguments(parser: Arguments) -> None:
    """Where work that can be spread is done."""
    text = f"{LOCAL}, or {RAY} for a cluster: counting text, and asking a server (default: {LOCAL})"
    parser.add_argument("--engine", choices=(LOCAL, RAY), default=LOCAL, help=text)
    text = "a running cluster (default: one on this machine, for the time of the work)"
    parser.add_argument("--ray-address", metavar="ADDRESS", help=text)


def _add_precision_arguments(parser: argparse.ArgumentParser) -> None:
    """How the weights are stored."""
    from edgedraft.exporter.graph.precisions import DEFAULT, PRECISIONS, TABLE

    kinds = "; ".join(f"{name}: {TABLE[name].purpose}" for name in PRECISIONS)
    text = {
        "target": f"{kinds}; several are weighed against each other (default: {DEFAULT})",
        "drafter": f"likewise (default: {DEFAULT})",
    }
    for role, told in text.items():
        name = f"--{role}-precision"
        parser.add_argument(name, nargs="+", choices=PRECISIONS, default=[DEFAULT], metavar="NAME", help=told)


def _add_route_argument(parser: argparse.ArgumentParser) -> None:
    """Who exports models that are not ONNX yet."""
    from edgedraft.exporter.models.convert import BUILDER, EXPORT_BACKENDS

    text = "what exports models that are not ONNX yet: builder, onnxruntime-genai's model builder, or optimum, which "
    text += f"gets an environment of its own on first use (default: {BUILDER})"
    parser.add_argument("--export-backend", "--via", choices=EXPORT_BACKENDS, default=BUILDER, help=text)


def add_bundle_arguments(parser: argparse.ArgumentParser) -> None:
    """How a command opens a bundle."""
    parser.add_argument("bundle", type=Path, help="a folder written by edgedraft export")
    parser.add_argument("--threads", type=positive, metavar="N", help="default: the plan's")
    _add_context_argument(parser)
    parser.add_argument("--target-provider", default="cpu", metavar="NAME", help="execution provider (default: cpu)")
    parser.add_argument("--drafter-provider", default="cpu", metavar="NAME", help="execution provider (default: cpu)")
    parser.add_argument("--no-verify", action="store_true", help="skip the SHA-256 sums, for a bundle verified before")


def add_answer_arguments(parser: argparse.ArgumentParser) -> None:
    """How a command answers."""
    parser.add_argument("--max-new-tokens", type=positive, default=256, metavar="N", help="default: 256")
    parser.add_argument(
        "--stop", action="append", default=[], metavar="TEXT", help="end where TEXT appears; repeatable"
    )
    parser.add_argument("--draft-length", type=positive, metavar="N", help="default: the plan's")
    add_policy_argument(parser)
    add_sampling_arguments(parser)
    speculate = parser.add_mutually_exclusive_group()
    speculate.add_argument("--speculate", action="store_true", default=None, help="draft even if the plan says no")
    speculate.add_argument("--plain", action="store_false", dest="speculate", help="decode with the target alone")


def add_policy_argument(parser: argparse.ArgumentParser) -> None:
    """What decides how much is drafted."""
    from edgedraft.runtime.core.policies import P_MIN, POLICIES

    parser.add_argument(
        "--policy", choices=POLICIES, help="default: adaptive; with --draft-length or a --seed to draw by, fixed"
    )
    text = f"the confident policy drafts on above this probability (default: {P_MIN})"
    parser.add_argument("--p-min", type=float, metavar="P", help=text)


def add_sampling_arguments(parser: argparse.ArgumentParser) -> None:
    """How an answer's tokens are drawn, and what is told of them."""
    _add_drawing_arguments(parser)
    parser.add_argument("--log-probs", action="store_true", help="with --json: the target's log-probability of tokens")


def _add_drawing_arguments(parser: Arguments) -> None:
    """How tokens are drawn; with the default temperature of 0 the best one is always taken."""
    parser.add_argument("--temperature", type=float, default=0.0, metavar="T", help="default: 0, greedy")
    parser.add_argument("--top-k", type=int, default=0, metavar="K", help="draw from the K best tokens only")
    parser.add_argument("--top-p", type=float, default=1.0, metavar="P", help="draw from the likeliest share P only")
    parser.add_argument("--min-p", type=float, default=0.0, metavar="P", help="drop tokens under P times the best")
    parser.add_argument("--repetition-penalty", type=float, default=1.0, metavar="R", help="default: 1, none")
    parser.add_argument(
        "--logit-bias",
        type=_bias,
        action="append",
        default=[],
        metavar="ID=B",
        help="add B to the logits of token ID; repeatable",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="make drawn answers repeat")


def decoding_options(options: argparse.Namespace) -> "DecodingOptions":
    """The record behind the options of an answer."""
    from edgedraft.runtime.engine import DecodingOptions

    return DecodingOptions(
        speculate=options.speculate,
        policy=options.policy,
        draft_length=options.draft_length,
        p_min=options.p_min,
        sampling=_sampling_settings(options),
        seed=options.seed,
        log_probs=options.log_probs,
    )


def _sampling_settings(options: argparse.Namespace) -> "SamplingSettings | None":
    """How tokens are drawn; plain greedy decoding needs no sampling at all."""
    from edgedraft.runtime.core.sampling import SamplingSettings

    settings = SamplingSettings(
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        min_p=options.min_p,
        repetition_penalty=options.repetition_penalty,
        logit_bias=dict(options.logit_bias),
    )
    greedy = options.temperature == 0 and options.repetition_penalty == 1 and not options.logit_bias
    return None if greedy else settings


def answer_settings(options: argparse.Namespace) -> "AnswerSettings":
    """How a calibration's answers are made and which counts rank."""
    from edgedraft.calibration.answers.batched import Draws
    from edgedraft.calibration.answers.server import Endpoint
    from edgedraft.calibration.counts_file import read_counts
    from edgedraft.calibration.ray_engine import RayOptions
    from edgedraft.exporter.pipeline.calibrating import AnswerSettings

    drawn, url, key = _sampling_settings(options), options.generate_with, os.environ.get("OPENAI_API_KEY", "")
    return AnswerSettings(
        sources=tuple(options.rank_by),
        text=read_counts(options.text_counts) if options.text_counts else None,
        draws=None if drawn is None else Draws(settings=drawn, seed=options.seed or 0),
        endpoint=Endpoint(url=url, model=options.served_model, api_key=key, concurrency=options.concurrency)
        if url
        else None,
        cluster=RayOptions(address=options.ray_address) if options.engine == RAY else None,
        batch_rows=options.batch_size,
    )


def cache_of(options: argparse.Namespace) -> Path:
    """The cache folder a command works in."""
    from edgedraft.exporter.models.cache import cache_folder

    return Path(options.cache) if options.cache else cache_folder()


def prompt_set(options: argparse.Namespace) -> "PromptSet":
    """The prompts a command works on."""
    from edgedraft.calibration.prompts import SHIPPED, read_prompts, shipped_prompts
    from edgedraft.exporter.pipeline.calibrating import PromptSet

    prompts = read_prompts(options.prompts) if options.prompts else shipped_prompts()
    name = Path(options.prompts).name if options.prompts else f"edgedraft's own {SHIPPED} prompts"
    return PromptSet(name=name, prompts=prompts, max_new_tokens=options.max_new_tokens).at_most(
        options.prompts_per_half
    )


def open_pairs(options: argparse.Namespace, cache: Path, progress: "Progress") -> "list[Pair]":
    """The pair a command works on in each combination of precisions, fetched and converted, the first ones first."""
    from edgedraft.devices.machine import usable_cores
    from edgedraft.exporter.models.pair import PairRequest, prepare_pair
    from edgedraft.runtime.onnx.session import SessionSettings

    threads = options.threads[0] if options.threads else usable_cores()
    settings = SessionSettings(threads=threads, context_length=options.context_length)
    names = product(dict.fromkeys(options.target_precision), dict.fromkeys(options.drafter_precision))
    requests = [
        PairRequest(
            target=options.target,
            drafter=options.drafter,
            target_precision=target,
            drafter_precision=drafter,
            settings=settings,
            export_backend=options.export_backend,
        )
        for target, drafter in names
    ]
    return [prepare_pair(request, cache, progress) for request in requests]


def open_pair(options: argparse.Namespace, cache: Path, progress: "Progress") -> "Pair":
    """The one pair a command works on; several precisions or thread counts are for planning only."""
    from edgedraft.runtime.base.records import require

    for name in ("target_precision", "drafter_precision", "threads"):
        given = getattr(options, name) or ()
        require(len(given) <= 1, f"--{name.replace('_', '-')}: expected one here", got=" ".join(map(str, given)))
    return open_pairs(options, cache, progress)[0]


def _add_context_argument(parser: argparse.ArgumentParser) -> None:
    from edgedraft.runtime.core.model import CONTEXT_LENGTH

    text = f"tokens that prompt and answer may have together (default: {CONTEXT_LENGTH})"
    parser.add_argument("--context-length", type=positive, default=CONTEXT_LENGTH, metavar="N", help=text)


def open_engine(options: argparse.Namespace) -> "Engine":
    """The bundle a command works on, checked and opened."""
    from edgedraft.runtime.engine import Engine

    return Engine.open(
        options.bundle,
        threads=options.threads,
        context_length=options.context_length,
        verify_hashes=not options.no_verify,
        target_provider=options.target_provider,
        drafter_provider=options.drafter_provider,
    )


def _bias(text: str) -> tuple[int, float]:
    """A token id and what to add to its logits, as ID=B."""
    token_id, _, bias = text.partition("=")
    try:
        return int(token_id), float(bias)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected ID=B, got {text!r}") from None


def positive(text: str) -> int:
    """An option's whole number of 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {number}")
    return number
