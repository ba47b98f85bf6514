"""Who exported a model does not show in its fp32 text: appending to the past says what writing in place says."""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from edgedraft.exporter.bundle.contents import bundle_contents
from edgedraft.exporter.bundle.writing import write_bundle
from edgedraft.exporter.models.convert import AS_EXPORTED
from edgedraft.exporter.models.pair import PairRequest, prepare_pair
from edgedraft.exporter.pipeline.calibrating import calibrate_pair
from edgedraft.exporter.pipeline.planning import PlanningRequest, plan_here
from edgedraft.runtime.core.limits import Limits
from edgedraft.runtime.core.policies import POLICIES
from edgedraft.runtime.engine import DecodingOptions, Engine
from edgedraft.runtime.onnx.session import SessionSettings
from tests.plain_llama import Style, save_plain_llama

NEW_TOKENS = 40


@pytest.fixture(scope="module")
def plain_pair(tiny_pair, tmp_path_factory):
    """The tiny pair's weights in plain graphs, as ONNX folders that no builder has seen, converted and opened."""
    root = tmp_path_factory.mktemp("plain")
    for name, source in (("big", tiny_pair.target), ("small", tiny_pair.drafter)):
        save_plain_llama(source, root / name / "model.onnx", Style())
        for file in source.glob("*.j*"):
            shutil.copyfile(file, root / name / file.name)
    request = PairRequest(
        target=str(root / "big"),
        drafter=str(root / "small"),
        target_precision="fp32",
        drafter_precision="fp32",
        settings=SessionSettings(threads=2, context_length=256),
    )
    return prepare_pair(request, root / "cache")


@pytest.fixture(scope="module")
def plain_engine(plain_pair, tiny_prompts, tmp_path_factory) -> Engine:
    """A bundle of the plain pair, the drafter trimmed to 256 tokens."""
    folder = tmp_path_factory.mktemp("bundles")
    calibration = calibrate_pair(plain_pair, tiny_prompts.at_most(6), folder / "cache")
    request = PlanningRequest(draft_vocab_size=256)
    planned = plan_here([plain_pair], calibration, request, time.perf_counter, folder / "cache")
    write_bundle(bundle_contents(calibration, planned, tiny_prompts.name), folder / "bundle")
    return Engine.open(folder / "bundle", context_length=256)


def test_the_two_pairs_differ_in_style(plain_pair, tiny_opened):
    assert (plain_pair.target.precision, tiny_opened.target.precision) == (AS_EXPORTED, "fp32")
    for role in ("target_graph", "drafter_graph"):
        assert (getattr(plain_pair, role).shared, getattr(tiny_opened, role).shared) == (False, True)


def test_models_alone_say_the_same(plain_pair, tiny_opened, random_prompts):
    """Greedy text of both roles, and every logit on the way but for rounding."""
    for role in ("target_model", "drafter_model"):
        appending, in_place = (getattr(pair, role) for pair in (plain_pair, tiny_opened))
        for prompt in random_prompts(8, seed=11):
            texts = []
            for model in (appending, in_place):
                model.rewind(0)
                rows = [model.read(prompt).logits[-1].copy()]
                while len(rows) < NEW_TOKENS:
                    rows.append(model.read([int(rows[-1].argmax())]).logits[0].copy())
                texts.append(np.array(rows))
            np.testing.assert_array_equal(*(rows.argmax(axis=1) for rows in texts))
            np.testing.assert_allclose(*texts, atol=2e-4)


@pytest.mark.parametrize("policy", POLICIES)
def test_drafting_with_a_trimmed_plain_drafter_gives_the_text_of_the_other_style(
    policy, plain_engine, reference, random_prompts, tokens_of
):
    """``reference`` decodes with the model builder's target alone; every policy rewinds in its own way."""
    drafted = 0
    for number, prompt in enumerate(random_prompts(6, seed=21)):
        length = 1 + number if policy not in ("plain", "adaptive") else None
        rounds = list(
            plain_engine.rounds(
                prompt, Limits(max_new_tokens=NEW_TOKENS), DecodingOptions(policy=policy, draft_length=length)
            )
        )
        assert tokens_of(rounds) == reference.answer(prompt, NEW_TOKENS)
        drafted += sum(len(turn.token_ids) - 1 for turn in rounds)
    assert drafted > 0 or policy in ("plain", "adaptive", "ngram")


def test_the_expanded_drafter_runs_in_stock_genai(plain_engine):
    """It takes positions, and its past grows: genai is told so by the settings that were made for it."""
    import onnxruntime_genai

    model = onnxruntime_genai.Model(str(Path(plain_engine.bundle.path)))
    params = onnxruntime_genai.GeneratorParams(model)
    prompt = [5, 6, 7, 8]
    params.set_search_options(max_length=len(prompt) + 20, do_sample=False)
    generator = onnxruntime_genai.Generator(model, params)
    generator.append_tokens(prompt)
    while not generator.is_done():
        generator.generate_next_token()
    rounds = plain_engine.rounds(prompt, Limits(max_new_tokens=20), DecodingOptions(policy="plain"))
    said = [token for turn in rounds for token in turn.token_ids]
    assert generator.get_sequence(0).tolist()[len(prompt) :] == said
