"""Open what a request names: the prompts, the way answers are made, and the pair of models."""

import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TypeVar

from edgedraft.calibration.answers.batched import Draws
from edgedraft.calibration.answers.server import Endpoint
from edgedraft.calibration.counts_file import read_counts
from edgedraft.calibration.prompts import SHIPPED, chosen_prompts
from edgedraft.calibration.ray_engine import RayOptions
from edgedraft.devices.machine import usable_cores
from edgedraft.exporter.graph.precisions import AUTO, DEFAULT
from edgedraft.exporter.graph.providers import DRAFTER, TARGET
from edgedraft.exporter.models.admission import require_readable_graph, require_supported
from edgedraft.exporter.models.convert import convert
from edgedraft.exporter.models.layers import is_layer
from edgedraft.exporter.models.lone_target import LoneTarget
from edgedraft.exporter.models.mtp.telling import CHOICE, carries_head
from edgedraft.exporter.models.pair import AnyPair, PairRequest, fitting_sources, prepare_pairs
from edgedraft.exporter.models.sources import resolve
from edgedraft.exporter.models.whole_files import require_whole
from edgedraft.exporter.pipeline.calibrating import AnswerSettings, PromptSet
from edgedraft.exporter.pipeline.default_precision import ChosenPrecision, PrecisionSearch, default_precision
from edgedraft.exporter.pipeline.quality import MAX_DIVERGENCE
from edgedraft.exporter.pipeline.requests import DRAFTER as PACKAGED
from edgedraft.exporter.pipeline.requests import RAY, PairInputs
from edgedraft.runtime.base.progress import Note, Progress, silent, unsaid
from edgedraft.runtime.base.records import require
from edgedraft.runtime.onnx.session import SessionSettings

Inputs = TypeVar("Inputs", bound=PairInputs)


def prompt_set(inputs: PairInputs, note: Note = unsaid) -> PromptSet:
    """Read the prompts of a request; ``note`` gets the number of equal ones."""
    prompts = chosen_prompts(inputs.prompts, note)
    name = Path(inputs.prompts).name if inputs.prompts else f"edgedraft's own {SHIPPED} prompts"
    return PromptSet(name=name, prompts=prompts, max_new_tokens=inputs.max_new_tokens).at_most(inputs.prompts_per_half)


def answer_settings(inputs: PairInputs) -> AnswerSettings:
    """Return how a calibration's answers are made and which counts rank; the server's key is ``OPENAI_API_KEY``."""
    endpoint = None
    if inputs.generate_with:
        endpoint = Endpoint(
            url=inputs.generate_with,
            model=inputs.served_model,
            api_key=os.environ.get("OPENAI_API_KEY", ""),
            concurrency=inputs.concurrency,
        )
    return AnswerSettings(
        sources=inputs.rank_by,
        text=read_counts(Path(inputs.text_counts)) if inputs.text_counts else None,
        draws=None if inputs.sampling is None else Draws(settings=inputs.sampling, seed=inputs.seed or 0),
        endpoint=endpoint,
        cluster=RayOptions(address=inputs.ray_address) if inputs.engine == RAY else None,
        batch_rows=inputs.batch_size,
    )


def with_named_drafter(inputs: Inputs, cache: Path, progress: Progress = silent, note: Note = unsaid) -> Inputs:
    """Return the request with a drafter in place of "auto": the target's own head, or else the packaged model."""
    if inputs.drafter != AUTO:
        return inputs
    own = carries_head(inputs.target, cache, progress)
    if own:
        note(f"{TARGET} {inputs.target}: its own multi-token-prediction head drafts; --drafter names another drafter")
    return replace(inputs, drafter=f"{inputs.target}{CHOICE}" if own else PACKAGED)


