"""edgedraft trim: another draft vocabulary size for a bundle, or for a drafter's ONNX folder, in seconds."""

import argparse
from pathlib import Path

from edgedraft.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of trim."""
    from edgedraft.commands._options import add_cache_argument, positive
    from edgedraft.exporter.vocab.kinds import CONVENTIONS, KINDS

    text = "a bundle, or a drafter's folder with model.onnx"
    parser.add_argument("model", type=Path, metavar="BUNDLE|MODEL", help=text)
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
    """Trim, and say what was written."""
    from edgedraft.commands._options import request_of
    from edgedraft.commands._show import show_coverage
    from edgedraft.exporter.pipeline.trim import TrimRequest, trim

    trimmed = trim(request_of(TrimRequest, options), console.progress)
    path, size, whole, manifest = trimmed.path, trimmed.draft_vocab_size, trimmed.target_vocab_size, trimmed.manifest
    if manifest is None:
        console.say(f"{path}: a drafter with {size:,} of {whole:,} tokens ({size / whole:.1%}).")
        console.result({"drafter": str(path), "draft_vocab_size": size, "target_vocab_size": whole})
        return
    if trimmed.remark is not None:
        console.note(trimmed.remark)
    reason = manifest.plan.reason
    show_coverage(console, manifest.calibration)
    console.say(f"{reason[0].upper()}{reason[1:]}.")
    console.say(f"{path}: {size:,} draft tokens, {manifest.drafter.weight_bytes / 1e6:,.0f} MB a step.")
    console.result({"bundle": str(path), "plan": manifest.plan, "calibration": manifest.calibration})
