"""What breaks says so in one clear error, answers nothing wrong, and leaves an engine that answers rightly again."""

import dataclasses
import itertools
import shutil

import numpy as np
import onnx
import pytest

from edgedraft.exporter.bundle.contents import bundle_contents
from edgedraft.exporter.bundle.writing import write_bundle
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.adaptive import ExpectedGain
from edgedraft.runtime.core.decoding import speculative_rounds
from edgedraft.runtime.core.limits import Limits
from edgedraft.runtime.core.sampling import SamplingSettings
from edgedraft.runtime.core.sources import ModelTokenSource
from edgedraft.runtime.core.token_drafter import TokenDrafter
from edgedraft.runtime.engine import DecodingOptions, Engine
from edgedraft.runtime.onnx.memory import OnnxModel

PROMPT = "def merge sort list"
PLAIN = DecodingOptions(speculate=False)
DRAWN = SamplingSettings(temperature=0.8)
ASKS_THE_DRAFTER = [
    DecodingOptions(policy="fixed", draft_length=3),
    DecodingOptions(policy="confident", draft_length=3, p_min=0.3),
    DecodingOptions(policy="ngram-or-drafter", draft_length=3),
    DecodingOptions(policy="fixed", draft_length=3, sampling=DRAWN, seed=1),
]
ASKS_THE_TARGET_ALONE = [PLAIN, DecodingOptions(policy="ngram", draft_length=3)]
name_of = "{0.policy} {0.sampling}".format


def said_by(model: str) -> str:
    return f"logits of the {model} must be finite numbers, got NaN or infinity"


def spoil(graph, weight: str, value: float, first: int = 0, count: int | None = None) -> None:
    """Overwrite a float32 weight in ``graph`` or in the data file beside it, from number ``first`` on."""
    model = onnx.load(graph, load_external_data=False)
    tensor = next(tensor for tensor in model.graph.initializer if weight in tensor.name)
    assert tensor.data_type == onnx.TensorProto.FLOAT
    place = {entry.key: entry.value for entry in tensor.external_data}
    if not place:
        values = np.frombuffer(tensor.raw_data, dtype="<f4").copy()
        values[first : None if count is None else first + count] = value
        tensor.raw_data = values.tobytes()
        onnx.save(model, graph)
        return
    count = int(place["length"]) // 4 if count is None else count
    with (graph.parent / place["location"]).open("r+b") as file:
        file.seek(int(place["offset"]) + 4 * first)
        file.write(np.full(count, value, dtype="<f4").tobytes())


@pytest.fixture
def copied(tiny_bundle, tmp_path):
    return shutil.copytree(tiny_bundle, tmp_path / "bundle")


def pieces_before_error(engine, options, model: str) -> list:
    pieces = []
    with pytest.raises(EdgedraftError, match=said_by(model)):
        pieces.extend(engine.stream(PROMPT, max_new_tokens=24, options=options))
    return pieces


@pytest.mark.parametrize("value", [np.nan, np.inf], ids=["NaN", "infinity"])
@pytest.mark.parametrize("weight", ["final_norm", "lm_head", "layers.0.attn.qkv"])
def test_a_damaged_target_is_named_and_says_nothing(weight, value, copied):
    spoil(copied / "target" / "model.onnx", weight, value)
    engine = Engine.open(copied, verify_hashes=False)
    for options in [*ASKS_THE_TARGET_ALONE, *ASKS_THE_DRAFTER, DecodingOptions(sampling=DRAWN), DecodingOptions()] * 2:
        assert pieces_before_error(engine, options, "target") == []


@pytest.mark.parametrize("value", [np.nan, np.inf], ids=["NaN", "infinity"])
@pytest.mark.parametrize("weight", ["final_norm", "lm_head", "layers.0.attn.qkv"])
def test_a_damaged_drafter_is_named_and_decoding_without_it_goes_on(weight, value, copied, engine):
    spoil(copied / "drafter" / "model.onnx", weight, value)
    damaged = Engine.open(copied, verify_hashes=False)
    right = engine.generate(PROMPT, max_new_tokens=24, options=PLAIN).text
    for asks, alone in itertools.product(ASKS_THE_DRAFTER, ASKS_THE_TARGET_ALONE):
        with pytest.raises(EdgedraftError, match=said_by("drafter")):
            damaged.generate(PROMPT, max_new_tokens=24, options=asks)
        assert damaged.generate(PROMPT, max_new_tokens=24, options=alone).text == right


