"""Options of planning that `plan`, `export` and `quickstart` share, and the records they become."""

import argparse
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgedraft.runtime.base.records import require

if TYPE_CHECKING:
    from edgedraft.devices.profile import DeviceProfile
    from edgedraft.exporter.graph.providers import Provider
    from edgedraft.exporter.models.pair import Pair
    from edgedraft.exporter.planning.elsewhere import Foreseen
    from edgedraft.exporter.planning.pair_plan import PlanningRequest

MAX_DIVERGENCE = 0.05
"""Nats a token. int4 of the packaged target strays by 0.02, and solves as many HumanEval problems as fp32."""

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


def add_choice_arguments(parser: argparse.ArgumentParser) -> None:
    """What the user may decide instead of the planner, and what a plan must keep to."""
    from edgedraft.exporter.graph.providers import CPU, PROVIDERS

    group = parser.add_argument_group("planning")
    group.add_argument("--vocab-size", type=int, metavar="K", help="fix the draft vocabulary size")
    text = "draft this token map's tokens, of whatever engine (edgedraft vocab inspect), instead of counted ones"
    group.add_argument("--vocab", type=Path, metavar="FILE", help=text)
    text = "how the map's numbers are meant, where a file may be read both ways: absolute or offset"
    group.add_argument("--vocab-kind", metavar="KIND", help=text)
    group.add_argument("--draft-length", type=int, metavar="N", help="fix the draft length")
    text = "memory for both models and their key/value buffers, such as 4GB or 900MiB (default: any)"
    group.add_argument("--memory-budget", type=_bytes, metavar="SIZE", help=text)
    text = "share of held-out tokens that the draft vocabulary must cover, 0..1 (default: 0)"
    group.add_argument("--min-coverage", type=_share, default=0.0, metavar="C", help=text)
    text = (
        "refuse target precisions that stray further from fp32, in nats a token "
        f"(default: {MAX_DIVERGENCE} where several precisions are weighed, else not measured)"
    )
    group.add_argument("--max-divergence", type=_nats, metavar="KL", help=text)
    text = "plan for this device instead of this machine: a name (edgedraft devices list) or a profile's file"
    group.add_argument("--device", metavar="NAME", help=text)
    text = f"what decodes there, and what the graphs are prepared for: {', '.join(PROVIDERS)} (default: {CPU})"
    group.add_argument("--provider", choices=tuple(PROVIDERS), default=CPU, metavar="NAME", help=text)


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceChoice:
    """A device that is not here, and what passes on the wanted provider probably take there."""

    profile: "DeviceProfile"
    foreseen: "Foreseen"


def device_choice(options: argparse.Namespace) -> DeviceChoice | None:
    """The device that was named; None plans for this machine."""
    from edgedraft.devices.registry import find_profile
    from edgedraft.exporter.graph.providers import PROVIDERS
    from edgedraft.exporter.planning.elsewhere import foreseen

    if options.device is None:
        return None
    profile = find_profile(options.device)
    return DeviceChoice(profile=profile, foreseen=foreseen(profile, PROVIDERS[options.provider]))


def provider_choice(options: argparse.Namespace, device: DeviceChoice | None) -> "Provider":
    """The provider that was named, which must be here unless a device was named too."""
    from edgedraft.exporter.graph.providers import PROVIDERS
    from edgedraft.exporter.pipeline.limits import provider_on
    from edgedraft.runtime.onnx.session import available_providers

    here = sorted(available_providers())
    require(
        device is not None or options.provider in here,
        f"--provider without --device is this machine's, which has {', '.join(here)}",
        got=options.provider,
        remedy="name a device (edgedraft devices list), or install what adds the provider",
    )
    return provider_on(PROVIDERS[options.provider], device.profile if device else None)


def planning_request(options: argparse.Namespace) -> "PlanningRequest":
    """What the user decided instead of the planner, and the limits."""
    from edgedraft.exporter.planning.options import Limits
    from edgedraft.exporter.planning.pair_plan import PlanningRequest

    return PlanningRequest(
        draft_vocab_size=options.vocab_size,
        draft_length=options.draft_length,
        limits=Limits(memory_bytes=options.memory_budget, min_coverage=options.min_coverage),
        threads=tuple(dict.fromkeys(options.threads[1:])) if options.threads else (),
    )


def with_vocab(request: "PlanningRequest", options: argparse.Namespace, pair: "Pair") -> "PlanningRequest":
    """The request with the token map that was named, all of it unless a size was fixed; refused where it cannot be."""
    from edgedraft.exporter.planning.pair_plan import GivenOrder
    from edgedraft.exporter.vocab.order import vocab_order
    from edgedraft.exporter.vocab.reading import DeclaredMap, read_vocab_map

    if options.vocab is None:
        return request
    found = read_vocab_map(options.vocab, DeclaredMap(kind=options.vocab_kind, vocab_size=pair.vocab_size))
    order = vocab_order(found, pair.vocab_size, pair.end_token_ids)
    size = request.draft_vocab_size or found.entries
    return replace(request, given=GivenOrder(name=options.vocab.name, token_ids=order), draft_vocab_size=size)


def _bytes(text: str) -> int:
    """A size with an optional unit, such as 4GB or 900MiB."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]i?)?b?\s*", text, re.IGNORECASE)
    if not found or float(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"expected a size above 0 such as 4GB or 900MiB, got {text!r}")
    return int(float(found[1]) * _UNITS[(found[2] or "").lower()])


def _nats(text: str) -> float:
    """An option's divergence, 0 or more."""
    number = float(text)
    if not number >= 0:
        raise argparse.ArgumentTypeError(f"expected 0 or more, got {text}")
    return number


def _share(text: str) -> float:
    """An option's share, 0..1."""
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"expected 0..1, got {text}")
    return number
