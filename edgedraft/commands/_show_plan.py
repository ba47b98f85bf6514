"""A decision as commands show it: the plan with its interval, the runner-up, what it gives up, where the time goes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgedraft.console import Console
from edgedraft.runtime.base.provider_names import CPU

if TYPE_CHECKING:
    from edgedraft.exporter.planning.drafters import DrafterComparison
    from edgedraft.exporter.planning.planner import Decision
    from edgedraft.exporter.planning.scoring import Option
    from edgedraft.exporter.planning.views import Term

_OPTIONS_HEADER = ("setup", "draft vocabulary", "draft length", "coverage", "τ", "acceptance", "GiB", "tokens/s")


def show_options(console: Console, options: "Sequence[Option]") -> None:
    """Show the best size of each setup and draft length."""
    rows = [
        (
            str(option.setup),
            f"{option.draft_vocab_size:,}",
            str(option.draft_length),
            f"{option.coverage:.1%}",
            f"{option.block_efficiency:.2f}",
            f"{option.acceptance_rate:.1%}",
            f"{option.memory_bytes / 2**30:.2f}",
            f"{option.tokens_per_second:.1f}",
        )
        for option in options
    ]
    console.table(_OPTIONS_HEADER, rows)


def show_drafters(console: Console, comparison: "DrafterComparison") -> None:
    """Show what each drafter would do at its best, and which was taken."""
    rows = [
        (
            "→" if each.taken else "",
            each.drafter,
            "" if each.kind == each.drafter else each.kind,
            f"{each.draft_vocab_size:,}" if each.draft_vocab_size else "",
            str(each.draft_length),
            f"{each.block_efficiency:.2f}",
            f"{each.acceptance_rate:.1%}",
            *(f"{1e3 * part:.1f}" for part in (each.first_seconds, each.next_seconds, each.verify_seconds)),
            f"{each.tokens_per_second:.1f}",
            f"{each.speed_up:.2f}×",
        )
        for each in comparison.options
    ]
    header = ("", "drafter", "kind", "draft vocabulary", "draft length", "τ", "acceptance")
    console.table((*header, "first ms", "next ms", "verify ms", "tokens/s", "÷ target alone"), rows)
    console.say(f"{comparison.reason[0].upper()}{comparison.reason[1:]}.")


def show_decision(console: Console, decision: "Decision") -> None:
    """Show the plan, how sure it is, what comes second, what it gives up, and the verdict."""
    plan, sure = decision.plan, decision.uncertainty
    console.say(
        f"Plan: {plan.draft_vocab_size:,} draft tokens, draft length {plan.draft_length}, "
        f"{decision.best.setup}, on {plan.device}: "
        f"{sure.tokens_per_second.value:.1f} tokens/s, "
        f"with 80 % confidence {sure.tokens_per_second.low:.1f} to {sure.tokens_per_second.high:.1f}."
    )
    if decision.runner_up is not None and sure.chance_to_lead is not None:
        console.say(f"Runner-up: {_second(decision.runner_up)}; the plan is {sure.chance_to_lead:.0%} likely faster.")
    for sentence in decision.gives_up:
        console.say(f"Gives up: {sentence}.")
    console.say(f"{plan.reason[0].upper()}{plan.reason[1:]}.")
    if decision.best.setup.provider == CPU:
        state = "on by default, and" if plan.exact_is_cheap else "off by default, but on where it"
        cost = f"elsewhere a step without drafts takes up to {plan.exact_step_cost:.0%} longer"
        console.say(f"Exact mode is {state} costs nothing where own kernels compute attention; {cost}.")


def show_terms(console: Console, terms: "Sequence[Term]", tokens: float) -> None:
    """Show where each millisecond of a mean round of so many ``tokens`` goes."""
    rows = [(term.what, f"{term.milliseconds:.2f}", f"{term.share:.1%}") for term in terms]
    whole = sum(term.milliseconds for term in terms)
    console.table(("part of a round", "ms", "share"), [*rows, ("together", f"{whole:.2f}", "100.0%")])
    console.say(f"{whole:.2f} ms a round of {tokens:.2f} tokens: {whole / tokens:.2f} ms a token.")


def _second(option: "Option") -> str:
    return (
        f"{option.draft_vocab_size:,} draft tokens, draft length {option.draft_length} ({option.setup}), "
        f"{option.tokens_per_second:.1f} tokens/s"
    )