def with_default_precisions(
    inputs: Inputs,
    cache: Path,
    progress: Progress = silent,
    note: Note = unsaid,
    *,
    bound: float | None = None,
    refused: Collection[str] = (),
) -> tuple[Inputs, dict[str, ChosenPrecision]]:
    """Return the request with chosen precisions in place of "auto", and their divergences by role.

    ``bound`` is the largest divergence from fp32 in nats per token (None: `MAX_DIVERGENCE`). ``refused`` precisions are
    not chosen.
    """
    inputs = with_named_drafter(inputs, cache, progress, note)
    references = {TARGET: inputs.target, DRAFTER: inputs.drafter}
    asked = {TARGET: inputs.target_precisions, DRAFTER: inputs.drafter_precisions}
    if any(AUTO in names for names in asked.values()):  # choosing a precision converts
        _, drafter = fitting_sources(inputs.target, inputs.drafter, inputs.export_backend, cache, progress)
        if AUTO in asked[DRAFTER] and is_layer(drafter):
            # A layer cannot answer without its target, and only the target decides a text.
            asked[DRAFTER] = (DEFAULT,)
            note(f"{DRAFTER} {drafter.name}: {DEFAULT}, the default of layers on a target")
    search = PrecisionSearch(
        export_backend=inputs.export_backend,
        threads=inputs.threads[0] if inputs.threads else usable_cores(),
        cache=cache,
        bound=MAX_DIVERGENCE if bound is None else bound,
        refused=tuple(refused),
    )
    chosen = {}
    for role in (role for role, names in asked.items() if AUTO in names):
        source = resolve(references[role], cache, progress)
        chosen[role] = default_precision(source, search, progress, note)
        note(f"{role} {source.name}: {chosen[role]}")
    decided = asked | {role: (each.precision,) for role, each in chosen.items()}
    return replace(inputs, target_precisions=decided[TARGET], drafter_precisions=decided[DRAFTER]), chosen


def open_pairs(inputs: PairInputs, cache: Path, progress: Progress = silent) -> list[AnyPair]:
    """Fetch and convert the pair in each combination of precisions, the first ones first."""
    inputs, _ = with_default_precisions(inputs, cache, progress)
    threads = inputs.threads[0] if inputs.threads else usable_cores()
    settings = SessionSettings(threads=threads, context_length=inputs.context_length)
    precisions = product(dict.fromkeys(inputs.target_precisions), dict.fromkeys(inputs.drafter_precisions))
    requests = [
        PairRequest(
            target=inputs.target,
            drafter=inputs.drafter,
            target_precision=target,
            drafter_precision=drafter,
            settings=settings,
            export_backend=inputs.export_backend,
        )
        for target, drafter in precisions
    ]
    return prepare_pairs(requests, cache, progress)


def open_target(inputs: PairInputs, cache: Path, progress: Progress = silent, note: Note = unsaid) -> LoneTarget:
    """Fetch and convert the target of a request, which is used alone."""
    _require_one({"--target-precision": inputs.target_precisions, "--threads": inputs.threads})
    source = resolve(inputs.target, cache, progress)
    require_supported(source, inputs.export_backend)
    require_whole(source)
    require_readable_graph(source)
    threads = inputs.threads[0] if inputs.threads else usable_cores()
    precision = inputs.target_precisions[0]
    if precision == AUTO:
        search = PrecisionSearch(export_backend=inputs.export_backend, threads=threads, cache=cache)
        chosen = default_precision(source, search, progress, note)
        note(f"{TARGET} {source.name}: {chosen}")
        precision = chosen.precision
    folder = convert(source, precision, cache, progress, inputs.export_backend)
    return LoneTarget(folder=folder, settings=SessionSettings(threads=threads, context_length=inputs.context_length))


def open_pair(inputs: PairInputs, cache: Path, progress: Progress = silent) -> AnyPair:
    """Fetch and convert the one pair of a request; several drafters, precisions or thread counts are for planning."""
    _require_one(
        {
            "--drafter": (inputs.drafter, *inputs.other_drafters),
            "--target-precision": inputs.target_precisions,
            "--drafter-precision": inputs.drafter_precisions,
            "--threads": inputs.threads,
        }
    )
    return open_pairs(inputs, cache, progress)[0]


def _require_one(several: Mapping[str, tuple[object, ...]]) -> None:
    for flag, given in several.items():
        require(len(given) <= 1, f"{flag}: expected one here", got=" ".join(map(str, given)))
