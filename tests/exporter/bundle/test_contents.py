"""The whole export on a tiny real pair: converted by the model builder, run by ONNX Runtime."""

import dataclasses
import time

import numpy as np
import pytest

from edgedraft.exporter.bundle.contents import bundle_contents
from edgedraft.exporter.bundle.writing import is_current, write_bundle
from edgedraft.exporter.graph.loading import load_graph, model_size
from edgedraft.exporter.graph.providers import PROVIDERS
from edgedraft.exporter.models.pair import PairRequest, prepare_pair, prepared_pair
from edgedraft.exporter.pipeline.calibrating import calibrate_pair
from edgedraft.exporter.pipeline.planning import PlanningRequest, plan_here
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.core.decoding import plain_rounds, speculative_rounds
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.policies import FixedLength
from edgedraft.runtime.core.sources import ModelTokenSource
from edgedraft.runtime.core.statistics import count_rounds
from edgedraft.runtime.core.token_drafter import TokenDrafter
from edgedraft.runtime.engine import DecodingOptions, Engine
from edgedraft.runtime.onnx.session import SessionSettings, open_model
from tests.scattering import scattered

NEW_TOKENS = 24


def drafted(target, drafter, index_map, prompt, draft_length):
    return speculative_rounds(
        target, TokenDrafter(ModelTokenSource(drafter, index_map), FixedLength(draft_length)), prompt
    )


@pytest.fixture(scope="module")
def engine(tiny_bundle):
    return Engine.open(tiny_bundle)


@pytest.fixture(scope="module")
def slot(engine):
    with engine.slots.taken() as slot:
        yield slot


def tokens_of(rounds):
    return [token for turn in rounds for token in turn.token_ids]


def random_prompts(count, seed):
    rng = np.random.default_rng(seed)
    return [rng.integers(2, 1024, rng.integers(1, 61)).tolist() for _ in range(count)]


def test_speculation_never_changes_the_text(engine):
    """Every draft length 1..8, fp32: the same tokens as the target alone; `tests/laws` has every policy."""
    limits = Limits(max_new_tokens=NEW_TOKENS)
    proposed = accepted = 0
    for prompt in random_prompts(25, seed=3):
        plain = tokens_of(engine.rounds(prompt, limits, DecodingOptions(speculate=False)))
        for draft_length in range(1, 9):
            options = DecodingOptions(speculate=True, draft_length=draft_length, policy="fixed")
            rounds = list(engine.rounds(prompt, limits, options))
            assert tokens_of(rounds) == plain
            proposed += sum(turn.drafted for turn in rounds)
            accepted += sum(turn.accepted for turn in rounds)
    assert 0.05 < accepted / proposed < 0.95, "the pair must agree only sometimes"


def test_decoding_fills_the_context_and_stops(tiny_opened):
    target, drafter = tiny_opened.target_model, tiny_opened.drafter_model
    prompt = random_prompts(1, seed=5)[0]
    texts = []
    for speculate in (False, True):
        target.rewind(0)
        drafter.rewind(0)
        everything = IndexMap.identity(tiny_opened.vocab_size)
        rounds = drafted(target, drafter, everything, prompt, 4) if speculate else plain_rounds(target, prompt)
        texts.append(tokens_of(rounds))
    assert texts[0] == texts[1]
    assert len(prompt) + len(texts[0]) == tiny_opened.settings.context_length + 1


def test_replay_predicts_exactly_what_running_measures(engine, slot, tiny_planned, tiny_opened, tiny_prompts):
    """Replayed and run rounds, drafts and acceptances are equal, for the bundle's K and for the full vocabulary."""
    calibration, planned = tiny_planned
    limits = Limits(max_new_tokens=tiny_prompts.max_new_tokens, end_token_ids=tiny_opened.end_token_ids)
    everything = IndexMap.identity(tiny_opened.vocab_size)
    for size, drafter, index_map in (
        (256, slot.source.model, engine.bundle.index_map),
        (1024, tiny_opened.drafter_model, everything),
    ):
        for draft_length in (1, 3, 5):
            turns = []
            for entry in calibration.scoring_answers:
                rounds = drafted(slot.target, drafter, index_map, entry.prompt_ids, draft_length)
                turns += list(limited(rounds, limits))[1:]
            measured, predicted = count_rounds(turns), planned.replayed(size, draft_length)
            assert measured.rounds == predicted.rounds.sum()
            assert measured.draft_tokens_accepted == predicted.accepted.sum()
            assert measured.draft_tokens_evaluated == predicted.evaluated.sum()
            assert measured.block_efficiency == pytest.approx(predicted.block_efficiency)


