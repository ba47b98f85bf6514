"""A model's text is the one that transformers computes, or its family is refused by name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from edgedraft.exporter.graph.head import trim_head
from edgedraft.exporter.graph.loading import load_graph
from edgedraft.exporter.graph.worker_pack import pack_folder
from edgedraft.exporter.models.convert import context_length
from edgedraft.exporter.models.families import TAKEN
from edgedraft.exporter.models.worker_build import build
from edgedraft.runtime.core.decoding import speculative_rounds
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.pass_times import PairPassTimes
from edgedraft.runtime.core.policies import PolicyChoice, PolicyParts, build_drafter
from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.core.sources import ModelTokenSource
from edgedraft.runtime.onnx.memory import OnnxModel
from edgedraft.runtime.onnx.session import SessionSettings, open_model
from tests.exporter.families import VOCAB, WINDOW, quiet
from tests.exporter.forms import BORDER, FORMS, save_form

pytestmark = pytest.mark.usefixtures("torch_alone")

NEW_TOKENS = 20
CONTEXT = 4 * WINDOW
LENGTHS = (3, WINDOW - 2, BORDER - NEW_TOKENS // 2, 3 * WINDOW)
POLICIES = ("plain", "fixed", "ngram", "adaptive")
SURE = 2e-4
"""The least lead of a token, in standard deviations of the logits: ten times what float32 rounds."""


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A form in transformers and as converted: the target, and a trimmed copy of it as drafter."""

    source: Any
    target: OnnxModel
    drafter: OnnxModel
    kept: IndexMap


@pytest.fixture(params=FORMS, ids=" ".join, scope="module")
def converted(request, tmp_path_factory) -> Converted:
    return convert_form(request.param, tmp_path_factory.mktemp("form"))


def convert_form(form: tuple[str, str], root: Path) -> Converted:
    """Make, convert and open the form."""
    source = save_form(FORMS[form], root / "source")
    folder = root / "fp32"
    folder.mkdir()
    with quiet():
        build(root / "source", root / "built")
    pack_folder(root / "built", folder, "fp32")
    ids = np.sort(np.random.default_rng(1).choice(VOCAB, VOCAB // 2, replace=False))
    kept = IndexMap(target_ids=ids.astype(np.int64), target_vocab_size=VOCAB)
    assert context_length(folder) >= CONTEXT
    target, drafter = (opened(graph) for graph in (folder / "model.onnx", trimmed(folder, kept)))
    return Converted(source=source, target=target, drafter=drafter, kept=kept)


def trimmed(folder: Path, kept: IndexMap) -> Path:
    model = load_graph(folder / "model.onnx")
    trim_head(model, kept)
    ir.save(model, folder / "trimmed.onnx")
    return folder / "trimmed.onnx"


def opened(graph: Path) -> OnnxModel:
    return open_model(graph, SessionSettings(threads=2, context_length=CONTEXT))


def greedy_text(source: Any, prompt: Sequence[int]) -> list[int] | None:
    """The greedy text of transformers, computed without a cache; None where rounding might decide a token."""
    import torch

    text = list(prompt)
    for _ in range(NEW_TOKENS):
        with torch.no_grad():
            logits = source(torch.tensor([text]), use_cache=False).logits[0, -1].numpy()
        second, first = np.sort(logits)[-2:]
        if first - second < SURE * logits.std():
            return None
        text.append(int(logits.argmax()))
    return text[len(prompt) :]


def asked(source: Any, length: int) -> tuple[list[int], list[int]]:
    """A random prompt of ``length`` tokens whose text does not depend on rounding, and that text."""
    for seed in range(5):
        prompt = np.random.default_rng([length, seed]).integers(2, VOCAB, length).tolist()
        text = greedy_text(source, prompt)
        if text is not None:
            return prompt, text
    raise AssertionError("nearly tied everywhere")


def rounds(policy: str, model: Converted, prompt: Sequence[int], clock, plan) -> Iterator[Round]:
    """The rounds of one answer, with pass times by which drafting pays."""
    times = PairPassTimes.planned(plan)
    for _ in range(10):
        times.target.record(1, 1e-2)
        times.drafter.record(1, 1e-7)
    target, drafter = clock.timed(model.target, lambda _: 1e-2), clock.timed(model.drafter, lambda _: 1e-7)
    parts = PolicyParts(source=ModelTokenSource(drafter, model.kept), pass_times=times, clock=clock)
    drafting = build_drafter(PolicyChoice(name=policy, draft_length=3), parts)
    return limited(speculative_rounds(target, drafting, prompt, clock=clock), Limits(max_new_tokens=NEW_TOKENS))


def test_the_text_is_the_one_that_transformers_computes(converted, pass_clock, make_plan, tokens_of):
    """Prompts from three tokens to three windows, decoded with and without drafts, one after another."""
    plan = make_plan(target_pass_seconds=(1e-2,) * 17, drafter_pass_seconds=(1e-7,) * 2)
    drafted = accepted = 0
    for length in LENGTHS:
        prompt, expected = asked(converted.source, length)
        assert len(set(expected)) > NEW_TOKENS // 3
        for policy in POLICIES:
            found = list(rounds(policy, converted, prompt, pass_clock(), plan))
            assert tokens_of(found) == expected, (policy, length)
            drafted += sum(round_.drafted for round_ in found)
            accepted += sum(round_.accepted for round_ in found)
    assert 0.1 < accepted / drafted < 0.95


def test_every_form_that_is_said_to_be_tried_is_tried():
    assert {(family.name, form) for family in TAKEN for form in family.tried} == set(FORMS)
