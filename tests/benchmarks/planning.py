"""How long planning takes on a trace of 50,000 positions: the scan of every size and draft length, and a whole plan.

    python tests/benchmarks/planning.py [--positions 50000] [--answers 200] [--vocab-size 151936] [--repeats 5]

The trace is made up: tokens as frequent as Zipf's law has them, three quarters of them the drafter's favourite, the
others some places down its list. `plan` is what follows timing and sampling: windows, the scan of whole tiles,
coverage, weighing six made-up setups, and how sure the winner is. Some scanned options are replayed one by one, which
must give the same.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from edgedraft.calibration.counts import Provenance, TokenCounts
from edgedraft.calibration.data.samples import GROUPS
from edgedraft.calibration.trace.rows import AcceptanceTrace
from edgedraft.console import Console
from edgedraft.devices.latency import StepModel
from edgedraft.exporter.planning.planner import Decision, decide
from edgedraft.exporter.planning.ranking import rank_tokens, ranks_of
from edgedraft.exporter.planning.replay import DRAFT_LENGTHS, AcceptanceWindows, acceptance_windows, replay
from edgedraft.exporter.planning.scan import Scan, replay_answers, scan, tiled_sizes
from edgedraft.exporter.planning.scoring import Candidate, PairLatency, PlanLimits, Setup

PRECISIONS = ("int4", "int8", "fp32")
BYTES_PER_WEIGHT = {"int4": 0.57, "int8": 1.07, "fp32": 4.0}
TARGET_WEIGHTS, DRAFTER_WEIGHTS, DRAFTER_WIDTH = 1_500_000_000, 360_000_000, 896
CHECKED_OPTIONS = 50


def made_up_trace(options: argparse.Namespace, rng: np.random.Generator) -> AcceptanceTrace:
    """A greedy trace; ids are as likely as 1 / (id + 1)."""

    def tokens(count: int) -> np.ndarray:
        return np.minimum(options.vocab_size ** rng.random(count), options.vocab_size - 1).astype(np.int64)

    agrees = rng.random(options.positions) < 0.75
    wanted = np.where(agrees, 1, 2 + rng.geometric(0.05, options.positions))
    target_ids, ids = tokens(options.positions), tokens(int(wanted.sum())).astype(np.int32)
    ids[np.cumsum(wanted) - 1] = target_ids
    ends = np.sort(rng.integers(0, options.positions + 1, options.answers - 1))
    return AcceptanceTrace(
        target_ids=target_ids,
        wanted=wanted,
        ids=ids,
        log_probs_by_drafter=np.zeros(len(ids), dtype=np.float32),
        offsets=np.array([0, *ends, options.positions]),
        cap=int(wanted.max()),
    )


def counted(target_ids: np.ndarray, vocab_size: int) -> TokenCounts:
    """The trace's own tokens as counts: a plan's cost does not depend on whose they are."""
    by_group = np.zeros((GROUPS, vocab_size), dtype=np.int64)
    by_group[0] = np.bincount(target_ids, minlength=vocab_size)
    prompts = np.array([1] + [0] * (GROUPS - 1))
    provenance = Provenance(source="target", tokenizer_fingerprint="made up")
    return TokenCounts(by_group=by_group, prompts_by_group=prompts, provenance=provenance)


def candidate(setup: Setup) -> Candidate:
    """A setup with a step model that is made up."""
    target, drafter = (BYTES_PER_WEIGHT[name] for name in (setup.target_precision, setup.drafter_precision))

    def drafter_bytes(size: int) -> int:
        return int(drafter * (DRAFTER_WEIGHTS + size * DRAFTER_WIDTH))

    slow = 1.6 if setup.threads == 1 else 1.0
    steps = StepModel(
        overhead_seconds=1e-3,
        seconds_per_byte=slow * 5e-11,
        rows=(1, 2, 4, 8),
        row_factors=(1.0, 1.2, 1.5, 2.1),
        own_sigma=0.05,
        growth_sigma=0.05,
    )
    target_bytes = int(target * TARGET_WEIGHTS)
    return Candidate(
        setup=setup,
        latency=PairLatency(target=steps, drafter=steps, target_bytes=target_bytes, drafter_bytes=drafter_bytes),
        memory_bytes=lambda size: target_bytes + drafter_bytes(size),
    )


def planned(trace: AcceptanceTrace, counts: TokenCounts) -> Decision:
    """From counts and trace to the decision."""
    order = rank_tokens([counts], ())
    answers = replay_answers(trace, counts, order, tiled_sizes(counts.vocab_size), DRAFT_LENGTHS)
    setups = [
        Setup(target_precision=precision, drafter_precision=precision, threads=threads)
        for precision in PRECISIONS
        for threads in (1, 2)
    ]
    return decide([candidate(setup) for setup in setups], answers, PlanLimits(), "made up", np.random.default_rng(0))


def seconds_of(job: Callable[[], object], repeats: int) -> tuple[str, str]:
    """Median and range of so many runs."""
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        job()
        taken.append(time.perf_counter() - started)
    return f"{statistics.median(taken):.2f}", f"{min(taken):.2f}..{max(taken):.2f}"


def same_as_replays(found: Scan, windows: AcceptanceWindows, rng: np.random.Generator) -> bool:
    """Whether replays of options drawn at random sum to what was scanned."""
    rows, columns = rng.integers(0, np.array(found.rounds.shape)[:, None], (2, CHECKED_OPTIONS))
    names = ("rounds", "full_rounds", "accepted", "evaluated")
    for row, column in zip(rows, columns, strict=True):
        one = replay(windows, int(found.sizes[row]), int(found.draft_lengths[column]))
        if any(getattr(one, name).sum() != getattr(found, name)[row, column] for name in names):
            return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--positions", type=int, default=50_000)
    parser.add_argument("--answers", type=int, default=200)
    parser.add_argument("--vocab-size", type=int, default=151_936)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    console, rng = Console(), np.random.default_rng(0)
    trace = made_up_trace(options, rng)
    counts = counted(trace.target_ids, options.vocab_size)
    windows = acceptance_windows(trace, ranks_of(rank_tokens([counts], ())))
    every, tiles = np.arange(1, options.vocab_size + 1), tiled_sizes(options.vocab_size)
    jobs = {
        f"scan, all {len(every):,} sizes, draft lengths 1..16": lambda: scan(windows, every),
        f"scan, {len(tiles):,} sizes of whole tiles, draft lengths 1..16": lambda: scan(windows, tiles),
        f"plan, {2 * len(PRECISIONS)} setups, whole tiles": lambda: planned(trace, counts),
    }
    rows = [(name, *seconds_of(job, options.repeats)) for name, job in jobs.items()]
    console.table(("what", "seconds, median", "spread"), rows)
    same = same_as_replays(scan(windows, every), windows, rng)
    console.note(f"{CHECKED_OPTIONS} scanned options are what their replays sum to: {'yes' if same else 'no'}")
    console.note(f"the plan: {planned(trace, counts).plan.reason}")


if __name__ == "__main__":
    main()
