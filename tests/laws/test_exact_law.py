"""In exact mode int4 texts and all log-probabilities are the target's own, bit for bit, on every kernel."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from edgedraft.__main__ import main
from edgedraft.exporter.bundle.contents import bundle_contents
from edgedraft.exporter.bundle.writing import write_bundle
from edgedraft.exporter.models.pair import PairRequest, prepare_pair
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.bench import INEXACT
from edgedraft.runtime.core.limits import Limits
from edgedraft.runtime.core.plan import DecodingPlan
from edgedraft.runtime.core.sampling import SamplingSettings
from edgedraft.runtime.engine import DecodingOptions, Engine
from tests.runtime.native.conftest import kernels, library, stock_attention  # noqa: F401

NEW_TOKENS = 16
WAYS = {
    "fixed 1": {"policy": "fixed", "draft_length": 1},
    "fixed 2": {"policy": "fixed", "draft_length": 2},
    "fixed 5": {"policy": "fixed", "draft_length": 5},
    "confident": {"policy": "confident", "draft_length": 6, "p_min": 0.3},
    "n-gram": {"policy": "ngram-or-drafter", "draft_length": 3},
    "adaptive": {"policy": "adaptive"},
}
PLAIN = {"policy": "plain"}
Said = list[tuple[int, float]]


@pytest.fixture(scope="module")
def int4_bundle(library, tiny_opened, tiny_pair, tiny_planned, tiny_prompts, tmp_path_factory):  # noqa: F811
    """The tiny bundle with both models in int4."""
    names = {"target": str(tiny_pair.target), "drafter": str(tiny_pair.drafter)}
    request = PairRequest(**names, target_precision="int4", drafter_precision="int4", settings=tiny_opened.settings)
    calibration, planned = tiny_planned
    path = tmp_path_factory.mktemp("int4") / "bundle"
    pair = prepare_pair(request, tiny_pair.cache)
    write_bundle(bundle_contents(calibration, replace(planned, pair=pair), tiny_prompts.name), path)
    return path


@pytest.fixture(scope="module", params=[0, 1, 2], ids=["best", "second", "third"])
def kernel(request, kernels) -> Iterator[str]:  # noqa: F811
    """Forces the fast kernels that this CPU runs, the best first; `portable`, the last, is slow."""
    fast = kernels[:-1]
    if request.param >= len(fast):
        pytest.skip(f"this CPU runs {len(fast)} fast kernels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEDRAFT_KERNELS", fast[request.param])
        yield fast[request.param]


@pytest.fixture(scope="module")
def engine(kernel, int4_bundle) -> Engine:
    opened = Engine.open(int4_bundle, context_length=128, exact=True)
    assert opened.exactness.exact
    return opened


def said(engine: Engine, prompt: list[int], tokens: int = NEW_TOKENS, **options) -> Said:
    """Every new token with the target's log-probability of it."""
    rounds = engine.rounds(prompt, Limits(max_new_tokens=tokens), DecodingOptions(log_probs=True, **options))
    return [pair for each in rounds for pair in zip(each.token_ids, each.log_probs, strict=True)]


@pytest.fixture(scope="module")
def alone(int4_bundle, kernel):
    """The target's answer without drafts, in an engine that has read nothing else."""
    known: dict[tuple[int, ...], Said] = {}
    fresh = Engine.open(int4_bundle, context_length=128, exact=True)

    def answer(prompt: list[int]) -> Said:
        if tuple(prompt) not in known:
            with fresh.slots.taken() as slot:
                slot.clear()
            known[tuple(prompt)] = said(fresh, prompt, **PLAIN)
        return known[tuple(prompt)]

    return answer


def test_drafts_change_no_bit(engine, alone, random_prompts):
    """Prompts of one token to more than one prefill piece, every way of drafting, on one engine."""
    for prompt in ([5], *random_prompts(4, seed=201, longest=30), *random_prompts(1, seed=202, longest=90)):
        for options in WAYS.values():
            assert said(engine, prompt, **options) == alone(prompt)


def test_prompts_of_every_length_around_a_piece_are_read_alike(engine, alone, random_prompts):
    """The prompt's last token is read together with 1 to 33 others."""
    text = [3, *random_prompts(1, seed=203, longest=8)[0], *range(100, 180)]
    for length in (2, 3, 31, 32, 33, 34, 35, 64, 65, 66):
        for options in (PLAIN, WAYS["fixed 2"]):
            assert said(engine, text[:length], **options) == alone(text[:length])


def test_what_the_cache_holds_of_a_prompt_changes_no_bit(engine, alone, random_prompts):
    """A chat whose prompts extend each other, then prompts with a common beginning, then the same one again."""
    prompt = random_prompts(1, seed=204, longest=20)[0]
    for turn, options in enumerate((*WAYS.values(), PLAIN)):
        found = said(engine, prompt, tokens=9, **options)
        assert found == alone(prompt)[:9]
        prompt = [*prompt, *(token for token, _ in found[: 9 - turn]), 40 + turn]
    for cut in (1, 7, len(prompt) - 2, len(prompt)):
        shared = [*prompt[:cut], 9, 8, 7]
        for options in (WAYS["fixed 2"], PLAIN, WAYS["fixed 5"]):
            assert said(engine, shared, **options) == alone(shared)


