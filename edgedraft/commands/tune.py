"""edgedraft tune: choose on this device how a bundle drafts here, in about half a minute."""

import argparse
from pathlib import Path

from edgedraft.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of tune."""
    from edgedraft.commands._options import positive

    parser.add_argument("bundle", type=Path, help="a folder written by edgedraft export")
    text = "counts to compare (default: all usable cores, half of them where there are four or more, the plan's)"
    parser.add_argument("--threads", type=positive, nargs="+", metavar="N", help=text)
    parser.add_argument("--provider", metavar="NAME", help="execution provider of both models (default: cpu)")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long to time passes (default: 30)")
    parser.add_argument("--no-verify", action="store_true", help="skip the SHA-256 sums")


def run(options: argparse.Namespace, console: Console) -> None:
    """Tune and show what was chosen."""
    from edgedraft.commands._options import request_of
    from edgedraft.devices.tuning.tune import TuneRequest, tune

    tuned = tune(request_of(TuneRequest, options), console.progress)
    plan, ways = tuned.tuning.plan, tuned.tuning.ways
    shown = sorted(ways, key=lambda way: -way.tokens_per_second)[:8]
    rows = [
        (way.policy, str(way.draft_length), f"{way.tokens_per_second:.1f}", f"{way.block_efficiency:.2f}")
        for way in (*(way for way in ways[:1] if way not in shown), *shown)
    ]
    console.table(("policy", "draft length", "tokens/s, predicted", "τ, forecast"), rows)
    for setup, speed in tuned.setups.items():
        console.say(f"{setup}: {speed:.1f} tokens/s")
    for setup in tuned.untimed:
        console.note(f"no time was left for {setup}")
    padding = ", ".join(f"{rows} to {more}" for rows, more in tuned.padding.items()) or "none"
    exact = "where possible" if tuned.exact_is_cheap else "off, for its cost"
    console.say(f"Rows padded in a target pass: {padding}. Exact mode: {exact}.")
    console.say(f"{plan.reason}.")
    console.say(f"Kept in {tuned.file}; load, generate, chat, serve and bench use it on this device.")
    console.result(tuned)