@pytest.mark.parametrize("sampling", [None, DRAWN], ids=["greedy", "drawn"])
def test_the_adaptive_policy_names_a_damaged_drafter_too(sampling, copied, pass_clock, warm_pass_times):
    """On a clock that makes the drafter look free, so that it is asked."""
    spoil(copied / "drafter" / "model.onnx", "final_norm", np.nan)
    engine = Engine.open(copied, verify_hashes=False)
    with engine.slots.taken() as slot:
        clock = pass_clock()
        target, model = clock.timed(slot.target, lambda _: 1e-2), clock.timed(slot.source.model, lambda _: 1e-7)
        source = ModelTokenSource(model, engine.bundle.index_map)
        drafter = TokenDrafter(source, ExpectedGain(warm_pass_times()), clock)
        method = DecodingOptions(sampling=sampling, seed=0).method()
        with pytest.raises(EdgedraftError, match=said_by("drafter")):
            list(itertools.islice(speculative_rounds(target, drafter, [5, 6, 7], method, clock=clock), 40))


@pytest.mark.parametrize("model", ["target", "drafter"])
def test_one_damaged_token_spoils_no_other_answer(model, copied, reference, tokens_of):
    """The damaged rows stay in the key/value buffers; the next answer must not read them."""
    spoil(copied / model / "model.onnx", "embed_tokens", np.nan, first=500 * 128, count=128)
    engine = Engine.open(copied, verify_hashes=False)
    limits = Limits(max_new_tokens=12)
    healthy = [7, 8, 9, 10, 11, 12]
    assert 500 not in reference.answer(healthy, 12)
    for damaged in ([500, 8, 9], [7, 8, 9, 500], [7, 8, 500, 10, 11, 12, 13, 14]):
        for options in ASKS_THE_DRAFTER[:3]:
            with pytest.raises(EdgedraftError, match=said_by(model)):
                list(engine.rounds(damaged, limits, options))
            assert tokens_of(engine.rounds(healthy, limits, options)) == reference.answer(healthy, 12)


def test_an_open_engine_goes_on_with_its_own_bundle_when_another_takes_its_place(
    copied, tiny_opened, tiny_planned, tiny_prompts
):
    engine = Engine.open(copied)
    ask = [DecodingOptions(policy="fixed", draft_length=4), DecodingOptions(policy="ngram-or-drafter"), PLAIN]
    texts = [f"{PROMPT} {number}" for number in range(4)]
    before = [engine.generate(text, max_new_tokens=24, options=options).text for text in texts for options in ask]
    calibration, planned = tiny_planned
    smaller = dataclasses.replace(planned.plan, draft_vocab_size=128, draft_length=2)
    other = dataclasses.replace(planned, decision=dataclasses.replace(planned.decision, plan=smaller))
    write_bundle(bundle_contents(calibration, other, tiny_prompts.name), copied)
    again = [engine.generate(text, max_new_tokens=24, options=options).text for text in texts for options in ask]
    at_once = [engine.stream(text, max_new_tokens=24, options=ask[0]) for text in texts]
    together = list(itertools.zip_longest(*at_once))
    assert again == before
    for number, text in enumerate(before[:: len(ask)]):
        assert "".join(pieces[number].text for pieces in together if pieces[number]) == text
    newer = Engine.open(copied)
    assert (engine.bundle.manifest.plan.draft_vocab_size, newer.bundle.manifest.plan.draft_vocab_size) == (256, 128)
    assert [
        newer.generate(text, max_new_tokens=24, options=options).text for text in texts for options in ask
    ] == before


