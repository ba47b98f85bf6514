"""Passes to time: every model once, by role and kernels; drafters at some draft vocabulary sizes, targets by rows."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgedraft.devices.steps import DRAFTER, READING, TARGET, StepCase
from edgedraft.exporter.models.convert import OnnxFolder
from edgedraft.exporter.models.eagle.converting import STEP_NAME, LayerFolder
from edgedraft.exporter.models.eagle.pair import EaglePair
from edgedraft.exporter.models.pair import AnyPair, Pair
from edgedraft.exporter.models.trimmed import open_trimmed
from edgedraft.exporter.pipeline.layer_steps import own_passes, reading_cases, reading_passes
from edgedraft.exporter.planning.ranking import index_map, scored_first
from edgedraft.runtime.base.arrays import Ids
from edgedraft.runtime.base.kernel_names import shown_kernels
from edgedraft.runtime.core.model import LanguageModel
from edgedraft.runtime.onnx.kernel_choice import kernels_to_time
from edgedraft.runtime.onnx.session import SessionSettings

PROBED_SIZES = (4096, 32768)
PROBED_ROWS = (*range(1, 10), 13, 17)

Conversion = OnnxFolder | LayerFolder
"""A converted model, or a converted layer."""


def timed_kernels(folder: Conversion, settings: SessionSettings) -> tuple[str, ...]:
    """Return the kernels with which a model's passes are timed."""
    return kernels_to_time(graph_of(folder), settings.provider, settings.kernels)


def graph_of(folder: Conversion) -> Path:
    """Return the graph of a model, or of a layer's step."""
    return folder.path / STEP_NAME if isinstance(folder, LayerFolder) else folder.graph


def step_cases(pairs: Sequence[AnyPair], order: Ids) -> tuple[dict[str, LanguageModel], list[StepCase]]:
    """Open every model once, by role and precision, and list the passes to time.

    A target's pass over one token follows another such, as in plain decoding; its blocks follow a drafter, and drafters
    a target, as in a round.
    """
    models: dict[str, LanguageModel] = {}
    cases: list[StepCase] = []
    for pair, timed in _variants(pairs, DRAFTER):
        steps = _layer_steps(pair, timed, order) if isinstance(pair, EaglePair) else _drafter_steps(pair, timed, order)
        models |= steps[0]
        cases += steps[1]
    for pair, timed in _variants(pairs, TARGET):
        models[timed.name] = pair.target_model
        cases += [_target_case(pair, timed, rows) for rows in PROBED_ROWS]
    return models, cases


def _probed_sizes(pair: AnyPair) -> list[int]:
    return [size for size in PROBED_SIZES if size < pair.most_draft_tokens]


_Steps = tuple[dict[str, LanguageModel], list[StepCase]]


def _drafter_steps(pair: Pair, timed: "_Timed", order: Ids) -> _Steps:
    """Open an independent drafter whole and at the probed sizes; whole it is timed with two rows too."""
    order = scored_first(order, pair.head_ids)
    models: dict[str, LanguageModel] = {timed.name: pair.drafter_model}
    cases = [_drafter_case(pair, timed, pair.most_draft_tokens, rows) for rows in (1, 2)]
    for size in _probed_sizes(pair):
        name = f"{timed.name} {size}"
        models[name] = open_trimmed(pair, index_map(order, size))
        cases.append(_drafter_case(pair, replace(timed, name=name), size, 1))
    return models, cases


def _layer_steps(pair: EaglePair, timed: "_Timed", order: Ids) -> _Steps:
    """Open a layer at the probed sizes and whole; its first passes are timed with the smallest head."""
    order = scored_first(order, pair.head_ids)
    models: dict[str, LanguageModel] = {}
    cases = []
    for size in (*_probed_sizes(pair), pair.most_draft_tokens):
        name, graph = f"{timed.name} {size}", pair.layer_graph(index_map(order, size))
        if size == pair.most_draft_tokens:
            name = timed.name
        models[name] = own_passes(pair, graph.new_layer())
        cases.append(_drafter_case(pair, replace(timed, name=name), size, 1))
        if len(cases) == 1:
            models[f"{timed.name}, {READING}"] = reading_passes(pair, graph.new_layer())
    return models, [*cases, *reading_cases(cases[0], f"{timed.name}, {READING}")]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Timed:
    """A model to time: its name among all models, its kernels, and the other role's model, which runs before it."""

    name: str
    kernels: str
    other: str


def _variants(pairs: Sequence[AnyPair], role: str) -> Iterator[tuple[AnyPair, _Timed]]:
    """Yield a pair for each model of ``role`` and each of the kernels with which its passes are timed."""
    called, other_role = _Names(pairs), TARGET if role == DRAFTER else DRAFTER
    for pair in {_folder(pair, role).key: pair for pair in pairs}.values():
        names = timed_kernels(_folder(pair, role), pair.settings)
        for name in names:
            opened = pair if len(names) == 1 else _with_kernels(pair, name)
            before = called.of(other_role, pair, name)
            yield opened, _Timed(name=called.of(role, pair, name), kernels=name, other=before)


class _Names:
    """Names models by role and precision, and by more where several have these in common."""

    def __init__(self, pairs: Sequence[AnyPair]) -> None:
        models = {(role, _folder(pair, role).key): _folder(pair, role) for pair in pairs for role in (TARGET, DRAFTER)}
        self._alike = Counter((role, folder.precision) for (role, _), folder in models.items())

    def of(self, role: str, pair: AnyPair, kernels: str) -> str:
        """Return a model's name; it has the first of the kernels that are timed if not those asked for."""
        folder = _folder(pair, role)
        one = f"{role} {folder.precision}"
        if self._alike[role, folder.precision] > 1:
            one = f"{one}, {folder.key}"
        timed = timed_kernels(folder, pair.settings)
        return one if len(timed) == 1 else f"{one}, {shown_kernels(kernels if kernels in timed else timed[0])}"


def _with_kernels(pair: AnyPair, name: str) -> AnyPair:
    settings = replace(pair.settings, kernels=name)
    if isinstance(pair, EaglePair):
        return EaglePair(pair.target, pair.drafter, settings)
    return Pair(pair.target, pair.drafter, settings)


def _folder(pair: AnyPair, role: str) -> Conversion:
    return pair.target if role == TARGET else pair.drafter


def _drafter_case(pair: AnyPair, timed: _Timed, size: int, rows: int) -> StepCase:
    return StepCase(
        model=timed.name,
        role=DRAFTER,
        precision=pair.drafter.precision,
        weight_bytes=pair.trimmed_size(size).weight_bytes,
        rows=rows,
        after=timed.other,
        kernels=timed.kernels,
        conversion=pair.drafter.key,
    )


def _target_case(pair: AnyPair, timed: _Timed, rows: int) -> StepCase:
    return StepCase(
        model=timed.name,
        role=TARGET,
        precision=pair.target.precision,
        weight_bytes=pair.target_size.weight_bytes,
        rows=rows,
        after=timed.name if rows == 1 else timed.other,
        kernels=timed.kernels,
        conversion=pair.target.key,
    )