def test_texts_that_fill_the_context_are_alike(engine, random_prompts):
    prompt = [token for part in random_prompts(20, seed=205, longest=30) for token in part][:120]
    whole = said(engine, prompt, tokens=50, **PLAIN)
    assert len(whole) == 9
    for options in WAYS.values():
        assert said(engine, prompt, tokens=50, **options) == whole


def test_a_drawn_text_repeats_whatever_was_read_before(engine, random_prompts):
    """Decoded without drafts; with drafts only the distribution is the same."""
    prompt = random_prompts(1, seed=206, longest=40)[0]
    drawn = {"sampling": SamplingSettings(temperature=1.0), "seed": 7, "speculate": False}
    first = said(engine, prompt, **drawn)
    said(engine, [*prompt[:5], 9], **WAYS["fixed 2"])
    assert said(engine, prompt, **drawn) == first


def test_exact_mode_is_on_where_it_costs_nothing(int4_bundle, kernel, monkeypatch):
    monkeypatch.setattr(DecodingPlan, "exact_is_cheap", False)
    for exact in (None, True, False):
        opened = Engine.open(int4_bundle, context_length=64, exact=exact)
        assert (opened.exactness.exact, opened.inexact_target()) == (True, None)
        assert opened.plan == opened.bundle.manifest.plan


@pytest.mark.usefixtures("stock_attention")
def test_exact_mode_is_the_default_where_the_plan_says_that_it_costs_little(int4_bundle, kernel, monkeypatch):
    """Only the target is exact, because it alone decides the text."""
    for cheap in (True, False):
        monkeypatch.setattr(DecodingPlan, "exact_is_cheap", cheap)
        opened = Engine.open(int4_bundle, context_length=64)
        assert (opened.exactness.exact, opened.inexact_target() is not None) == (cheap, cheap)
        assert opened.drafter_settings.exact is False
    monkeypatch.setenv("EDGEDRAFT_KERNELS", "stock")
    monkeypatch.setattr(DecodingPlan, "exact_is_cheap", True)
    assert Engine.open(int4_bundle, context_length=64).exactness.label == "inexact"
    with pytest.raises(EdgedraftError, match="exact mode is not possible, onnxruntime's kernels round a row by"):
        Engine.open(int4_bundle, context_length=64, exact=True)


@pytest.mark.usefixtures("stock_attention")
def test_bench_in_exact_mode_shows_what_the_mode_costs(int4_bundle, kernel, capsys):
    arguments = ["bench", str(int4_bundle), "-n", "2", "--max-new-tokens", "6"]
    assert main([*arguments, "--exact", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["exactness"] == {"exact": True, "reason": None, "fp32": False}
    ways = found["report"]["ways"]
    assert {way["equal_texts"] for name, way in ways.items() if name != INEXACT} == {2}
    assert ways[INEXACT]["speed_up"] == {"median": 1.0, "low": 1.0, "high": 1.0}
    assert main([*arguments, "--no-exact"]) == 0
    assert "; inexact: exact mode is off" in capsys.readouterr().out


def test_bench_measures_nothing_more_where_exact_mode_costs_nothing(int4_bundle, kernel, capsys):
    assert main(["bench", str(int4_bundle), "-n", "2", "--max-new-tokens", "6", "--no-exact", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["exactness"]["exact"], INEXACT in found["report"]["ways"]) == (True, False)
    assert {way["equal_texts"] for way in found["report"]["ways"].values()} == {2}


def test_without_own_kernels_bench_says_so_once_and_is_inexact(int4_bundle, monkeypatch, capsys):
    monkeypatch.setattr("edgedraft.runtime.native.library.library_path", lambda: None)
    monkeypatch.setattr("edgedraft.runtime.onnx.kernel_choice.own_kernels", lambda: None)
    assert main(["bench", str(int4_bundle), "-n", "1", "--max-new-tokens", "4"]) == 0
    shown = capsys.readouterr()
    assert (shown.out + shown.err).count("own kernels were not built") == 1
    assert "inexact: onnxruntime's kernels round a row by the rows beside it" in shown.out
    assert main(["bench", str(int4_bundle), "--exact"]) == 2
    assert "(own kernels were not built when edgedraft was installed) - leave exact mode out" in capsys.readouterr().err


@pytest.mark.usefixtures("stock_attention")
def test_without_exact_mode_bits_differ(int4_bundle, kernel, alone, random_prompts):
    inexact = Engine.open(int4_bundle, context_length=128, exact=False)
    prompts = random_prompts(6, seed=207, longest=30)
    assert any(said(inexact, prompt, **PLAIN) != alone(prompt) for prompt in prompts)


def test_threads_at_once_say_the_same(engine, int4_bundle, alone, random_prompts):
    """Two threads on one engine, and a third on another: all ways and prompts, each in its own order."""
    prompts = random_prompts(4, seed=208, longest=40)
    expected = [alone(prompt) for prompt in prompts]
    other = Engine.open(int4_bundle, context_length=128, exact=True)
    wrong: list[object] = []

    def work(engine: Engine, offset: int) -> None:
        for way, options in WAYS.items():
            for number in range(len(prompts)):
                place = (number + offset) % len(prompts)
                if said(engine, prompts[place], **options) != expected[place]:
                    wrong.append((way, place))

    threads = [threading.Thread(target=work, args=args) for args in ((engine, 0), (engine, 2), (other, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
