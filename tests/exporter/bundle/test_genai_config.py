"""Stock onnxruntime-genai drafts with what we write, and in fp32 its text stays the target's own, token for token."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edgedraft.exporter.bundle.genai_config import SESSION_OPTIONS, genai_config
from edgedraft.exporter.graph.loading import load_graph
from edgedraft.exporter.models.genai_settings import genai_settings
from edgedraft.runtime.base.files import read_json, write_json
from edgedraft.runtime.base.tokenizer_files import TEXT_FILES
from tests.plain_llama import save_plain_llama

NEW_TOKENS = 24
SETTINGS = {
    "model": {"vocab_size": 9, "decoder": {"filename": "a.onnx", "session_options": {"log_id": "x"}, "head_size": 8}},
    "search": {"top_k": 50, "past_present_share_buffer": True},
}


def settings(share: bool = True, **session_options) -> dict:
    found = copy.deepcopy(SETTINGS)
    found["search"]["past_present_share_buffer"] = share
    found["model"]["decoder"]["session_options"] |= session_options
    return found


def config_of(target: dict, drafter: dict, draft_length: int) -> dict:
    return genai_config(target, drafter, draft_length, target_graph="big/t.onnx", drafter_graph="small/d.onnx")


# --- what is written -------------------------------------------------------------------------------------------------


def test_the_whole_of_it():
    target, drafter = settings(), settings()
    drafter["model"]["decoder"]["head_size"] = 4
    before, options = copy.deepcopy((target, drafter)), {"log_id": "x", "session.force_spinning_stop": "1"}
    assert config_of(target, drafter, 3) == {
        "model": {
            "vocab_size": 9,
            "decoder": {"filename": "big/t.onnx", "session_options": options, "head_size": 8},
            "draft": {"filename": "small/d.onnx", "session_options": options, "head_size": 4},
        },
        "search": {"top_k": 50, "past_present_share_buffer": True},
        "speculative": {"max_draft_tokens": 3},
    }
    assert (target, drafter) == before


@pytest.mark.parametrize(("planned", "told"), [(1, 2), (2, 2), (7, 7), (16, 16), (40, 16)])
def test_it_drafts_as_many_as_planned_as_far_as_it_can(planned, told):
    assert config_of(settings(), settings(), planned)["speculative"] == {"max_draft_tokens": told}


@pytest.mark.parametrize("shared", [(True, True), (True, False), (False, True), (False, False)])
def test_buffers_are_shared_where_both_graphs_can(shared):
    config = config_of(*(settings(share) for share in shared), 2)
    assert config["search"]["past_present_share_buffer"] == all(shared)


def test_a_models_own_session_options_stay():
    own = {"session.force_spinning_stop": "0", "intra_op_num_threads": 3}
    model = config_of(settings(**own), settings(), 2)["model"]
    assert model["decoder"]["session_options"] == {"log_id": "x", **own}
    assert model["draft"]["session_options"] == {"log_id": "x", **SESSION_OPTIONS}


# --- what genai makes of it ------------------------------------------------------------------------------------------


def answer(folder: Path, prompts: list[list[int]], **changes) -> tuple[list[list[int]], list[dict]]:
    """Greedy answers of genai with the model in ``folder``, and its statistics; ``changes`` are speculative options."""
    import onnxruntime_genai as genai

    model, texts, counts = genai.Model(str(folder)), [], []
    for prompt in prompts:
        parameters = genai.GeneratorParams(model)
        parameters.set_search_options(do_sample=False, max_length=len(prompt) + NEW_TOKENS)
        if changes:
            parameters.set_speculative_options(**changes)
        generator = genai.Generator(model, parameters)
        generator.append_tokens(prompt)
        while not generator.is_done():
            generator.generate_next_token()
        texts.append(generator.get_sequence(0).tolist()[len(prompt) :])
        counts.append(dict(generator.get_speculative_stats()) if "draft" in read_config(folder)["model"] else {})
    return texts, counts


def read_config(folder: Path) -> dict:
    return read_json(folder / "genai_config.json")


def variant(bundle: Path, folder: Path, change) -> Path:
    """A copy of the bundle for genai, its configuration changed."""
    shutil.copytree(bundle, folder)
    config = read_config(folder)
    change(config)
    write_json(folder / "genai_config.json", config)
    return folder


def without_drafter(config: dict) -> None:
    del config["model"]["draft"], config["speculative"]


@pytest.fixture(scope="module")
def prompts() -> list[list[int]]:
    rng = np.random.default_rng(3)
    return [rng.integers(2, 1024, size).tolist() for size in (3, 9, 17, 30, 44, 60)]


@pytest.fixture(scope="module")
def alone(tiny_bundle, prompts, tmp_path_factory) -> list[list[int]]:
    """What the target says in genai without a drafter."""
    folder = tmp_path_factory.mktemp("genai") / "alone"
    return answer(variant(tiny_bundle, folder, without_drafter), prompts)[0]


def test_trimmed_and_full_drafters_both_leave_the_targets_text_as_it_is(
    tiny_bundle, tiny_opened, prompts, alone, tmp_path
):
    def full(config):
        config["model"]["draft"]["filename"] = "drafter/full.onnx"

    folder = variant(tiny_bundle, tmp_path / "full", full)
    whole = load_graph(tiny_opened.drafter.graph)
    ir.save(whole, folder / "drafter" / "full.onnx", external_data="full.onnx.data", size_threshold_bytes=0)
    accepted = {}
    for name, place in (("trimmed", tiny_bundle), ("full", folder)):
        texts, counts = answer(place, prompts)
        assert texts == alone
        accepted[name] = sum(each["draft_tokens_accepted"] for each in counts)
    assert 0 < accepted["trimmed"] < accepted["full"]


def test_a_single_draft_would_cost_a_target_pass_for_every_token(tiny_bundle, prompts, alone):
    """Why `FEWEST_DRAFTS` is 2: when this fails, genai verifies single drafts as it should, and 1 may be told."""
    passes = {}
    for drafts in (1, 2):
        texts, counts = answer(tiny_bundle, prompts, max_draft_tokens=drafts)
        assert texts == alone
        passes[drafts] = sum(each["target_forward_passes"] for each in counts)
    tokens = sum(len(text) for text in alone)
    assert passes[2] < tokens - len(prompts) <= passes[1]


def test_a_drafter_whose_past_grows_beside_a_target_that_writes_in_place(
    tiny_bundle, tiny_opened, tiny_pair, prompts, alone, tmp_path
):
    """Told that buffers are shared, genai would hand the drafter a past as long as the context."""
    drafter = tmp_path / "plain"
    save_plain_llama(tiny_pair.drafter, drafter / "model.onnx")
    for name in ("config.json", *TEXT_FILES):
        if (tiny_pair.drafter / name).is_file():
            shutil.copyfile(tiny_pair.drafter / name, drafter / name)
    folder = variant(tiny_bundle, tmp_path / "mixed", lambda config: None)
    shutil.copyfile(drafter / "model.onnx", folder / "drafter" / "plain.onnx")
    mixed = genai_config(
        json.loads((tiny_opened.target.path / "genai_config.json").read_text()),
        genai_settings(drafter, load_graph(drafter / "model.onnx"), "model.onnx"),
        3,
        target_graph="target/model.onnx",
        drafter_graph="drafter/plain.onnx",
    )
    write_json(folder / "genai_config.json", mixed)
    texts, counts = answer(folder, prompts)
    assert texts == alone
    assert sum(each["draft_tokens_accepted"] for each in counts) > 0