def test_the_bundled_drafter_scores_kept_tokens_as_the_full_one_does(engine, slot, tiny_opened):
    kept = engine.bundle.index_map.target_ids
    full, trimmed = tiny_opened.drafter_model, slot.source.model
    for rows in (1, 2, 5, 33):
        full.rewind(0)
        trimmed.rewind(0)
        prompt = np.random.default_rng(rows).integers(2, 1024, rows).tolist()
        np.testing.assert_array_equal(full.read(prompt).logits[:, kept], trimmed.read(prompt).logits)


def test_the_expanded_drafter_is_the_reduced_one_scattered(engine, slot, tiny_bundle):
    expanded = open_model(tiny_bundle / "drafter" / "expanded.onnx", engine.settings)
    slot.source.model.rewind(0)
    prompt = list(range(2, 20))
    reduced = slot.source.model.read(prompt).logits.copy()
    np.testing.assert_array_equal(expanded.read(prompt).logits, scattered(engine.bundle.index_map, reduced))


def test_sizes_in_the_manifest_are_those_of_the_written_graph(engine, tiny_opened):
    size = model_size(load_graph(engine.bundle.drafter_graph))
    manifest = engine.bundle.manifest
    assert (size.parameters, size.weight_bytes) == (manifest.drafter.parameters, manifest.drafter.weight_bytes)
    assert size == tiny_opened.trimmed_size(256)


def test_the_memory_of_a_plan_is_that_of_its_files_and_buffers(engine, tiny_bundle, tiny_opened):
    """Within the graphs' own bytes: the two files of weights, and keys and values of a whole context in float."""
    weights = sum((tiny_bundle / role / "model.onnx.data").stat().st_size for role in ("target", "drafter"))
    with engine.slots.taken() as slot:
        buffers = sum(
            model.context_length * 2 * 4 * 2 * 32 * layers
            for model, layers in ((slot.target, 2), (slot.source.model, 1))
        )
    found = tiny_opened.memory_bytes(256)
    assert found == pytest.approx(weights + buffers, rel=0.05), (found, weights, buffers)


def test_a_written_bundle_is_current_until_something_changes(tiny_planned, tiny_prompts, tiny_bundle, tmp_path):
    contents = bundle_contents(*tiny_planned, tiny_prompts.name)
    assert is_current(contents, tiny_bundle)
    again = tmp_path / "again"
    write_bundle(contents, again)
    assert is_current(contents, again)
    with (again / "target" / "model.onnx.data").open("r+b") as file:
        byte = file.read(1)
        file.seek(0)
        file.write(bytes([byte[0] ^ 1]))
    assert not is_current(contents, again)
    write_bundle(contents, again)
    assert is_current(contents, again)
    assert not list(tmp_path.glob(".again*")), "no temporary folder is left"


def test_the_engine_refuses_what_it_cannot_answer(engine, slot):
    with pytest.raises(EdgedraftError, match="the prompt holds no token"):
        engine.rounds([], Limits(max_new_tokens=4))
    with pytest.raises(EdgedraftError, match="the prompt must be shorter than the context of"):
        engine.rounds([2] * 5000, Limits(max_new_tokens=4))
    slot.target.rewind(0)
    with pytest.raises(EdgedraftError, match="cannot rewind to 9: only 0 tokens were read"):
        slot.target.rewind(9)


