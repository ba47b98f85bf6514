"""Options that several commands share, and how they become requests."""

import argparse
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from edgedraft.commands._parser import add_common_arguments

if TYPE_CHECKING:
    from edgedraft.console import Console
    from edgedraft.runtime.core.sampling import SamplingSettings
    from edgedraft.runtime.engine import DecodingOptions, Engine

Request = TypeVar("Request")

_MODEL_HELP = "packaged name, GGUF or ONNX file, Hugging Face or ONNX folder, or hub id; #NAME chooses a graph"
LONGEST = 2**31 - 1  # tokens; a bundle is opened with no more than its model's
KINDS_OF_DEVICES = ("laptop", "board", "phone")


class Arguments(Protocol):
    """A parser, or a group of its options."""

    def add_argument(self, *names: Any, **facts: Any) -> Any:
        """As argparse's."""
        ...


def set_defaults(parser: argparse.ArgumentParser, record: type) -> None:
    """Give every option the default of the record's field of that name, so that Python and the command line agree."""
    defaults = {field.name: field.default for field in fields(record)}
    parser.set_defaults(**{name: value for name, value in defaults.items() if value is not MISSING and value != ()})


def request_of(record: type[Request], options: argparse.Namespace) -> Request:
    """Fill ``record`` with the options of the same names; those that were not given keep the record's defaults."""
    values = {field.name: getattr(options, field.name, None) for field in fields(record)}  # type: ignore[arg-type]
    if "other_drafters" in values and getattr(options, "drafters", None):
        values["drafter"], *values["other_drafters"] = options.drafters
    if "sampling" in values:
        values["sampling"] = sampling_settings(options)
    if "verify_hashes" in values:
        values["verify_hashes"] = not options.no_verify
    if "tuned" in values:
        values["tuned"] = not options.no_tune
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return record(**{name: value for name, value in given.items() if value not in (None, ())})


def add_parts(parser: argparse.ArgumentParser, parts: dict[str, tuple[Any, str]], **facts: Any) -> None:
    """Add the parts of a command, each a module with options of its own."""
    group = parser.add_subparsers(metavar="PART", **facts)
    for name, (module, summary) in parts.items():
        part = group.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        add_common_arguments(part, default=argparse.SUPPRESS)
        module.add_arguments(part)
        part.set_defaults(run=_of_part_alone(module.run, parser, part), parser=part)


def _of_part_alone(run: Any, whole: argparse.ArgumentParser, part: argparse.ArgumentParser) -> Any:
    """Return ``run``, which first refuses options of the ``whole`` command: its ``part`` has no use for them."""

    def checked(options: argparse.Namespace, console: "Console") -> None:
        from edgedraft.runtime.base.records import require

        foreign = {action.dest: action for action in whole._actions if action.option_strings}
        for dest in foreign.keys() - {action.dest for action in part._actions}:
            unchanged = getattr(options, dest, None) == whole.get_default(dest)
            rule, name = f"{part.prog}: this option is not for it", foreign[dest].option_strings[-1]
            require(unchanged, rule, got=name, remedy="leave it out")
        run(options, console)

    return checked


def add_pair_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for models, prompts and precisions."""
    from edgedraft.exporter.graph.precisions import AUTO, PRECISIONS, TABLE
    from edgedraft.exporter.models.via_optimum import BUILDER, EXPORT_BACKENDS
    from edgedraft.exporter.pipeline.requests import DRAFTER

    parser.add_argument("--target", metavar="MODEL", help=f"{_MODEL_HELP} (default: %(default)s)")
    of_drafter = "likewise, an EAGLE drafter, or mtp, the target's own multi-token-prediction head; plan, export: "
    of_drafter += f"repeat it to weigh drafters (default: {AUTO}, that head where the target has one, else {DRAFTER})"
    parser.add_argument("--drafter", action="append", dest="drafters", metavar="MODEL", help=of_drafter)
    kinds = "; ".join(f"{name}: {TABLE[name].purpose}" for name in PRECISIONS)
    text = {
        "target": f"{kinds}; several are weighed against each other (default: {AUTO}, the smallest that "
        "keeps near fp32)",
        "drafter": f"likewise (default: {AUTO})",
    }
    for role, kind in text.items():
        dest, names = f"{role}_precisions", (AUTO, *PRECISIONS)
        parser.add_argument(f"--{role}-precision", nargs="+", choices=names, dest=dest, metavar="NAME", help=kind)
    route = "what exports models that are not ONNX yet: builder, onnxruntime-genai's model builder, or optimum, which "
    route += f"gets an environment of its own on first use (default: {BUILDER})"
    parser.add_argument("--export-backend", "--via", choices=EXPORT_BACKENDS, help=route)
    data = "JSON lines, Parquet, text, - for standard input, or a hub data set (default: the shipped coding prompts)"
    parser.add_argument("--prompts", metavar="DATA", help=data)
    parser.add_argument("--prompts-per-half", type=positive, metavar="N", help="use the first N of each half only")
    names = ("--max-new-tokens", "--max-tokens")
    parser.add_argument(*names, type=positive, metavar="N", help="per answer (default: %(default)s)")
    threads = "several are weighed against each other (default: every core this process may use)"
    parser.add_argument("--threads", type=positive, nargs="+", metavar="N", help=threads)
    _add_context_argument(parser)
    add_cache_argument(parser)
    _add_calibration_arguments(parser)


def add_report_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option for an HTML page of the result."""
    text = "also write what is printed as one HTML page, with pictures"
    parser.add_argument("--report", type=Path, metavar="FILE", help=text)


