"""The precision that a model gets where none is asked for: the smallest that keeps near fp32, where that fits."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.calibration.data.samples import SCORE
from edgedraft.calibration.prompts import shipped_prompts, take
from edgedraft.exporter.graph.loading import load_graph, model_size
from edgedraft.exporter.graph.precisions import CANDIDATES, DEFAULT, precision_named
from edgedraft.exporter.models.convert import Conversion, OnnxFolder, context_length, convert
from edgedraft.exporter.models.end_tokens import end_token_ids
from edgedraft.exporter.models.packaged_models import packaged_models
from edgedraft.exporter.models.sources import ONNX, ModelSource
from edgedraft.exporter.models.trial import pack_trial, trial_folder
from edgedraft.exporter.pipeline.quality import (
    FLOAT,
    MAX_DIVERGENCE,
    BuildComparison,
    kept_divergence,
    known_divergence,
    shown_divergence,
)
from edgedraft.runtime.base.kept import kept, record_reader, short_sum, write_record
from edgedraft.runtime.base.progress import Note, Progress, silent, unsaid
from edgedraft.runtime.bundle.manifest import DivergenceEntry
from edgedraft.runtime.core.model import LanguageModel, prefill
from edgedraft.runtime.core.verify import greedy_choices
from edgedraft.runtime.onnx.session import SessionSettings, open_model
from edgedraft.runtime.text.codec import TextCodec

_ANSWERS, _ANSWER_TOKENS = 6, 48
_CONTEXT_LENGTH = 1024
_COPIES = 2
"""A session holds a float matrix twice while it packs it."""
_FINER_BLOCKS_HELP = 2.0
"""Finer blocks of 4 bits have never halved a divergence: with more than this times the bound they are not tried."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenPrecision:
    """A precision, and how far the model then strays from fp32; else ``unmeasured`` says why nobody knows."""

    precision: str
    divergence: DivergenceEntry | None = None
    unmeasured: str = ""

    def __str__(self) -> str:
        measured = self.divergence
        known = f"not measured against fp32: {self.unmeasured}" if measured is None else shown_divergence(measured)
        return f"{self.precision}, {known}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PrecisionSearch:
    """Settings of the search for a model's precision: export backend, threads, a bound in nats a token, a cache.

    ``refused`` precisions are left out.
    """

    export_backend: str
    threads: int
    cache: Path
    bound: float = MAX_DIVERGENCE
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _KeptAnswers:
    """The fp32 build's answers as the cache keeps them."""

    answers: tuple[SampledAnswer, ...]


def default_precision(
    source: ModelSource, search: PrecisionSearch, progress: Progress = silent, note: Note = unsaid
) -> ChosenPrecision:
    """Return the smallest precision of a model that strays from fp32 by ``search.bound`` at most.

    The fp32 build answers a few shipped prompts, and candidates read these answers; all but the smallest are packed
    from that build on trial. Results are kept in the cache. Packaged models were measured when they were packaged.
    Where memory or disk cannot hold the fp32 build, it is the smallest precision of all, unmeasured.
    """
    if source.kind == ONNX:
        return ChosenPrecision(precision=DEFAULT, unmeasured="an ONNX folder stays as it was exported")
    known = next((model.divergences for model in packaged_models() if model.sha256 == source.identity), ())
    usable = (each for each in known if each.precision not in search.refused)
    fit = next((each for each in usable if each.kl_per_token <= search.bound), None)
    if fit is not None:
        return ChosenPrecision(precision=fit.precision, divergence=fit)
    search.cache.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=search.cache, ignore_cleanup_errors=True) as place:
        return _Search(source, search, Path(place), progress, note).result()