@pytest.mark.parametrize("precision", ["int4", "int8"])
def test_quantized_pairs_export_and_run_trimmed_bit_for_bit(precision, tiny_pair, tiny_prompts, tmp_path):
    request = PairRequest(
        target=str(tiny_pair.target),
        drafter=str(tiny_pair.drafter),
        target_precision=precision,
        drafter_precision=precision,
        settings=SessionSettings(threads=2, context_length=256),
    )
    pair = prepare_pair(request, tiny_pair.cache)
    calibration = calibrate_pair(pair, tiny_prompts.at_most(2), tiny_pair.cache)
    choice = PlanningRequest(draft_vocab_size=192, draft_length=2)
    planned = plan_here([pair], calibration, choice, time.perf_counter, tiny_pair.cache)
    write_bundle(bundle_contents(calibration, planned, "tiny"), tmp_path / "bundle")
    engine = Engine.open(tmp_path / "bundle")
    assert engine.bundle.manifest.drafter.precision == precision
    kept, prompt = engine.bundle.index_map.target_ids, list(range(2, 9))
    pair.drafter_model.rewind(0)
    with engine.slots.taken() as slot:
        np.testing.assert_array_equal(
            pair.drafter_model.read(prompt).logits[:, kept], slot.source.model.read(prompt).logits
        )
    rounds = list(engine.rounds(prompt, Limits(max_new_tokens=16), DecodingOptions(speculate=True)))
    assert len(tokens_of(rounds)) == 16


def test_a_bundle_for_browsers_is_split_and_exact_and_runs_here(tiny_pair, tiny_prompts, tmp_path):
    """Packed to 4 bits, its token table has one block a row: odd, so it is halved. Limits are tiny, to be met."""
    request = PairRequest(
        target=str(tiny_pair.target),
        drafter=str(tiny_pair.drafter),
        target_precision="int4",
        drafter_precision="int4",
        settings=SessionSettings(threads=2, context_length=256),
    )
    pair = prepare_pair(request, tiny_pair.cache)
    calibration = calibrate_pair(pair, tiny_prompts.at_most(2), tiny_pair.cache)
    choice = PlanningRequest(draft_vocab_size=192, draft_length=2)
    planned = plan_here([pair], calibration, choice, time.perf_counter, tiny_pair.cache)
    limit = 65_536
    provider = dataclasses.replace(PROVIDERS["webgpu"], data_file_bytes=limit)
    path = tmp_path / "bundle"
    write_bundle(bundle_contents(calibration, planned, "tiny", provider=provider), path)
    engine = Engine.open(path)
    manifest = engine.bundle.manifest
    for model in (manifest.target, manifest.drafter):
        assert len(model.data) > 1
        assert all(manifest.files[name].bytes <= limit for name in model.data)
        graph = load_graph(path / model.graph)
        levels = {node.attributes["accuracy_level"].as_int() for node in graph.graph if node.op_type == "MatMulNBits"}
        table = next(node for node in graph.graph if node.op_type == "GatherBlockQuantized")
        assert (levels, table.attributes["block_size"].as_int()) == ({1}, 64)
    exact = prepared_pair(pair, PROVIDERS["webgpu"], tmp_path / "cache")
    prompt, kept = list(range(2, 20)), engine.bundle.index_map.target_ids
    settings = engine.settings
    with engine.slots.taken() as slot:
        for found, whole, rows in ((slot.target, exact.target, slice(None)), (slot.source.model, exact.drafter, kept)):
            found.rewind(0)
            wanted = open_model(whole.graph, settings).read(prompt).logits
            np.testing.assert_array_equal(found.read(prompt).logits, wanted[:, rows])
    one_table = dataclasses.replace(PROVIDERS["cpu"], plain_tables=False)
    older = bundle_contents(calibration, planned, "tiny", provider=one_table)
    write_bundle(older, tmp_path / "older")
    assert is_current(older, tmp_path / "older")
    assert not is_current(dataclasses.replace(older, provider=PROVIDERS["cpu"]), tmp_path / "older")
    settings_of_genai = read_json(path / "genai_config.json")["model"]
    assert settings_of_genai["decoder"]["filename"] == "target/model.onnx"
    assert settings_of_genai["draft"]["filename"] == "drafter/expanded.onnx"
    expanded = open_model(path / settings_of_genai["draft"]["filename"], settings)
    with engine.slots.taken() as slot:
        slot.source.model.rewind(0)
        reduced = slot.source.model.read(prompt).logits.copy()
    np.testing.assert_array_equal(expanded.read(prompt).logits, scattered(engine.bundle.index_map, reduced))
    limits = Limits(max_new_tokens=16)
    plain, drafted_too = (
        tokens_of(engine.rounds(prompt, limits, DecodingOptions(speculate=speculate))) for speculate in (False, True)
    )
    assert drafted_too == plain