def add_cache_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option for the folder that keeps finished work."""
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="default: the user's cache folder")


def _add_calibration_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for calibration answers and for the counts that rank tokens."""
    from edgedraft.calibration.counts import RANKED_BY, SOURCES

    group = parser.add_argument_group("calibration")
    text = f"{', '.join(SOURCES)}: counts that rank tokens, each breaking the ties of those before it "
    text += f"(default: {' '.join(RANKED_BY)})"
    group.add_argument("--rank-by", nargs="+", choices=SOURCES, metavar="SOURCE", help=text)
    group.add_argument("--text-counts", type=Path, metavar="FILE", help="written by edgedraft calibrate count")
    text = "answers that are made at once (default: %(default)s)"
    group.add_argument("--batch-size", type=positive, metavar="N", help=text)
    text = "let an OpenAI-compatible server (http://…/v1) answer as the target; its key: OPENAI_API_KEY"
    group.add_argument("--generate-with", metavar="URL", help=text)
    group.add_argument("--served-model", metavar="NAME", help="its name there (default: the only one)")
    group.add_argument("--concurrency", type=positive, metavar="N", help="requests at once (default: %(default)s)")
    add_engine_arguments(group)
    _add_drawing_arguments(group)


def add_engine_arguments(parser: Arguments) -> None:
    """Add the options that spread work over processes or a cluster."""
    from edgedraft.exporter.pipeline.requests import LOCAL, RAY

    text = f"{LOCAL}, or {RAY} for a cluster: counting text, and asking a server (default: {LOCAL})"
    parser.add_argument("--engine", choices=(LOCAL, RAY), help=text)
    text = "a running cluster (default: one on this machine, for the time of the work)"
    parser.add_argument("--ray-address", metavar="ADDRESS", help=text)


def add_bundle_arguments(parser: argparse.ArgumentParser, *, longest_context: bool = False) -> None:
    """Add the options for opening a bundle, by default with the longest context if so told."""
    parser.add_argument("bundle", help="a folder written by edgedraft export, or a hub id: ORG/NAME[@REVISION]")
    text = "of a hub id: a branch, tag or commit (default: the main branch)"
    parser.add_argument("--revision", metavar="REVISION", help=text)
    parser.add_argument("--threads", type=positive, metavar="N", help="default: the plan's")
    _add_context_argument(parser, longest=longest_context)
    for name in ("--target-provider", "--drafter-provider"):
        parser.add_argument(name, default="cpu", metavar="NAME", help="execution provider (default: cpu)")
    text = "texts are the target's own whatever is drafted (default: where possible for under 3 %% of the speed)"
    parser.add_argument("--exact", action=argparse.BooleanOptionalAction, help=text)
    text = "skip the SHA-256 sums, for a bundle verified before"
    parser.add_argument("--no-verify", action="store_true", help=text)
    text = "keep to the bundle's own plan, whatever edgedraft tune chose for this device"
    parser.add_argument("--no-tune", action="store_true", help=text)


def _add_context_argument(parser: argparse.ArgumentParser, *, longest: bool = False) -> None:
    from edgedraft.runtime.core.model import CONTEXT_LENGTH

    text = "tokens that prompt and answer may have together (default: "
    text += "the model's own, or as many as memory allows)" if longest else "%(default)s)"
    default = None if longest else CONTEXT_LENGTH
    parser.add_argument("--context-length", type=positive, default=default, metavar="N", help=text)


