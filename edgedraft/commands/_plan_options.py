"""Options of planning that `plan`, `export` and `quickstart` share."""

import argparse
import re
from pathlib import Path

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


def add_choice_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the user may decide instead of the planner, and what a plan must keep to."""
    from edgedraft.commands._options import natural, positive
    from edgedraft.exporter.graph.providers import CPU, PROVIDERS

    group = parser.add_argument_group("planning")
    group.add_argument("--vocab-size", type=positive, metavar="K", help="fix the draft vocabulary size")
    text = "draft this token map's tokens, of whatever engine (edgedraft vocab inspect), instead of counted ones"
    group.add_argument("--vocab", type=Path, metavar="FILE", help=text)
    text = "how the map's numbers are meant, where a file may be read both ways: absolute or offset"
    group.add_argument("--vocab-kind", metavar="KIND", help=text)
    group.add_argument("--draft-length", type=positive, metavar="N", help="fix the draft length")
    text = "also draft up to N tokens of the text at hand that the draft vocabulary lacks (default: 0)"
    group.add_argument("--conversation-rows", type=natural, metavar="N", help=text)
    text = "memory for both models and their key/value buffers, such as 4GB or 900MiB (default: any)"
    group.add_argument("--memory-budget", type=_bytes, metavar="SIZE", help=text)
    text = "share of held-out tokens that the draft vocabulary must cover, 0..1 (default: 0)"
    group.add_argument("--min-coverage", type=_share, metavar="C", help=text)
    text = (
        "refuse target precisions that stray further from fp32, in nats a token "
        "(default: 0.05 where several precisions are weighed, else not measured)"
    )
    group.add_argument("--max-divergence", type=_nats, metavar="KL", help=text)
    text = "plan for this device instead of this machine: a name (edgedraft devices list) or a profile's file"
    group.add_argument("--device", metavar="NAME", help=text)
    text = f"what decodes there, and what the graphs are prepared for: {', '.join(PROVIDERS)} (default: {CPU})"
    group.add_argument("--provider", choices=tuple(PROVIDERS), metavar="NAME", help=text)


def _bytes(text: str) -> int:
    """Read a size with an optional unit, such as 4GB or 900MiB."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]i?)?b?\s*", text, re.IGNORECASE)
    if not match or float(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"expected a size above 0 such as 4GB or 900MiB, got {text!r}")
    return int(float(match[1]) * _UNITS[(match[2] or "").lower()])


def _nats(text: str) -> float:
    """Read an option's divergence, 0 or more."""
    number = float(text)
    if not number >= 0:
        raise argparse.ArgumentTypeError(f"expected 0 or more, got {text}")
    return number


def _share(text: str) -> float:
    """Read an option's share, 0..1."""
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"expected 0..1, got {text}")
    return number
