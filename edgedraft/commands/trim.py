"""edgedraft trim: another draft vocabulary size for a bundle, or for a drafter's ONNX folder, in seconds."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgedraft.console import Console

if TYPE_CHECKING:
    from edgedraft.runtime.core.index_map import IndexMap

_ORDERS = ("like", "calibration", "vocab")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of trim."""
    from edgedraft.commands._options import add_cache_argument, positive
    from edgedraft.exporter.vocab.kinds import CONVENTIONS, KINDS

    parser.add_argument(
        "model", type=Path, metavar="BUNDLE|MODEL", help="a bundle, or a drafter's folder with model.onnx"
    )
    text = "tokens to keep, rounded up to a multiple of 64"
    parser.add_argument("--vocab-size", type=positive, metavar="K", help=text)
    text = "where the result goes (default: in place of the bundle; a MODEL needs one)"
    parser.add_argument("--output", type=Path, metavar="FOLDER", help=text)
    orders = parser.add_mutually_exclusive_group()
    text = "for a MODEL: keep the tokens that this bundle wants most (default size: the bundle's)"
    orders.add_argument("--like", type=Path, metavar="BUNDLE", help=text)
    text = "for a MODEL: keep the tokens that calibrate --output, or calibrate count, counted most"
    orders.add_argument("--calibration", type=Path, metavar="FOLDER", help=text)
    text = "for a MODEL: keep the tokens of this map, of any kind that vocab inspect knows (default size: all of them)"
    orders.add_argument("--vocab", type=Path, metavar="FILE", help=text)
    text = f"what --vocab is, where its numbers fit two readings: {', '.join((*CONVENTIONS, *KINDS))}"
    parser.add_argument("--kind", choices=(*CONVENTIONS, *KINDS), metavar="KIND", help=text)
    add_cache_argument(parser)


def run(options: argparse.Namespace, console: Console) -> None:
    """Trim whichever it is."""
    from edgedraft.runtime.base.errors import EdgedraftError
    from edgedraft.runtime.bundle.manifest import MANIFEST_NAME

    if (options.model / MANIFEST_NAME).is_file():
        _trim_bundle(options, console)
    elif (options.model / "model.onnx").is_file():
        _trim_folder(options, console)
    else:
        rule = f"{options.model}: neither a bundle nor a folder with model.onnx"
        raise EdgedraftError(rule, remedy="name a folder that edgedraft export wrote, or a drafter exported to ONNX")


def _trim_bundle(options: argparse.Namespace, console: Console) -> None:
    from edgedraft.commands._options import cache_of
    from edgedraft.commands._show import show_coverage
    from edgedraft.exporter.bundle.retrim import retrim_bundle
    from edgedraft.runtime.base.records import require

    given = [f"--{name}" for name in _ORDERS if getattr(options, name)]
    require(not given, "trim: a bundle is cut by the token order that it keeps", got=given[0] if given else None)
    require(options.vocab_size is not None, "trim: a bundle needs --vocab-size")
    output = options.output or options.model
    cache = cache_of(options) / "onnx"
    manifest = retrim_bundle(options.model, options.vocab_size, output, cache, console.progress)
    plan = manifest.plan
    show_coverage(console, manifest.calibration)
    console.say(f"{plan.reason[0].upper()}{plan.reason[1:]}.")
    console.say(
        f"{output}: {plan.draft_vocab_size:,} draft tokens, {manifest.drafter.weight_bytes / 1e6:,.0f} MB a step."
    )
    console.result({"bundle": str(output), "plan": plan, "calibration": manifest.calibration})


def _trim_folder(options: argparse.Namespace, console: Console) -> None:
    from edgedraft.exporter.bundle.retrim import retrim_folder
    from edgedraft.runtime.base.records import require

    require(options.output is not None, "trim: a model needs --output", remedy="name a new folder")
    kept = _kept(options)
    retrim_folder(options.model, kept, options.output, console.progress)
    size, whole = kept.draft_vocab_size, kept.target_vocab_size
    console.say(f"{options.output}: a drafter with {size:,} of {whole:,} tokens ({size / whole:.1%}).")
    console.result({"drafter": str(options.output), "draft_vocab_size": size, "target_vocab_size": whole})


def _kept(options: argparse.Namespace) -> "IndexMap":
    """The tokens that stay."""
    from edgedraft.exporter.bundle.trim_orders import kept_by_calibration, kept_in_file, kept_like
    from edgedraft.exporter.graph.loading import load_graph, vocabulary_width
    from edgedraft.exporter.vocab.reading import DeclaredMap
    from edgedraft.runtime.base.records import require

    folder, size = options.model, options.vocab_size
    require(options.vocab or not options.kind, "trim: --kind says what --vocab is", got="no --vocab")
    if options.like:
        return kept_like(options.like, folder, size)
    if options.vocab:
        width = vocabulary_width(load_graph(folder / "model.onnx"))
        return kept_in_file(options.vocab, DeclaredMap(kind=options.kind, vocab_size=width), folder, size)
    remedy = "give --like BUNDLE, --calibration FOLDER or --vocab FILE"
    require(options.calibration is not None, "trim: which tokens a model keeps must be said", remedy=remedy)
    require(size is not None, "trim: a calibration needs --vocab-size")
    return kept_by_calibration(options.calibration, folder, size)