def add_answer_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for generating an answer."""
    from edgedraft.runtime.core.policies import P_MIN, POLICIES

    names = ("-n", "--max-new-tokens", "--max-tokens")
    parser.add_argument(*names, type=positive, default=256, metavar="N", help="default: 256")
    text = "end where TEXT appears; repeatable"
    parser.add_argument("--stop", action="append", default=[], metavar="TEXT", help=text)
    parser.add_argument("--draft-length", type=positive, metavar="N", help="default: the plan's")
    text = "default: adaptive; with --draft-length or a --seed to draw by, fixed"
    parser.add_argument("--policy", choices=POLICIES, help=text)
    text = f"the confident policy drafts on above this probability (default: {P_MIN})"
    parser.add_argument("--p-min", type=float, metavar="P", help=text)
    _add_drawing_arguments(parser)
    parser.add_argument("--log-probs", action="store_true", help="with --json: the target's log-probability of tokens")
    speculate = parser.add_mutually_exclusive_group()
    speculate.add_argument("--speculate", action="store_true", default=None, help="draft even if the plan says no")
    speculate.add_argument("--plain", action="store_false", dest="speculate", help="decode with the target alone")


def _add_drawing_arguments(parser: Arguments) -> None:
    """Add the sampling options; with the default temperature of 0 decoding is greedy."""
    parser.add_argument("--temperature", type=float, default=0.0, metavar="T", help="default: 0, greedy")
    parser.add_argument("--top-k", type=natural, default=0, metavar="K", help="draw from the K best tokens only")
    parser.add_argument("--top-p", type=float, default=1.0, metavar="P", help="draw from the likeliest share P only")
    parser.add_argument("--min-p", type=float, default=0.0, metavar="P", help="drop tokens under P times the best")
    parser.add_argument("--repetition-penalty", type=float, default=1.0, metavar="R", help="default: 1, none")
    text = "add B to the logits of token ID; repeatable"
    parser.add_argument("--logit-bias", type=_bias, action="append", default=[], metavar="ID=B", help=text)
    parser.add_argument("--seed", type=natural, metavar="N", help="make drawn answers repeat")


def sampling_settings(options: argparse.Namespace) -> "SamplingSettings | None":
    """Return the sampling settings; None for plain greedy decoding."""
    from edgedraft.runtime.core.sampling import SamplingSettings

    settings = SamplingSettings(
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        min_p=options.min_p,
        repetition_penalty=options.repetition_penalty,
        logit_bias=dict(options.logit_bias),
    )
    _require_drawing(options)
    greedy = options.temperature == 0 and options.repetition_penalty == 1 and not options.logit_bias
    return None if greedy else settings


def _require_drawing(options: argparse.Namespace) -> None:
    """Refuse options that say how to draw tokens where none are drawn."""
    from edgedraft.runtime.base.records import require

    unset = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "seed": None}
    given = [f"--{name.replace('_', '-')}" for name, value in unset.items() if getattr(options, name) != value]
    rule = f"{', '.join(given)}: only tokens that are drawn are filtered or repeat"
    require(options.temperature > 0 or not given, rule, got="temperature 0", remedy="give --temperature, such as 0.8")


def decoding_options(options: argparse.Namespace) -> "DecodingOptions":
    """Return the decoding options that the command line gives."""
    from edgedraft.runtime.engine import DecodingOptions

    return request_of(DecodingOptions, options)


def open_engine(options: argparse.Namespace, console: "Console") -> "Engine":
    """Check and open the bundle of a command; print a note if its plan is for another machine or other kernels."""
    from edgedraft import load
    from edgedraft.devices.tuning.opening import untuned_remark

    with console.busy(f"opening {options.bundle}"):
        engine = load(
            options.bundle,
            threads=options.threads,
            context_length=LONGEST if options.context_length is None else options.context_length,
            verify_hashes=not options.no_verify,
            target_provider=options.target_provider,
            drafter_provider=options.drafter_provider,
            exact=options.exact,
            tuned=not options.no_tune,
            revision=options.revision,
            progress=console.progress,
        )
    if (remark := untuned_remark(engine) or engine.kernels_remark) is not None:
        console.note(remark)
    return engine


def _bias(text: str) -> tuple[int, float]:
    """Read a token id and the bias to add to its logit, written ID=B."""
    token_id, _, bias = text.partition("=")
    try:
        return int(token_id), float(bias)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected ID=B, got {text!r}") from None


def positive(text: str, least: int = 1) -> int:
    """Read an option's whole number of 1 or more."""
    number = int(text)
    if number < least:
        raise argparse.ArgumentTypeError(f"expected {least} or more, got {number}")
    return number


def natural(text: str) -> int:
    """Read an option's whole number of 0 or more."""
    return positive(text, 0)
