"""A bundle's folder runs in engines that know nothing of us: onnxruntime-genai, Optimum's model class, node."""

import pytest

from edgedraft.exporter.models.cache import cache_folder
from edgedraft.exporter.models.via_optimum import optimum_python
from edgedraft.runtime.bundle.reading import read_bundle
from edgedraft.runtime.onnx.session import SessionSettings, open_model
from tests.benchmarks.genai_bundle import (
    ALONE,
    FULL,
    TRIMMED,
    ask,
    coding_prompts,
    engine,
    full_drafter,
    genai_folders,
    parting,
)
from tests.benchmarks.other_engines import (
    EXPANDED,
    REDUCED,
    compared,
    logits_here,
    logits_in_node,
    node_packages,
    optimum_text,
    our_text,
)
from tests.needs import NODE, NPM, skip_without

pytestmark = pytest.mark.real

PROMPTS, NEW_TOKENS, THREADS = 3, 24, 2
SETTINGS = SessionSettings(threads=THREADS, context_length=512)


# --- onnxruntime-genai -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prompts(quickstart) -> list[list[int]]:
    return list(coding_prompts(quickstart.bundle, PROMPTS).values())


@pytest.fixture(scope="module")
def target(quickstart):
    """The bundle's target in our runtime."""
    return open_model(read_bundle(quickstart.bundle, verify_hashes=False).target_graph, SETTINGS)


@pytest.fixture(scope="module")
def said(quickstart, prompts, tmp_path_factory):
    """By way what stock genai says to the same prompts; with the trimmed drafter it opens the bundle's own folder."""
    room = tmp_path_factory.mktemp("genai")
    full = full_drafter(quickstart.bundle, room / "full")
    folders = genai_folders(quickstart.bundle, full, room, {"intra_op_num_threads": THREADS})
    folders[TRIMMED] = quickstart.bundle
    answers = {}
    for way, folder in folders.items():
        with engine(way, folder, room) as worker:
            answers[way] = [ask(worker, prompt, NEW_TOKENS) for prompt in prompts]
    return answers


def test_genai_with_the_bundle_says_what_its_target_says_but_for_ties(target, prompts, said):
    """The law: with the trimmed drafter the text is the target's own at least as far as with the full one.

    In int4 a pass over one row and a pass over several round differently, and which places share a pass depends on the
    drafts. So either drafter may turn a tie: where the text with the trimmed drafter leaves the target's own earlier
    than that with the full one, the target must hold the two tokens for equal within its own rounding.
    """
    for prompt, own, full, trimmed in zip(prompts, said[ALONE], said[FULL], said[TRIMMED], strict=True):
        assert 0 < len(own.tokens) <= NEW_TOKENS
        left = {
            way: parting(target, prompt, own.tokens, each.tokens) for way, each in ((FULL, full), (TRIMMED, trimmed))
        }
        if left[TRIMMED] is not None and (left[FULL] is None or left[TRIMMED].place < left[FULL].place):
            assert left[TRIMMED].is_a_tie, left[TRIMMED]


def test_a_token_that_the_target_would_not_choose_is_no_tie(target, prompts, said):
    """The law can fail: another token in the text is told apart from a tie."""
    own = said[ALONE][0].tokens
    assert own[5] != 0
    found = parting(target, prompts[0], own, (*own[:5], 0, *own[6:]))
    assert found.place == 5
    assert not found.is_a_tie


def test_genai_drafts_with_the_trimmed_drafter(said):
    """Both drafters draft, the target alone does not, and trimming does not make most drafts useless."""
    kept = {way: sum(each.accepted for each in answers) for way, answers in said.items()}
    proposed = {way: sum(each.proposed for each in answers) for way, answers in said.items()}
    assert (kept[ALONE], proposed[ALONE]) == (0, 0)
    assert 0.3 < kept[TRIMMED] / proposed[TRIMMED] <= 1
    assert kept[FULL] > 0


# --- Optimum's model class -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["real", "tiny"])
def test_optimum_generates_what_our_runtime_does_with_the_expanded_drafter(which, request):
    """Its class gives every pass a past of its own length, and our runtime one buffer: the tokens are the same."""
    bundle = request.getfixturevalue("quickstart").bundle if which == "real" else request.getfixturevalue("tiny_bundle")
    prompt = next(iter(coding_prompts(bundle, 1).values()))[-200:] if which == "real" else [5, 6, 7, 8]
    ends = read_bundle(bundle, verify_hashes=False).manifest.end_token_ids
    model = open_model(bundle / "drafter" / EXPANDED, SETTINGS)
    said = optimum_text(bundle, optimum_python(cache_folder()), prompt, NEW_TOKENS)
    assert said.model == "ORTModelForCausalLM"
    assert said.tokens == our_text(model, prompt, NEW_TOKENS, ends)


# --- node ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["real", "tiny"])
@pytest.mark.parametrize("layout", [EXPANDED, REDUCED])
def test_node_gives_pythons_logits(which, layout, request, tmp_path):
    """Bit for bit where both are of one age; releases of ONNX Runtime may round differently."""
    skip_without(NODE, NPM)
    bundle = request.getfixturevalue("quickstart").bundle if which == "real" else request.getfixturevalue("tiny_bundle")
    graph, prompt = bundle / "drafter" / layout, [5, 6, 7, 8, 9, 10, 11]
    here, told = logits_here(graph, prompt, THREADS)
    there, _ = logits_in_node(graph, told, node_packages(cache_folder()), tmp_path)
    found = compared(graph, here, there)
    manifest = read_bundle(bundle, verify_hashes=False).manifest
    width = manifest.target_vocab_size if layout == EXPANDED else manifest.plan.draft_vocab_size
    assert found.shape == (1, len(prompt), width)
    assert found.difference < 1e-2
    assert found.same_gaps
