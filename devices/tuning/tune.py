"""Tune a bundle on this device: time rounds with each thread count and choice of kernels, choose, and keep."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from edgedraft.devices.machine import this_machine
from edgedraft.devices.tuning.choosing import TuningChoice, choose
from edgedraft.devices.tuning.kept import Tuning, keep_tuning, key_here
from edgedraft.devices.tuning.passes import TimedRound, time_rounds
from edgedraft.runtime.base.cores import require_threads, usable_cores
from edgedraft.runtime.base.kernel_names import PairKernels
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.provider_names import CPU
from edgedraft.runtime.base.records import require
from edgedraft.runtime.bundle.manifest import INDEPENDENT
from edgedraft.runtime.bundle.reading import Bundle, read_bundle
from edgedraft.runtime.core.model import Clock
from edgedraft.runtime.core.padding import padded_rows
from edgedraft.runtime.core.plan import DecodingPlan
from edgedraft.runtime.engine import Engine
from edgedraft.runtime.native.library import AUTO
from edgedraft.runtime.onnx.kernel_choice import kernels_to_time
from edgedraft.runtime.onnx.session import SessionSettings

TUNING_SECONDS = 30.0
_CONTEXT = 1024
_SMT_CORES = 4
"""From so many cores on half of them are tried, too: two threads of one core share its arithmetic."""

_TEXT = (
    "A queue holds the tasks that wait. Each worker takes the oldest task, does it, and reports the result. When one "
    "fails, it goes back to the end of the queue, at most three times. Write down, step by step, how the queue, the "
    "workers and the reports work together, and then show it with a short example of five tasks and two workers:\n\n1."
)
"""What the target goes on with while its passes are timed."""

Turns = list[list[TimedRound]]


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneRequest:
    """Tune the bundle in a folder, on a provider, in about ``seconds``.

    - ``threads``: the counts to compare; by default every usable core, half of them where there are many, the plan's.
    """

    bundle: Path
    provider: str = CPU
    threads: tuple[int, ...] = ()
    seconds: float = TUNING_SECONDS
    verify_hashes: bool = True

    def __post_init__(self) -> None:
        require(1 <= self.seconds <= 3600, "seconds: expected 1..3600", got=self.seconds)
        for threads in self.threads:
            require_threads(threads)


@dataclass(frozen=True, kw_only=True, slots=True)
class TunedSetup:
    """Threads of the pool and kernels of both models."""

    threads: int
    kernels: PairKernels


@dataclass(frozen=True, kw_only=True, slots=True)
class TunedBundle:
    """The chosen setup, the file that keeps it, all setups that were timed with what each would reach, and the rest.

    ``untimed`` are setups for which no time was left. ``padding`` says to how many rows a pass of so many is padded,
    where it is; ``exact_is_cheap`` whether exact mode is the default, where it is possible.
    """

    tuning: Tuning
    file: str
    setups: dict[str, float]
    untimed: tuple[str, ...]
    padding: dict[str, int]
    exact_is_cheap: bool


def tune(request: TuneRequest, progress: Progress = silent, clock: Clock = time.perf_counter) -> TunedBundle:
    """Time, choose and keep. Raises `EdgedraftError` for a bundle without forecasts, as older versions wrote them."""
    started = clock()
    bundle = read_bundle(request.bundle, verify_hashes=request.verify_hashes)
    key = key_here(request.bundle, request.provider)
    rule = f"{request.bundle}: its manifest holds no forecast of accepted drafts, which tuning needs"
    require(bundle.manifest.forecast is not None, rule, remedy="export the bundle again")
    chosen, untimed = _compared(request, bundle, started + request.seconds, progress, clock)
    setup, choice = max(chosen, key=lambda pair: _reached(pair[1]))
    plan = tuned_plan(bundle.manifest.plan, setup, choice, this_machine().name)
    tuning = Tuning(key=key, plan=plan, ways=choice.ways, seconds=clock() - started)
    return TunedBundle(
        tuning=tuning,
        file=str(keep_tuning(request.bundle, tuning)),
        setups={_named(each): _reached(found) for each, found in chosen},
        untimed=tuple(map(_named, untimed)),
        padding=_padding(plan.target_pass_seconds, request.provider),
        exact_is_cheap=plan.exact_is_cheap,
    )


def _compared(
    request: TuneRequest, bundle: Bundle, deadline: float, progress: Progress, clock: Clock
) -> tuple[list[tuple[TunedSetup, TuningChoice]], list[TunedSetup]]:
    """Time the setups one after the other, each with an equal share of the time; return choices, and what was left."""
    setups, forecast = setups_to_time(request, bundle), bundle.manifest.forecast
    assert forecast is not None
    reads_states, longest = bundle.manifest.drafter_kind != INDEPENDENT, 0.0
    chosen: list[tuple[TunedSetup, TuningChoice]] = []
    for place, setup in enumerate(setups):
        begun, rest = clock(), len(setups) - place
        if begun + longest > deadline:
            return chosen, setups[place:]
        measure = partial(_timed_here, request, setup, max((deadline - begun) / rest, 0.0))
        turns = measure(progress) if len(setups) == 1 else _in_child(measure)
        chosen.append((setup, choose(forecast, turns, reads_states=reads_states)))
        progress("timing setups", place + 1, len(setups))
        longest = max(longest, clock() - begun)
    return chosen, []


def setups_to_time(request: TuneRequest, bundle: Bundle) -> list[TunedSetup]:
    """Return the setups to time, the likeliest first."""
    cores, planned = usable_cores(), bundle.manifest.plan.threads
    usual = (cores, *((cores // 2,) if cores >= _SMT_CORES else ()), min(planned, cores))
    return [
        TunedSetup(threads=threads, kernels=kernels)
        for threads in dict.fromkeys(request.threads or usual)
        for kernels in _kernels_to_time(bundle, request.provider)
    ]


def _kernels_to_time(bundle: Bundle, provider: str) -> Iterator[PairKernels]:
    targets, drafters = (
        kernels_to_time(graph, provider, AUTO) for graph in (bundle.target_graph, bundle.drafter_graph)
    )
    for place in range(max(len(targets), len(drafters))):
        yield PairKernels(target=targets[min(place, len(targets) - 1)], drafter=drafters[min(place, len(drafters) - 1)])


def _in_child(measure: Callable[[], Turns]) -> Turns:
    """Measure in another process: a process keeps its one pool of threads, and what it closes leaves memory behind."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as child:
        return child.submit(measure).result()


