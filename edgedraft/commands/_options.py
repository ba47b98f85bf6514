"""Options that several commands share, and the records they become."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgedraft.exporter.pair import Pair
    from edgedraft.exporter.pipeline import FixedChoice, PromptSet
    from edgedraft.runtime.engine import DecodingOptions, Engine
    from edgedraft.runtime.progress import Progress

TARGET, DRAFTER = "qwen2.5-coder-1.5b-instruct", "qwen2.5-coder-0.5b-instruct"

_MODEL_HELP = "packaged name, GGUF file, Hugging Face or ONNX folder, or hub id"


def add_pair_arguments(parser: argparse.ArgumentParser) -> None:
    """Which models, prompts and precisions an export works on."""
    parser.add_argument("--target", default=TARGET, metavar="MODEL", help=f"{_MODEL_HELP} (default: {TARGET})")
    parser.add_argument("--drafter", default=DRAFTER, metavar="MODEL", help=f"likewise (default: {DRAFTER})")
    precisions = ("int4", "int8", "fp32")
    parser.add_argument("--target-precision", choices=precisions, default="int4", help="default: int4")
    parser.add_argument("--drafter-precision", choices=precisions, default="int4", help="default: int4")
    parser.add_argument("--prompts", type=Path, metavar="FILE", help="JSON lines (default: the shipped coding prompts)")
    parser.add_argument("--prompts-per-half", type=positive, metavar="N", help="use the first N of each half only")
    parser.add_argument("--max-new-tokens", type=positive, default=64, metavar="N", help="per answer (default: 64)")
    parser.add_argument("--threads", type=positive, metavar="N", help="default: every core this process may use")
    _add_context_argument(parser)
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="default: the user's cache folder")


def add_choice_arguments(parser: argparse.ArgumentParser) -> None:
    """What the user may decide instead of the planner."""
    parser.add_argument("--vocab-size", type=int, metavar="K", help="fix the draft vocabulary size")
    parser.add_argument("--draft-length", type=int, metavar="N", help="fix the draft length")


def add_bundle_arguments(parser: argparse.ArgumentParser) -> None:
    """How a command opens a bundle."""
    parser.add_argument("bundle", type=Path, help="a folder written by edgedraft export")
    parser.add_argument("--threads", type=positive, metavar="N", help="default: the plan's")
    _add_context_argument(parser)
    parser.add_argument("--no-verify", action="store_true", help="skip the SHA-256 sums, for a bundle verified before")


def add_answer_arguments(parser: argparse.ArgumentParser) -> None:
    """How a command answers."""
    parser.add_argument("--max-new-tokens", type=positive, default=256, metavar="N", help="default: 256")
    parser.add_argument(
        "--stop", action="append", default=[], metavar="TEXT", help="end where TEXT appears; repeatable"
    )
    parser.add_argument("--draft-length", type=positive, metavar="N", help="default: the plan's")
    add_sampling_arguments(parser)
    speculate = parser.add_mutually_exclusive_group()
    speculate.add_argument("--speculate", action="store_true", default=None, help="draft even if the plan says no")
    speculate.add_argument("--plain", action="store_false", dest="speculate", help="decode with the target alone")


def add_sampling_arguments(parser: argparse.ArgumentParser) -> None:
    """How tokens are drawn; with the default temperature of 0 the best one is always taken."""
    parser.add_argument("--temperature", type=float, default=0.0, metavar="T", help="default: 0, greedy")
    parser.add_argument("--top-k", type=int, default=0, metavar="K", help="draw from the K best tokens only")
    parser.add_argument("--top-p", type=float, default=1.0, metavar="P", help="draw from the likeliest share P only")
    parser.add_argument("--min-p", type=float, default=0.0, metavar="P", help="drop tokens under P times the best")
    parser.add_argument("--repetition-penalty", type=float, default=1.0, metavar="R", help="default: 1, none")
    parser.add_argument("--seed", type=int, metavar="N", help="make drawn answers repeat")


def decoding_options(options: argparse.Namespace) -> "DecodingOptions":
    """The record behind the options of an answer; plain greedy decoding needs no sampling at all."""
    from edgedraft.runtime.engine import DecodingOptions
    from edgedraft.runtime.sampling import SamplingSettings

    sampling = SamplingSettings(
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        min_p=options.min_p,
        repetition_penalty=options.repetition_penalty,
    )
    greedy = options.temperature == 0 and options.repetition_penalty == 1
    return DecodingOptions(
        speculate=options.speculate,
        draft_length=options.draft_length,
        sampling=None if greedy else sampling,
        seed=options.seed,
    )


def cache_of(options: argparse.Namespace) -> Path:
    """The cache folder a command works in."""
    from edgedraft.exporter.cache import cache_folder

    return Path(options.cache) if options.cache else cache_folder()


def prompt_set(options: argparse.Namespace) -> "PromptSet":
    """The prompts a command works on."""
    from edgedraft.calibration.prompts import SHIPPED, read_prompts, shipped_prompts
    from edgedraft.exporter.pipeline import PromptSet

    prompts = read_prompts(options.prompts) if options.prompts else shipped_prompts()
    name = options.prompts.name if options.prompts else f"edgedraft's own {SHIPPED} prompts"
    return PromptSet(name=name, prompts=prompts, max_new_tokens=options.max_new_tokens).at_most(
        options.prompts_per_half
    )


def open_pair(options: argparse.Namespace, cache: Path, progress: "Progress") -> "Pair":
    """The pair a command works on, fetched and converted."""
    from edgedraft.devices.machine import usable_cores
    from edgedraft.exporter.pair import PairRequest, prepare_pair
    from edgedraft.runtime.session import SessionSettings

    request = PairRequest(
        target=options.target,
        drafter=options.drafter,
        target_precision=options.target_precision,
        drafter_precision=options.drafter_precision,
        settings=SessionSettings(threads=options.threads or usable_cores(), context_length=options.context_length),
    )
    return prepare_pair(request, cache, progress)


def fixed_choice(options: argparse.Namespace) -> "FixedChoice":
    """What the user decided instead of the planner."""
    from edgedraft.exporter.pipeline import FixedChoice

    return FixedChoice(draft_vocab_size=options.vocab_size, draft_length=options.draft_length)


def _add_context_argument(parser: argparse.ArgumentParser) -> None:
    from edgedraft.runtime.model import CONTEXT_LENGTH

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
    )


def positive(text: str) -> int:
    """An option's whole number of 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {number}")
    return number
