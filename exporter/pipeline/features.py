"""Training data for a drafter that reads the target's states: answers, states, draft vocabulary and configuration.

Everything in the folder is written file by file, so that a run that was stopped goes on where it ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgedraft.calibration.answers.completions import AnswerSpec
from edgedraft.calibration.answers.sampling import SampledAnswer, answer_all
from edgedraft.calibration.counts import TARGET, TEXT, Provenance, TokenCounts, count_tokens
from edgedraft.calibration.data.samples import RANK, SCORE
from edgedraft.calibration.prompts import take
from edgedraft.exporter.models.cache import cache_folder
from edgedraft.exporter.models.eagle.training_files import (
    TrainingExample,
    drafter_config,
    example_path,
    is_written,
    write_example,
)
from edgedraft.exporter.models.lone_target import LoneTarget
from edgedraft.exporter.pipeline.calibrating import (
    AnswerSettings,
    PromptSet,
    answers_key,
    check_text,
    local_answering,
    served_answering,
    text_facts,
)
from edgedraft.exporter.pipeline.inputs import answer_settings, open_target, prompt_set
from edgedraft.exporter.pipeline.requests import FeaturesRequest
from edgedraft.exporter.planning.ranking import coverage, index_map, rank_tokens
from edgedraft.exporter.vocab.kinds import EAGLE3_CACHE, OFFSET
from edgedraft.exporter.vocab.torch_files import require_torch
from edgedraft.exporter.vocab.vocab_map import VocabMap
from edgedraft.exporter.vocab.writing import write_vocab_map
from edgedraft.runtime.base.arrays import Float32Array, Ids
from edgedraft.runtime.base.files import read_json, write_json
from edgedraft.runtime.base.outputs import require_own_folder
from edgedraft.runtime.base.progress import Note, Progress, silent, unsaid
from edgedraft.runtime.base.records import from_plain, require, to_plain
from edgedraft.runtime.core.limits import Limits
from edgedraft.runtime.core.model import LanguageModel, prompt_pieces
from edgedraft.runtime.core.verify import require_finite
from edgedraft.runtime.onnx.features import features_of
from edgedraft.runtime.onnx.session import OnnxGraph

MARKER, CONFIG, VOCAB = "features.json", "config.json", "vocab_mapping.pt"
TRAIN, EVAL = "train", "eval"
FOLDERS = {RANK: TRAIN, SCORE: EVAL}
"""The ranking half's answers are for training, those of the other half to judge it."""

_FORMAT = "edgedraft features 1"


