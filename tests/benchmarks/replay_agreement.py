"""Does τ replayed from the trace equal τ measured by running? Three (K, draft length) pairs on the real pair.

    python tests/benchmarks/replay_agreement.py [--prompts 64] [--max-new-tokens 64]

Uses quickstart's cache; takes about three minutes a pair on two cores.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.calibration.prompts import shipped_prompts
from edgedraft.console import Console
from edgedraft.devices.machine import usable_cores
from edgedraft.exporter.models.cache import cache_folder
from edgedraft.exporter.models.pair import PairRequest, prepare_pair
from edgedraft.exporter.models.trimmed import open_trimmed
from edgedraft.exporter.pipeline.calibrating import PromptSet, calibrate_pair
from edgedraft.exporter.planning.ranking import index_map, ranks_of, token_order
from edgedraft.exporter.planning.replay import acceptance_windows, replay
from edgedraft.runtime.core.decoding import speculative_rounds
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.model import LanguageModel
from edgedraft.runtime.core.policies import FixedLength
from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.core.sources import ModelTokenSource
from edgedraft.runtime.core.statistics import DraftStatistics, count_rounds
from edgedraft.runtime.core.token_drafter import TokenDrafter
from edgedraft.runtime.onnx.session import SessionSettings

PAIRS = ((2048, 2), (8192, 3), (32768, 5))


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """One way of drafting."""

    target: LanguageModel
    source: ModelTokenSource
    draft_length: int
    limits: Limits


def run(plan: RunPlan, answers: Sequence[SampledAnswer], console: Console) -> DraftStatistics:
    """Decode every scoring prompt speculatively and count."""
    turns: list[Round] = []
    what = f"K {plan.source.index_map.draft_vocab_size}, draft length {plan.draft_length}"
    for done, entry in enumerate(answers, start=1):
        drafter = TokenDrafter(plan.source, FixedLength(plan.draft_length))
        rounds = speculative_rounds(plan.target, drafter, entry.prompt_ids)
        turns += list(limited(rounds, plan.limits))[1:]
        console.progress(what, done, len(answers))
    return count_rounds(turns)


def main() -> None:
    """Print one row a pair."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--max-new-tokens", type=int, default=64)
    options = parser.parse_args()
    console = Console()
    request = PairRequest(
        target="qwen2.5-coder-1.5b-instruct",
        drafter="qwen2.5-coder-0.5b-instruct",
        target_precision="int4",
        drafter_precision="int4",
        settings=SessionSettings(threads=usable_cores(), context_length=1024),
    )
    pair = prepare_pair(request, cache_folder(), console.progress)
    prompts = PromptSet(name="coding", prompts=shipped_prompts(), max_new_tokens=options.max_new_tokens)
    calibration = calibrate_pair(pair, prompts.at_most(options.prompts), cache_folder(), console.progress)
    order = token_order(pair, calibration)
    windows = acceptance_windows(calibration.trace, ranks_of(order))
    limits = Limits(max_new_tokens=options.max_new_tokens, end_token_ids=pair.end_token_ids)
    rows = []
    for size, draft_length in PAIRS:
        kept = index_map(order, size)
        plan = RunPlan(
            target=pair.target_model,
            source=ModelTokenSource(open_trimmed(pair, kept), kept),
            draft_length=draft_length,
            limits=limits,
        )
        measured = run(plan, calibration.scoring_answers, console)
        predicted = replay(windows, size, draft_length)
        rows.append(
            (
                f"{size:,}",
                str(draft_length),
                f"{predicted.block_efficiency:.3f}",
                f"{measured.block_efficiency:.3f}",
                f"{measured.block_efficiency / predicted.block_efficiency - 1:+.2%}",
                f"{predicted.acceptance_rate:.1%}",
                f"{measured.acceptance_rate:.1%}",
            )
        )
    header = ("K", "draft length", "τ replayed", "τ measured", "difference", "acceptance replayed", "measured")
    console.table(header, rows)
    prompts_run = len(calibration.scoring_answers)
    console.say(f"{prompts_run} scoring prompts; positions cut off by the trace: {windows.cut_share:.2%}")


if __name__ == "__main__":
    main()
