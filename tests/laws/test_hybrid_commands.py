"""Commands on a bundle with a hybrid target: trimmed, benched, replayed, declared, and refused where it cannot run."""

import json
import shutil

import numpy as np
import pytest

import edgedraft
from edgedraft.__main__ import main
from edgedraft.calibration.trace.greedy import trace_answers
from edgedraft.exporter.bundle.card import model_card
from edgedraft.exporter.graph.loading import load_graph, state_bytes
from edgedraft.exporter.graph.providers import PROVIDERS
from edgedraft.exporter.models.pair import Pair, PairRequest, prepare_pair
from edgedraft.exporter.models.trimmed import open_trimmed
from edgedraft.exporter.pipeline.limits import check_pair
from edgedraft.exporter.pipeline.measuring import pair_latency
from edgedraft.exporter.pipeline.phone_site import PhoneRequest, offered_site
from edgedraft.exporter.planning.ranking import index_map, ranks_of
from edgedraft.exporter.planning.replay import acceptance_windows, replay
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.bundle.reading import read_bundle
from edgedraft.runtime.core.decoding import plain_rounds, speculative_rounds
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.policies import FixedLength
from edgedraft.runtime.core.sources import ModelTokenSource
from edgedraft.runtime.core.token_drafter import TokenDrafter
from edgedraft.runtime.onnx.session import SessionSettings
from tests.laws.test_replayed_acceptance import answer_of, executed, replayed

pytestmark = pytest.mark.usefixtures("torch_alone")

LIMITS = Limits(max_new_tokens=24)


@pytest.fixture(scope="module", params=["Qwen 3.5", "LFM2"])
def family(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def pair(family, hybrids) -> Pair:
    """The converted pair, from the cache that the export filled."""
    hybrids.bundle(family)
    models = hybrids.pair(family)
    request = PairRequest(
        target=str(models.target),
        drafter=str(models.drafter),
        target_precision="fp32",
        drafter_precision="fp32",
        settings=SessionSettings(threads=2, context_length=128),
    )
    made = prepare_pair(request, hybrids.cache)
    assert isinstance(made, Pair)
    return made


def test_replayed_acceptance_is_that_of_running(pair, random_prompts):
    """Draft by draft, for a hybrid drafter with a trimmed head on a hybrid target."""
    order, length = np.random.default_rng(4).permutation(1024), 3
    kept = index_map(order, 512)
    drafter = ModelTokenSource(open_trimmed(pair, kept), kept)
    prompts = random_prompts(4, seed=41, longest=20)
    answers = [answer_of(prompt, list(limited(plain_rounds(pair.target_model, prompt), LIMITS))) for prompt in prompts]
    windows = acceptance_windows(trace_answers(pair.drafter_model, answers), ranks_of(order))
    flags = np.split(windows.accepted(512), windows.offsets[1:-1])
    runs = [
        list(limited(speculative_rounds(pair.target_model, TokenDrafter(drafter, FixedLength(length)), prompt), LIMITS))
        for prompt in prompts
    ]
    for rounds, accepted in zip(runs, flags, strict=True):
        assert executed(rounds) == replayed(accepted, length)
    outcome = replay(windows, 512, length)
    assert outcome.accepted.sum() == sum(round_.accepted for rounds in runs for round_ in rounds[1:]) > 0


def test_its_plans_count_what_the_target_reads_again(pair, linear_steps):
    latency = pair_latency(pair, linear_steps, linear_steps)
    assert latency.target_rereads
    assert float(latency.rereading_seconds(3, np.int64(5), np.int64(1))) > 0


@pytest.fixture
def linear_steps():
    from edgedraft.devices.latency import StepModel

    return StepModel(overhead_seconds=1e-3, seconds_per_byte=0.0, rows=(1, 17), row_factors=(1.0, 2.0))


def test_a_trimmed_bundle_says_the_same(family, hybrids, tmp_path, capsys):
    bundle, other = hybrids.bundle(family), tmp_path / "other"
    command = ["trim", str(bundle), "--vocab-size", "128", "--output", str(other), "--cache", str(hybrids.cache)]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["plan"]["draft_vocab_size"] == 128
    models = [edgedraft.load(path, threads=2, context_length=128) for path in (bundle, other)]
    fixed = edgedraft.DecodingOptions(policy="fixed", draft_length=3)
    texts = [model.generate("merge the list", max_new_tokens=16, options=fixed).text for model in models]
    assert texts[0] == texts[1]
    sizes = [read_bundle(path).manifest.drafter.state_bytes for path in (bundle, other)]
    assert sizes[0] == sizes[1] > 0


def test_bench_finds_every_text_equal_and_says_how_sure_that_is(family, hybrids, capsys):
    command = ["bench", str(hybrids.bundle(family)), "--prompts", str(hybrids.prompts()), "--number", "2"]
    command += ["--max-new-tokens", "12", "--threads", "2", "--json"]
    for exact, label in ((["--exact"], True), (["--no-exact"], False)):
        assert main([*command, *exact]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["exactness"]["exact"] is label
        ways = found["report"]["ways"]
        assert {name: way["equal_texts"] for name, way in ways.items()} == dict.fromkeys(ways, 2)


def test_states_are_declared_and_checked(family, hybrids, tmp_path):
    bundle = hybrids.bundle(family)
    manifest = read_bundle(bundle).manifest
    declared = state_bytes(load_graph(bundle / manifest.target.graph))
    assert manifest.target.state_bytes == declared > 0
    assert manifest.recurrent == manifest.target.name
    altered = shutil.copytree(bundle, tmp_path / "altered")
    facts = json.loads((altered / "edgedraft.json").read_text())
    for wrong, message in (
        (0, f"recurrent states must be 0 bytes large, got {declared} - export the bundle again"),
        (-4, "state_bytes: expected 0 or more, got -4"),
        ("many", "manifest: target: state_bytes: expected int, got 'many'"),
    ):
        facts["target"]["state_bytes"] = wrong
        (altered / "edgedraft.json").write_text(json.dumps(facts))
        with pytest.raises(EdgedraftError) as error:
            edgedraft.load(altered, threads=2)
        assert message in str(error.value) and "\n" not in str(error.value)


def test_a_page_and_other_providers_refuse_it_in_one_line(pair, family, hybrids, tmp_path):
    bundle = hybrids.bundle(family)
    with pytest.raises(EdgedraftError) as error:
        offered_site(PhoneRequest(bundle=bundle, cache=tmp_path), tmp_path, None, print)  # type: ignore[arg-type]
    name = read_bundle(bundle).manifest.target.name
    remedy = f"run edgedraft export {bundle} --target MODEL --drafter MODEL, with models of attention alone"
    assert str(error.value) == f"{bundle}: a page keeps no recurrent states, got those of {name} - {remedy}"
    with pytest.raises(
        EdgedraftError, match=rf"provider: {name}: recurrent states are kept by the cpu alone, got webg"
    ):
        check_pair(pair, PROVIDERS["webgpu"], None)


def test_a_card_describes_it(family, hybrids):
    """What `push` uploads beside the files."""
    bundle = hybrids.bundle(family)
    card = model_card(read_bundle(bundle).manifest)
    assert card.startswith("---\n")
    assert card == (bundle / "README.md").read_text(encoding="utf-8")
