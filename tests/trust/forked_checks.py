"""The kinds of hostile bundles and files: mutations are seeded and differ, and a skipped check is noticed."""

import os
import signal
from random import Random

import pytest

from edgedraft.runtime.base import records
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.bundle import reading
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.text.template_budget import Budget
from tests.trust import isolated as isolation
from tests.trust.formats import FORMATS
from tests.trust.frame import GOOD, HungError, Score, Verdict, decide
from tests.trust.isolated import Refusal, isolated
from tests.trust.kinds.hostile_bundles import answers, hostile_bundles, made_bundle, mutated_bundle
from tests.trust.kinds.hostile_files import mutated_file
from tests.trust.mutations import mutate_bytes, mutate_json, mutate_template

BY_FILE = {each.file: each for each in FORMATS}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return made_bundle(tmp_path_factory.mktemp("hostile"))


def verdicts(trial, count, name="x"):
    """The verdicts of some trials, as the suite counts them."""
    score = Score(kind=hostile_bundles)
    for number in range(count):
        decide(score, trial, number, 1)
    return score.verdicts


def of_bundle(bundle, folder, name):
    usual = isolated(lambda: answers(bundle))[0]
    return lambda number, rng: mutated_bundle(bundle, folder / "trial", name, rng, usual)


def of_file(folder, name):
    form = BY_FILE[name]
    (folder / "whole").mkdir(exist_ok=True)
    form.write(folder / "whole" / name)
    known = isolated(lambda: form.read(folder / "whole" / name))
    return lambda number, rng: mutated_file(form, folder / "whole", folder / "trial", rng, known)


def test_mutated_bundles_are_refused_or_answer_rightly(bundle, tmp_path):
    for name in ("edgedraft.json", "drafter/model.onnx", "tokenizer.json"):
        found = verdicts(of_bundle(bundle, tmp_path, name), 12)
        assert set(found) <= set(GOOD), found
        assert found[Verdict.REFUSED]


@pytest.mark.parametrize("name", ["map.safetensors", "profile.toml", "map.json", "data.jsonl", "record.json"])
def test_mutated_files_are_refused_or_read(tmp_path, name):
    found = verdicts(of_file(tmp_path, name), 12)
    assert set(found) <= set(GOOD), found
    assert found[Verdict.REFUSED]


def test_a_skipped_check_of_sums_is_noticed(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_check_file", lambda *arguments: None)
    assert verdicts(of_bundle(bundle, tmp_path, "README.md"), 40)[Verdict.WRONG]


def test_a_skipped_check_of_index_maps_is_noticed(tmp_path, monkeypatch):
    trial = of_file(tmp_path, "map.safetensors")
    monkeypatch.setattr(IndexMap, "__post_init__", lambda self: None)
    assert verdicts(trial, 60)[Verdict.CRASHED]


def test_a_skipped_check_of_a_records_sum_is_noticed(tmp_path, monkeypatch):
    trial = of_file(tmp_path, "record.json")
    from edgedraft.runtime.base import kept

    monkeypatch.setattr(kept, "require", lambda *arguments, **options: None)
    found = verdicts(trial, 40)
    assert found[Verdict.WRONG] or found[Verdict.CRASHED]


def test_a_template_without_a_budget_is_noticed(monkeypatch):
    monkeypatch.setattr(Budget, "step", lambda self, count: None)
    monkeypatch.setattr(Budget, "make", lambda self, size: None)
    from edgedraft.runtime.text.chat_template import ChatTemplate

    loops = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    with pytest.raises(HungError):
        isolated(lambda: ChatTemplate(source=loops, special_tokens={})._render([], (), True, None), 1.0)


def test_errors_memory_and_deaths_of_a_child_are_told_apart(monkeypatch):
    assert isolated(lambda: [1, "a"]) == [1, "a"]
    assert isolated(lambda: records.require(False, "no")) == Refusal(text="no")
    with pytest.raises(RuntimeError, match="KeyError: 'x'"):
        isolated(lambda: {}["x"])
    with pytest.raises(RuntimeError, match="ended without a word: -9"):
        isolated(lambda: os.kill(os.getpid(), signal.SIGKILL))
    monkeypatch.setattr(isolation, "MOST_BYTES", 2**24)
    with pytest.raises(RuntimeError, match="MiB of memory"):
        isolated(lambda: len(bytearray(2**26)))

    def unprintable():
        error = EdgedraftError("a")
        error.args = ("a\nb",)
        raise error

    with pytest.raises(AssertionError, match="several lines"):
        isolated(unprintable)


@pytest.mark.parametrize("mutate", [mutate_bytes, mutate_json, mutate_template])
def test_a_seed_decides_a_mutation(mutate):
    content = b'{"a": [1, 2.5, {"b": "text"}], "c": null}'
    made = [mutate(content, Random(seed)) for seed in range(60)]
    assert made == [mutate(content, Random(seed)) for seed in range(60)]
    assert len(set(made)) > 30
