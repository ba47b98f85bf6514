"""edgedraft tune on the tiny pair: what it chooses is what the other commands then do."""

import json
import re
import shutil
import urllib.request
from dataclasses import replace

import pytest

import edgedraft
from edgedraft.__main__ import main
from edgedraft.devices.machine import this_machine
from edgedraft.devices.tuning.kept import keep_tuning, kept_tuning
from edgedraft.runtime.base.files import read_json, write_json
from edgedraft.runtime.core.options import DecodingOptions
from tests.benchmarks.serving import serve_process


@pytest.fixture
def elsewhere(tiny_bundle, tmp_path, monkeypatch):
    """The tiny bundle as if another machine had planned it."""
    monkeypatch.setenv("EDGEDRAFT_CONFIG", str(tmp_path / "config"))
    path = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, path)
    manifest = read_json(path / "edgedraft.json")
    manifest["plan"]["device"] = "another machine"
    write_json(path / "edgedraft.json", manifest)
    return path


def test_a_tuned_bundle_runs_by_what_was_chosen_here(elsewhere, capsys):
    assert main(["generate", str(elsewhere), "sort", "--max-new-tokens", "4"]) == 0
    before = capsys.readouterr().err
    assert before.count("planned for another machine, this is") == 1
    assert main(["tune", str(elsewhere), "--seconds", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["tuning"]
    assert told["plan"]["device"] == this_machine().name
    assert {way["policy"] for way in told["ways"]} >= {"plain", "fixed"}
    longest = max(way["draft_length"] for way in told["ways"])
    assert len(told["plan"]["target_pass_seconds"]) == longest + 1
    assert main(["generate", str(elsewhere), "sort", "--max-new-tokens", "4"]) == 0
    assert "planned for" not in capsys.readouterr().err
    model = edgedraft.load(elsewhere)
    assert model.plan.device == this_machine().name
    assert edgedraft.load(elsewhere, tuned=False).plan.device == "another machine"


@pytest.mark.parametrize(("speculate", "expected"), [(True, "ngram"), (False, "plain")])
def test_the_tuned_policy_is_the_default_of_answers(elsewhere, speculate, expected, capsys):
    assert main(["tune", str(elsewhere), "--seconds", "1"]) == 0
    tuning = kept_tuning(elsewhere, "cpu")
    plan = replace(tuning.plan, policy="ngram", speculate=speculate, draft_length=3)
    keep_tuning(elsewhere, replace(tuning, plan=plan))
    model = edgedraft.load(elsewhere)
    chosen = model.policy_of(DecodingOptions())
    assert (chosen.name, chosen.draft_length) == (expected, 3)
    assert model.policy_of(DecodingOptions(draft_length=2, speculate=True)).name == "fixed"
    text = model.generate("sort the list", max_new_tokens=12).text
    assert text == edgedraft.load(elsewhere, tuned=False).generate("sort the list", max_new_tokens=12).text


def test_several_setups_share_the_time_and_the_fastest_is_kept(elsewhere, capsys):
    assert main(["tune", str(elsewhere), "--seconds", "8", "--threads", "1", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    names = [*told["setups"], *told["untimed"]]
    assert [name.split(",")[0] for name in names] == ["1 thread", "2 threads"]
    fastest = max(told["setups"], key=lambda name: told["setups"][name])
    assert fastest.startswith(f"{told['tuning']['plan']['threads']} thread")


def test_a_bundle_without_a_forecast_is_refused_in_one_line(elsewhere, capsys):
    manifest = read_json(elsewhere / "edgedraft.json")
    del manifest["forecast"]
    write_json(elsewhere / "edgedraft.json", manifest)
    assert main(["tune", str(elsewhere)]) == 2
    assert capsys.readouterr().err.strip().endswith("which tuning needs - export the bundle again")


QUESTION = [{"role": "user", "content": "sort the list"}]
LIMIT = 24


@pytest.fixture(params=[3, 5, None], ids=["3 drafts", "5 drafts", "no drafts"])
def tuned(elsewhere, request):
    """A bundle for another machine, tuned here to a draft length, and the drafts that a short answer then takes."""
    assert main(["tune", str(elsewhere), "--seconds", "1"]) == 0
    tuning, length = kept_tuning(elsewhere, "cpu"), request.param
    plan = replace(tuning.plan, policy="fixed", speculate=length is not None, draft_length=length or 4)
    keep_tuning(elsewhere, replace(tuning, plan=plan))
    asked = DecodingOptions(speculate=length is not None, policy=length and "fixed", draft_length=length)
    expected = edgedraft.load(elsewhere, tuned=False).generate(QUESTION, max_new_tokens=LIMIT, options=asked)
    assert (expected.usage.drafted_tokens > 0) == (length is not None)
    return elsewhere, expected.usage.drafted_tokens


def test_the_lengths_that_are_told_apart_draft_differently(elsewhere):
    model = edgedraft.load(elsewhere, tuned=False)
    counts = {
        length: model.generate(
            QUESTION, max_new_tokens=LIMIT, options=DecodingOptions(policy="fixed", draft_length=length, speculate=True)
        ).usage.drafted_tokens
        for length in (3, 4, 5)
    }
    assert len(set(counts.values())) == 3


def test_chat_drafts_by_the_tuned_plan(tuned, monkeypatch, capsys):
    bundle, drafted = tuned
    lines = iter([QUESTION[0]["content"]])
    monkeypatch.setattr("edgedraft.console.Console.interactive", True)
    monkeypatch.setattr("builtins.input", lambda _: next(lines, "/exit"))
    capsys.readouterr()
    assert main(["chat", str(bundle), "--max-new-tokens", str(LIMIT), "--json"]) == 0
    notes = capsys.readouterr().err
    kept = re.findall(r"\d+ of (\d+) drafts kept", notes)
    assert set(map(int, kept)) == ({drafted} if drafted else set())
    assert "planned for another machine" not in notes


def test_serve_drafts_by_the_tuned_plan(tuned):
    bundle, drafted = tuned
    body = {"model": bundle.name, "messages": QUESTION, "max_tokens": LIMIT, "temperature": 0}
    with serve_process(bundle) as server:
        request = urllib.request.Request(
            f"http://127.0.0.1:{server.port}/v1/chat/completions",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            timings = json.load(response)["timings"]
    assert timings["draft_n"] == drafted