class _Search:
    """One model's search; the fp32 build is made, asked and opened at most once, and only if it is needed."""

    def __init__(
        self, source: ModelSource, search: PrecisionSearch, place: Path, progress: Progress, note: Note
    ) -> None:
        self._source, self._search, self._place = source, search, place
        self._progress, self._note = progress, note

    def result(self) -> ChosenPrecision:
        """Try candidates, the smallest first, until one is near enough or cannot be measured."""
        names = [name for name in CANDIDATES if name not in self._search.refused]
        coarse: int | None = None  # bits that no finer blocks bring near enough
        for name in names:
            if precision_named(name).bits == coarse:
                continue
            measured = self._known(name)
            if measured is None and (unmeasured := self._no_room):
                return ChosenPrecision(precision=name, unmeasured=unmeasured)
            measured = measured or self._measured(name)
            if measured.kl_per_token <= self._search.bound or name == names[-1]:
                return ChosenPrecision(precision=measured.precision, divergence=measured)
            if name == names[0] and measured.kl_per_token > _FINER_BLOCKS_HELP * self._search.bound:
                coarse = precision_named(name).bits
            self._note(f"{self._source.name} {measured.precision}: {shown_divergence(measured)}, which is too far")
        raise AssertionError("the last candidate is taken in any case")

    def _known(self, precision: str) -> DivergenceEntry | None:
        """Return the divergence that an earlier search measured, which needs no room and no model."""
        reference = self._key(FLOAT)
        answers = kept(record_reader(_KeptAnswers), self._answers_file(reference))
        if answers is None:
            return None
        return known_divergence(self._key(precision), reference, answers.answers, self._search.cache)

    def _key(self, precision: str) -> str:
        backend, cache = self._search.export_backend, self._search.cache
        found = precision_named(precision)
        return Conversion(source=self._source, precision=found, export_backend=backend, cache=cache).folder.name

    def _answers_file(self, reference_key: str) -> Path:
        facts = [reference_key, _ANSWERS, _ANSWER_TOKENS, _CONTEXT_LENGTH]
        return self._search.cache / "quality" / f"answers-{short_sum(facts)}.json"

    @cached_property
    def _no_room(self) -> str:
        """Why the fp32 build cannot be made and opened here; empty if it can."""
        return self._too_large(self._converted(next(n for n in CANDIDATES if n not in self._search.refused)))

    def _too_large(self, packed: OnnxFolder) -> str:
        """Return why there is no room for the fp32 build of a packed model; nothing where there is."""
        parameters = model_size(load_graph(packed.graph)).parameters
        needed = parameters * precision_named(FLOAT).bits // 8 * _COPIES + packed.file_bytes
        for what, free in (
            ("memory", psutil.virtual_memory().available),
            ("disk", shutil.disk_usage(self._search.cache).free),
        ):
            if free < needed:
                return f"its fp32 build needs {needed / 2**30:.1f} GiB of {what}, {free / 2**30:.1f} GiB are free"
        return ""

    def _converted(self, precision: str) -> OnnxFolder:
        return convert(self._source, precision, self._search.cache, self._progress, self._search.export_backend)

    @cached_property
    def _float(self) -> OnnxFolder:
        return self._converted(FLOAT)

    @cached_property
    def _settings(self) -> SessionSettings:
        longest = min(_CONTEXT_LENGTH, context_length(self._float.path))
        return SessionSettings(threads=self._search.threads, context_length=longest)

    @cached_property
    def _reference(self) -> LanguageModel:
        return open_model(self._float.graph, self._settings)

    @cached_property
    def _answers(self) -> tuple[SampledAnswer, ...]:
        """Return the fp32 build's own answers to a few shipped prompts, from the cache if it has them."""
        path = self._answers_file(self._float.key)
        if (known := kept(record_reader(_KeptAnswers), path)) is not None:
            return known.answers
        made = self._generated()
        write_record(path, _KeptAnswers(answers=made))
        return made

    def _generated(self) -> tuple[SampledAnswer, ...]:
        codec, ends = TextCodec(self._float.path), end_token_ids(self._float.path)
        context = self._settings.context_length
        most = min(_ANSWER_TOKENS, context // 2)  # a short context is half prompt, half answer
        answers = []
        for done, prompt in enumerate(take(shipped_prompts(), SCORE, _ANSWERS)):
            self._progress(f"answers of {self._source.name} in fp32", done, _ANSWERS)
            ids = list(codec.encode_chat(prompt.messages))[-(context - most) :]
            answer = _greedy(self._reference, ids, ends, most)
            answers.append(SampledAnswer(prompt_id=prompt.id, prompt_ids=tuple(ids), token_ids=tuple(answer)))
        self._progress(f"answers of {self._source.name} in fp32", _ANSWERS, _ANSWERS)
        return tuple(answers)

    def _measured(self, precision: str) -> DivergenceEntry:
        folder = trial_folder(self._float, precision, self._search.cache, self._place)

        def opened() -> tuple[LanguageModel, LanguageModel]:
            if folder.key == self._float.key:
                return self._reference, self._reference
            self._progress(f"trying {self._source.name} {precision}", 0, 1)
            pack_trial(folder, self._float, self._search.cache)
            self._progress(f"trying {self._source.name} {precision}", 1, 1)
            return self._reference, open_model(folder.graph, self._settings)

        comparison = BuildComparison(folder=folder, reference=self._float, opened=opened)
        return kept_divergence(comparison, self._answers, self._search.cache, self._progress)


def _greedy(model: LanguageModel, prompt_ids: Sequence[int], ends: Sequence[int], most: int) -> list[int]:
    """Return the model's greedy answer, cut off at ``most`` tokens."""
    model.rewind(0)
    answer = greedy_choices(prefill(model, prompt_ids)[None])[:1]
    while len(answer) < most and answer[-1] not in ends:
        answer.append(greedy_choices(model.read(answer[-1:]).logits)[0])
    return answer