@dataclass(frozen=True, kw_only=True, slots=True)
class FeaturesReport:
    """Contents of the folder: examples and tokens of each part, tapped layers, and the draft vocabulary's coverage.

    ``coverage``: the share of the held-out answers' tokens that the draft vocabulary has.
    """

    folder: str
    examples: dict[str, int]
    tokens: dict[str, int]
    tapped_layers: tuple[int, ...]
    draft_vocab_size: int
    coverage: float

    @property
    def sentences(self) -> tuple[str, ...]:
        """Say what was written."""
        layers = ", ".join(map(str, self.tapped_layers))
        return (
            *(
                f"{self.folder}/{part}: {self.examples[part]:,} answers, {count:,} tokens"
                for part, count in self.tokens.items()
            ),
            f"States that enter layers {layers}, and the state after the final norm, as bfloat16.",
            f"The {self.draft_vocab_size:,} draft tokens cover {self.coverage:.1%} of the held-out answers.",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Marker:
    """The file that says whose features a folder holds; ``key`` changes with all that decides them."""

    format: str
    key: str
    target: str
    tapped_layers: tuple[int, ...]
    complete: bool


def write_features(request: FeaturesRequest, progress: Progress = silent, note: Note = unsaid) -> FeaturesReport:
    """Answer the prompts, and write answers and states for trainers; a run that was stopped is continued.

    Raises `EdgedraftError`, before anything is fetched or sampled, for a folder that holds something else.
    """
    require_torch()
    require_own_folder(Path(request.features), "a folder of features", MARKER)
    prompts, settings = prompt_set(request, note), answer_settings(replace(request, rank_by=request.sources))
    target = open_target(request, cache_folder(request.cache), progress, note)
    return _Features(request, target, prompts, settings, progress).report()


class _Features:
    """One request with what all of its steps need."""

    def __init__(
        self,
        request: FeaturesRequest,
        target: LoneTarget,
        prompts: PromptSet,
        settings: AnswerSettings,
        progress: Progress,
    ) -> None:
        check_text(target.codec, settings.text)
        self.folder, self.target, self.prompts = Path(request.features), target, prompts
        self.settings, self.sources, self.progress = settings, request.sources, progress
        self.taps = target.taps(request.layers)
        self.size = request.vocab_size
        rule = "vocab_size: expected no more tokens than the target's"
        require(self.size <= target.shape.vocab_size, rule, got=self.size, remedy="name a smaller --vocab-size")
        self.facts = settings.facts(prompts.max_new_tokens)
        text = text_facts(target.folder.path, target.codec, target.end_token_ids)
        self.answers_key = answers_key([target.folder.key], prompts, self.facts, text)
        self.cache = cache_folder(request.cache) / "answers" / self.answers_key  # where a calibration keeps them, too

    def report(self) -> FeaturesReport:
        """Write what the folder lacks."""
        self.mark(complete=False)
        graph = self.target.tapped(self.taps)
        answers = {split: self.answers(graph, split) for split in (RANK, SCORE)}
        order = self.write_vocabulary(answers[RANK])
        model = graph.new_model()
        for split, entries in answers.items():
            self.write_examples(model, split, entries)
        self.mark(complete=True)
        return FeaturesReport(
            folder=str(self.folder),
            examples={FOLDERS[split]: len(entries) for split, entries in answers.items()},
            tokens={FOLDERS[split]: sum(map(_tokens, entries)) for split, entries in answers.items()},
            tapped_layers=self.taps,
            draft_vocab_size=self.size,
            coverage=coverage(self.counted(SCORE, answers[SCORE]), order, self.size),
        )

    def mark(self, *, complete: bool) -> None:
        """Say whose features the folder holds; refuse one that holds others, as hours of work may be in it."""
        key = f"{self.answers_key}-{'-'.join(map(str, (*self.taps, self.size, *self.sources)))}"
        name = self.target.folder.source.name
        marker = _Marker(format=_FORMAT, key=key, target=name, tapped_layers=self.taps, complete=complete)
        path = self.folder / MARKER
        if path.is_file():
            found = from_plain(_Marker, read_json(path), str(path))
            rule = f"{self.folder}: holds features of another target, other prompts or other settings"
            remedy = "choose another folder, or delete this one"
            require(found.key == key, rule, got=found.target, remedy=remedy)
        write_json(path, to_plain(marker))

    def answers(self, graph: OnnxGraph, split: str) -> list[SampledAnswer]:
        """Return the target's answers to one half of the prompts."""
        target, settings = self.target, self.settings
        limits = Limits(max_new_tokens=self.prompts.max_new_tokens, end_token_ids=target.end_token_ids)
        spec = AnswerSpec(limits=limits, vocab_size=target.shape.vocab_size, draws=settings.draws)
        answering = (
            local_answering(target.folder, lambda: graph, limits, settings)
            if settings.endpoint is None
            else served_answering(settings.endpoint, target.codec, spec, settings.cluster)
        )
        journal = self.cache / f"{TARGET}-{split}.jsonl"
        name = f"{TARGET}'s answers to {split} prompts"
        asked = take(self.prompts.prompts, split)
        return answer_all(answering, target.codec, asked, journal, lambda _, *done: self.progress(name, *done))

    def counted(self, split: str, answers: Sequence[SampledAnswer]) -> TokenCounts:
        """Count the tokens of answers to one half."""
        origin = Provenance(
            source=TARGET,
            model=self.target.folder.key,
            tokenizer_fingerprint=self.target.codec.fingerprint,
            options=self.facts,
        )
        digests = [prompt.digest for prompt in take(self.prompts.prompts, split)]
        token_ids = [entry.token_ids for entry in answers]
        return count_tokens(zip(digests, token_ids, strict=True), self.target.shape.vocab_size, origin)

    def write_vocabulary(self, answers: Sequence[SampledAnswer]) -> Ids:
        """Write the draft vocabulary and the drafter's configuration; return the tokens' order."""
        counts = {TARGET: self.counted(RANK, answers)}
        if self.settings.text is not None:
            counts[TEXT] = self.settings.text.fitted(self.target.shape.vocab_size)
        order = rank_tokens([counts[source] for source in self.sources], self.target.end_token_ids)
        ids = index_map(order, self.size).target_ids
        vocab_size = self.target.shape.vocab_size
        kept = VocabMap(kind=EAGLE3_CACHE, convention=OFFSET, target_ids=ids, target_vocab_size=vocab_size)
        write_vocab_map(self.folder / VOCAB, kept, EAGLE3_CACHE)
        config = drafter_config(self.target.folder, self.target.shape, self.taps, self.size)
        write_json(self.folder / CONFIG, config)
        return order

    def write_examples(self, model: LanguageModel, split: str, answers: Sequence[SampledAnswer]) -> None:
        """Read each answer once more for its states, and write them; one answer's states are held at a time."""
        for done, entry in enumerate(answers):
            self.progress(f"states of {split} answers", done, len(answers))
            path = example_path(self.folder / FOLDERS[split], done)
            if not is_written(path):
                states = read_states(model, (*entry.prompt_ids, *entry.token_ids))
                width = self.target.shape.hidden
                tapped, final = states[:, :-width], states[:, -width:]
                example = TrainingExample(
                    prompt_ids=entry.prompt_ids, answer_ids=entry.token_ids, tapped=tapped, final=final
                )
                write_example(path, example)
        self.progress(f"states of {split} answers", len(answers), len(answers))


def read_states(model: LanguageModel, token_ids: Sequence[int]) -> Float32Array:
    """Return the features of a tapped target at every token, (tokens, width)."""
    model.rewind(0)
    pieces = [features_of(model.read(piece))[: len(piece)].copy() for piece in prompt_pieces(token_ids)]
    states = np.concatenate(pieces)
    require_finite(bool(np.isfinite(states).all()), "the target")
    return states


def _tokens(entry: SampledAnswer) -> int:
    return len(entry.prompt_ids) + len(entry.token_ids)
