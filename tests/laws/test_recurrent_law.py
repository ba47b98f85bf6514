"""A model with recurrent layers says what it would say after a fresh read, whatever was read and rewound before."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from edgedraft.runtime.core.decoding import plain_rounds, sampled, speculative_rounds
from edgedraft.runtime.core.model import LanguageModel, prefill
from edgedraft.runtime.core.padding import Padded
from edgedraft.runtime.core.policies import FixedLength
from edgedraft.runtime.core.sampling import SamplingSettings, probabilities
from edgedraft.runtime.core.sources import ModelTokenSource
from edgedraft.runtime.core.token_drafter import TokenDrafter
from edgedraft.runtime.core.verify import accepted_prefix
from edgedraft.runtime.onnx.session import OnnxGraph, SessionSettings
from edgedraft.runtime.onnx.stateful import StatefulModel
from edgedraft.runtime.onnx.states import KEPT_STATES, KeptState, RecurrentStates
from tests.exporter.families import VOCAB
from tests.exporter.forms import FORMS
from tests.laws.test_family_matrix import convert_form

pytestmark = pytest.mark.usefixtures("torch_alone")

CONTEXT = 96
IDS = np.random.default_rng(5).integers(2, VOCAB, CONTEXT).tolist()
OTHERS = np.random.default_rng(6).integers(2, VOCAB, CONTEXT).tolist()
ROUNDING = 1e-4


@pytest.fixture(scope="module", params=[form for form in FORMS if form[1] == "recurrent"], ids=" ".join)
def graphs(request, tmp_path_factory):
    """The target, its trimmed copy, and the ids that the copy keeps."""
    root = tmp_path_factory.mktemp("recurrent")
    kept = convert_form(request.param, root).kept
    settings = SessionSettings(threads=2, context_length=CONTEXT)
    return OnnxGraph(root / "fp32" / "model.onnx", settings), OnnxGraph(root / "fp32" / "trimmed.onnx", settings), kept


@pytest.fixture
def graph(graphs) -> OnnxGraph:
    return graphs[0]


def fresh(graph: OnnxGraph, token_ids: Sequence[int]) -> tuple[StatefulModel, np.ndarray]:
    """A new model that has read ``token_ids`` in one pass, and their logits."""
    model = graph.new_model()
    assert isinstance(model, StatefulModel)
    return model, model.read(token_ids).logits.copy()


def states(model: StatefulModel) -> Iterator[np.ndarray]:
    """The states after all that the model has read."""
    kept = model._stateful.states._before(model.length)
    assert kept.length == model.length
    yield from kept.arrays


def check_states_after_every_rewind(graph: OnnxGraph) -> None:
    """Read a text and a refused draft, rewind to every position, and read on to the end of the text."""
    expected, _ = fresh(graph, IDS[:12])
    for length in range(11):
        model, _ = fresh(graph, IDS[:6])
        model.read([*IDS[6:10], *OTHERS[:3]])
        model.rewind(min(length, 10))
        model.read(IDS[length:12])
        for found, right in zip(states(model), states(expected), strict=True):
            np.testing.assert_array_equal(found, right)


def test_the_graphs_keep_checkpoints(graph):
    assert graph.states and all(state.checkpoint for state in graph.states)
    assert not graph.exactness.exact


def test_states_after_every_rewind_are_bit_for_bit_those_of_a_fresh_read(graph):
    check_states_after_every_rewind(graph)


@pytest.mark.parametrize("fault", ["not restored", "of a later token", "one array for two states"])
def test_a_planted_fault_is_caught(fault, graph, monkeypatch):
    if fault == "not restored":
        monkeypatch.setattr(RecurrentStates, "forget_after", lambda self, length: None)
        monkeypatch.setattr(RecurrentStates, "_before", lambda self, length: self._kept[-1])
        monkeypatch.setattr(RecurrentStates, "start", lambda self, length: length)
    elif fault == "of a later token":
        start = RecurrentStates.start
        monkeypatch.setattr(RecurrentStates, "start", lambda self, length: min(start(self, length) + 1, length))
    else:
        new, shared = RecurrentStates._new, {}
        one = lambda self, length: KeptState(length=length, arrays=shared.setdefault(self, new(self, length).arrays))  # noqa: E731
        monkeypatch.setattr(RecurrentStates, "_new", one)
    with pytest.raises(AssertionError, match="Arrays are not equal"):
        check_states_after_every_rewind(graph)


def test_logits_are_those_of_one_pass_after_any_passes_and_rewinds(graph):
    """The whole context, with so many rewinds that early states are given up and read again."""
    model, whole = fresh(graph, IDS)
    rng = np.random.default_rng(1)
    for _ in range(80):
        model.rewind(int(rng.integers(0, model.length + 1)))
        if model.length + 3 <= CONTEXT:
            model.read(OTHERS[: int(rng.integers(1, 4))])
            model.rewind(accepted_prefix(model.token_ids, IDS))
        piece = IDS[model.length : model.length + int(rng.integers(1, 30))]
        if piece:
            start = model.length
            found = model.read(piece).logits
            np.testing.assert_allclose(found, whole[start : start + len(piece)], atol=ROUNDING * whole.std())
        kept = model._stateful.states._kept
        assert len(kept) <= KEPT_STATES + 1
        assert [each.length for each in kept] == sorted({each.length for each in kept})


def test_a_prompt_that_shares_a_beginning_or_was_edited_is_answered_as_a_new_one(graph):
    model = graph.new_model()
    for edited in (60, 59, 30, 45, 1, 0, 58):
        prompt = [*IDS[:edited], *OTHERS[edited:60]]
        expected = prefill(graph.new_model(), prompt)
        np.testing.assert_allclose(prefill(model, prompt), expected, atol=ROUNDING * expected.std())
        assert list(model.token_ids) == prompt


def test_rows_of_a_batch_hold_their_own_states(graph):
    batch = graph.batch(3)
    for row, length in zip(batch.rows, (3, 7, 5), strict=True):
        row.read(IDS[:length])
    batch.step(OTHERS[:3])
    batch.move(2, 0)
    found = batch.step([OTHERS[3], OTHERS[4]])
    for scores, text in zip(found, ([*IDS[:5], OTHERS[2], OTHERS[3]], [*IDS[:7], OTHERS[1], OTHERS[4]]), strict=True):
        expected = fresh(graph, text)[1][-1]
        np.testing.assert_allclose(scores, expected, atol=ROUNDING * expected.std())


def test_a_text_ends_where_the_context_does(graphs):
    target, drafter, kept = graphs
    prompt = IDS[: CONTEXT - 9]
    expected = [token for round_ in plain_rounds(target.new_model(), prompt) for token in round_.token_ids]
    drafting = TokenDrafter(ModelTokenSource(drafter.new_model(), kept), FixedLength(3))
    found = [token for round_ in speculative_rounds(target.new_model(), drafting, prompt) for token in round_.token_ids]
    assert found == expected and len(found) == 10


def test_a_draft_costs_only_the_reading_of_its_accepted_tokens(graph, monkeypatch):
    """Nothing is read again where no draft or every draft was accepted."""
    model, _ = fresh(graph, IDS[:20])
    rows, run = [], StatefulModel._run
    monkeypatch.setattr(
        StatefulModel, "_run", lambda self, ids, *rest: (rows.append(len(ids)), run(self, ids, *rest))[1]
    )
    for accepted in (0, 1, 2, 3):
        length = model.length
        model.read([IDS[length], *OTHERS[:3]])
        model.rewind(length + 1 + accepted)
    model.read(IDS[:1])
    assert rows == [4, 4, 5, 6, 1]


def test_padding_would_be_read_again_and_is_left_out(graph):
    from edgedraft.runtime.onnx.planned_kernels import padded_graph

    model = padded_graph(graph, (1.0, 1.0, 0.1, 0.1), graph.settings.provider, graph.kernels.name).new_model()
    assert isinstance(model, Padded) and model._pass_seconds == ()


def test_sampled_texts_follow_the_targets_law(graphs, crowd):
    target_graph, drafter_graph, kept = graphs
    target, drafter, alone = target_graph.new_model(), drafter_graph.new_model(), target_graph.new_model()
    settings, prompt = SamplingSettings(top_k=2, temperature=2.0), tuple(IDS[:6])
    found: dict[tuple[int, ...], float] = {}
    walkers = crowd(1, seed=3, exact=True)
    for _ in walkers.ways():
        drafting = TokenDrafter(ModelTokenSource(drafter, kept), FixedLength(2))
        text: tuple[int, ...] = ()
        for round_ in speculative_rounds(target, drafting, prompt, sampled(settings, walkers)):
            text += round_.token_ids
            if len(text) >= 3:
                break
        found[text[:3]] = found.get(text[:3], 0.0) + walkers.chance
    assert len(found) == 8
    for text, chance in found.items():
        assert chance == pytest.approx(law(alone, settings, prompt, text), rel=1e-3)


def law(model: LanguageModel, settings: SamplingSettings, prompt: tuple[int, ...], text: tuple[int, ...]) -> float:
    """The chance of ``text`` under the target alone."""
    model.rewind(0)
    logits = model.read([*prompt, *text]).logits
    rows = logits[len(prompt) - 1 :]
    return float(np.prod([probabilities(row, settings)[token] for row, token in zip(rows, text, strict=False)]))
