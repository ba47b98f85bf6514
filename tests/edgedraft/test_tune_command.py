"""edgedraft tune on the tiny pair: what it chooses is what the other commands then do."""

import json
import shutil
from dataclasses import replace

import pytest

import edgedraft
from edgedraft.__main__ import main
from edgedraft.devices.machine import this_machine
from edgedraft.devices.tuning.kept import keep_tuning, kept_tuning
from edgedraft.runtime.base.files import read_json, write_json
from edgedraft.runtime.core.options import DecodingOptions


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