def _timed_here(request: TuneRequest, setup: TunedSetup, seconds: float, progress: Progress = silent) -> Turns:
    """Open the bundle with ``setup`` and time rounds; both take ``seconds`` together, or as long as they must."""
    clock = time.perf_counter
    deadline = clock() + seconds
    bundle = read_bundle(request.bundle, verify_hashes=False)
    settings = SessionSettings(
        threads=setup.threads,
        context_length=min(_CONTEXT, bundle.manifest.context_length),
        provider=request.provider,
    )
    longest = min(settings.context_length, bundle.manifest.drafter_context_length or settings.context_length)
    engine = Engine(_unplanned(bundle, setup, request.provider), settings, replace(settings, context_length=longest))
    prompt_ids = engine.codec.encode_prompt(_TEXT)[: longest // 4]
    with engine.slots.taken() as slot:
        return time_rounds(slot.target, slot.source, prompt_ids, clock, deadline, progress)


def _unplanned(bundle: Bundle, setup: TunedSetup, provider: str) -> Bundle:
    """Return the bundle with a plan that pads no pass, and names the kernels of ``setup``."""
    plan = replace(bundle.manifest.plan, kernels=setup.kernels, target_pass_seconds=(1.0,), drafter_pass_seconds=(1.0,))
    return replace(bundle, manifest=replace(bundle.manifest, plan=plan, provider=provider))


def tuned_plan(plan: DecodingPlan, setup: TunedSetup, choice: TuningChoice, device: str) -> DecodingPlan:
    """Return ``plan`` with what was chosen and timed here."""
    costs, best = choice.passes.drafter, choice.best
    second_row = costs.next + costs.after_full if not costs.per_accepted else costs.first + costs.per_accepted
    return replace(
        plan,
        draft_length=best.draft_length,
        threads=setup.threads,
        predicted_tokens_per_second=best.tokens_per_second,
        predicted_plain_tokens_per_second=choice.plain.tokens_per_second,
        predicted_block_efficiency=best.block_efficiency,
        predicted_acceptance_rate=best.acceptance_rate,
        target_pass_seconds=choice.passes.target,
        drafter_pass_seconds=(costs.next, second_row),
        speculate=choice.speculate,
        reason=_reason(choice),
        device=device,
        speed_up_low=choice.speed_up.low,
        speed_up_high=choice.speed_up.high,
        chance_to_pay=choice.chance_to_pay,
        kernels=setup.kernels,
        policy=best.policy,
    )


def _padding(target_pass_seconds: tuple[float, ...], provider: str) -> dict[str, int]:
    """Return to how many rows passes of so many are padded, without those that are not."""
    counts = range(1, len(target_pass_seconds) + 1)
    padded = {rows: padded_rows(rows, target_pass_seconds, provider) for rows in counts}
    return {str(rows): more for rows, more in padded.items() if more > rows}


def _reason(choice: TuningChoice) -> str:
    best, plain = choice.best, choice.plain.tokens_per_second
    drafts = f"{best.draft_length} draft{'s' if best.draft_length > 1 else ''}"
    return (
        f"{'speculate' if choice.speculate else 'do not speculate'}, tuned on this device: {best.policy} with {drafts} "
        f"yields {best.block_efficiency:.2f} tokens a round, {best.tokens_per_second:.1f} tokens/s; the target alone "
        f"makes {plain:.1f} tokens/s; speed-up {choice.speed_up.text(2)}"
    )


def _reached(choice: TuningChoice) -> float:
    """Return the tokens per second that a setup reaches by the better of drafting and not drafting."""
    return choice.best.tokens_per_second if choice.speculate else choice.plain.tokens_per_second


def _named(setup: TunedSetup) -> str:
    return f"{setup.threads} thread{'s' if setup.threads > 1 else ''}, {setup.kernels}"