def test_a_prompt_beyond_the_context_is_refused_and_the_next_is_answered(tiny_bundle, reference, tokens_of):
    engine = Engine.open(tiny_bundle, context_length=32)
    for length in (32, 33, 500):
        with pytest.raises(EdgedraftError, match=f"shorter than the context of 32 tokens, got {length} - shorten"):
            engine.rounds(list(range(2, 2 + length)), Limits(max_new_tokens=4))
    with pytest.raises(EdgedraftError, match=r"the last message must fit into 28 tokens, got .* larger context"):
        engine.generate("merge " * 60, max_new_tokens=4)
    prompt = list(range(2, 33))
    for options in (PLAIN, *ASKS_THE_DRAFTER[:3]):
        assert tokens_of(engine.rounds(prompt, Limits(max_new_tokens=99), options)) == reference.answer(prompt, 2)


NO_DISTRIBUTION = {
    "a bias of NaN": {"logit_bias": {3: np.nan}},
    "a bias of infinity": {"logit_bias": {3: np.inf}},
    "a bias against everything": {"logit_bias": dict.fromkeys(range(1024), -np.inf)},
    "a bias beyond the vocabulary": {"logit_bias": {1024: 1.0}},
    "a bias before the vocabulary": {"logit_bias": {-1: 1.0}},
    "a temperature that overflows": {"temperature": 1e-310},
}


@pytest.mark.parametrize("settings", NO_DISTRIBUTION.values(), ids=NO_DISTRIBUTION)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_settings_that_leave_no_distribution_are_refused(settings, engine):
    """Else every token would be the vocabulary's last one."""
    with pytest.raises(EdgedraftError):
        list(engine.rounds([5, 6], Limits(max_new_tokens=3), DecodingOptions(sampling=SamplingSettings(**settings))))


@pytest.mark.parametrize("token", [1024, 5000, -1])
def test_a_token_outside_the_vocabulary_is_refused(token, engine, reference, tokens_of):
    with pytest.raises(EdgedraftError):
        list(engine.rounds([5, token], Limits(max_new_tokens=3)))
    assert tokens_of(engine.rounds([5, 6], Limits(max_new_tokens=3))) == reference.answer([5, 6], 3)


@pytest.mark.parametrize("late", [False, True], ids=["before the pass", "after the pass"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
@pytest.mark.parametrize("options", ASKS_THE_DRAFTER[:3], ids=name_of)
def test_whatever_interrupts_a_pass_empties_the_slot(options, error, late, engine, reference, tokens_of, monkeypatch):
    """At each of the first passes of either model; the next answer on the same engine is right."""
    read = OnnxModel.read
    prompt, limits = [7, 8, 9, 10, 11], Limits(max_new_tokens=8)
    for interrupted in range(1, 14):
        passes = itertools.count(1)

        def reading(self, token_ids, passes=passes, interrupted=interrupted):
            now = next(passes) == interrupted
            if now and not late:
                raise error
            done = read(self, token_ids)
            if now:
                raise error
            return done

        monkeypatch.setattr(OnnxModel, "read", reading)
        with pytest.raises(error):
            list(engine.rounds(prompt, limits, options))
        monkeypatch.setattr(OnnxModel, "read", read)
        idle = [engine.slots.taken(prompt) for _ in range(2)]
        with idle[0] as one, idle[1] as other:
            assert 0 in [slot.target.length + slot.source.model.length for slot in (one, other)]
        assert tokens_of(engine.rounds(prompt, limits, options)) == reference.answer(prompt, 8)


def test_an_interrupt_between_the_pieces_leaves_the_engine_usable(engine, reference, tokens_of):
    """The consumer is interrupted, not the engine: the answer counts as cancelled."""

    def shown(prompt: str) -> None:
        for number, _ in enumerate(engine.stream(prompt, options=ASKS_THE_DRAFTER[0])):
            if number == 3:
                raise KeyboardInterrupt

    for number in range(6):
        with pytest.raises(KeyboardInterrupt):
            shown(f"{PROMPT} {number}")
        prompt = [7, 8, 9, number + 2]
        found = tokens_of(engine.rounds(prompt, Limits(max_new_tokens=8), ASKS_THE_DRAFTER[number % 3]))
        assert found == reference.answer(prompt, 8)
