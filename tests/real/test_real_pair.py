"""The laws on the real Qwen2.5-Coder pair. Run with `pytest -m real`; downloads 1.6 GB the first time."""

import json
import subprocess
import sys

import numpy as np
import pytest

from edgedraft.calibration.prompts import shipped_prompts
from edgedraft.exporter.models.cache import cache_folder
from edgedraft.exporter.models.trimmed import open_trimmed
from edgedraft.exporter.pipeline.calibrating import PromptSet, calibrate_pair
from edgedraft.exporter.planning.ranking import index_map, ranks_of, token_order
from edgedraft.exporter.planning.replay import acceptance_windows, replay
from edgedraft.runtime.bundle.reading import read_bundle
from edgedraft.runtime.core.decoding import speculative_rounds
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.policies import FixedLength
from edgedraft.runtime.core.sources import ModelTokenSource
from edgedraft.runtime.core.statistics import count_rounds
from edgedraft.runtime.core.token_drafter import TokenDrafter
from edgedraft.runtime.engine import Engine

pytestmark = pytest.mark.real

PER_HALF, NEW_TOKENS = 12, 32


def drafted(target, drafter, index_map, prompt, draft_length):
    return speculative_rounds(
        target, TokenDrafter(ModelTokenSource(drafter, index_map), FixedLength(draft_length)), prompt
    )


def test_quickstart_measures_all_three_ways(quickstart):
    measured = quickstart.result["measurement"]
    ways = measured["report"]["ways"]
    trimmed = {"trimmed drafter", "trimmed drafter, adaptive"}
    price = {"target alone, inexact"}  # of exact mode, measured where it is on and costs something
    assert set(ways) - price == {"target alone", "full-vocabulary drafter", *trimmed}
    assert measured["exactness"]["exact"] or not price & set(ways)
    assert ways["trimmed drafter"]["block_efficiency"] > 1.2
    assert ways["trimmed drafter"]["tokens_per_second"]["median"] > 0
    assert read_bundle(quickstart.bundle).manifest.target.base_model == "Qwen/Qwen2.5-Coder-1.5B-Instruct"


def test_the_whole_job_stays_under_8_gibibytes(quickstart):
    assert quickstart.peak_bytes < 8 * 2**30


@pytest.mark.parametrize("precision", ["int4", "fp32"])
def test_trimmed_logits_are_the_full_heads_bit_for_bit(precision, real_pair, fp32_pair):
    pair = real_pair if precision == "int4" else fp32_pair
    rng = np.random.default_rng(0)
    order = rng.permutation(pair.vocab_size)
    full = pair.drafter_model
    for size in (1024, 16384):
        kept = index_map(order, size)
        trimmed = open_trimmed(pair, kept)
        for rows in (1, 2, 3, 8, 33):
            full.rewind(0)
            trimmed.rewind(0)
            prompt = rng.integers(0, 151_643, rows).tolist()
            np.testing.assert_array_equal(full.read(prompt).logits[:, kept.target_ids], trimmed.read(prompt).logits)


def test_replay_agrees_with_running(quickstart, real_pair):
    """One plan on few prompts, so 5 %; tests/benchmarks/replay_agreement.py checks three within 2 % on all prompts."""
    prompts = PromptSet(name="coding", prompts=shipped_prompts(), max_new_tokens=NEW_TOKENS).at_most(PER_HALF)
    calibration = calibrate_pair(real_pair, prompts, cache_folder())
    engine = Engine.open(quickstart.bundle, verify_hashes=False)
    size, draft_length = engine.bundle.manifest.plan.draft_vocab_size, 3
    windows = acceptance_windows(calibration.trace, ranks_of(token_order(real_pair, calibration)))
    limits = Limits(max_new_tokens=NEW_TOKENS, end_token_ids=real_pair.end_token_ids)
    turns = []
    with engine.slots.taken() as slot:
        for entry in calibration.scoring_answers:
            rounds = drafted(slot.target, slot.source.model, engine.bundle.index_map, entry.prompt_ids, draft_length)
            turns += list(limited(rounds, limits))[1:]
    measured = count_rounds(turns).block_efficiency
    assert replay(windows, size, draft_length).block_efficiency == pytest.approx(measured, rel=0.05)


_GENAI = """
import json, sys
import onnxruntime, onnxruntime_genai as genai
model = genai.Model(sys.argv[1])
tokenizer = genai.Tokenizer(model)
chat = json.dumps([{"role": "user", "content": "Write a Python function that reverses a linked list."}])
prompt = tokenizer.encode(tokenizer.apply_chat_template(chat, add_generation_prompt=True))
parameters = genai.GeneratorParams(model)
parameters.set_search_options(do_sample=False, max_length=len(prompt) + 24)
generator = genai.Generator(model, parameters)
generator.append_tokens(prompt)
while not generator.is_done():
    generator.generate_next_token()
print(json.dumps(dict(generator.get_speculative_stats())))
"""


def test_stock_onnxruntime_genai_drafts_with_the_bundle(quickstart):
    """The expanded drafter and genai_config.json make the bundle an ordinary genai model folder."""
    command = [sys.executable, "-c", _GENAI, str(quickstart.bundle)]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    statistics = json.loads(finished.stdout.splitlines()[-1])
    assert statistics["draft_tokens_accepted"] / statistics["draft_tokens_evaluated"] > 0.3
