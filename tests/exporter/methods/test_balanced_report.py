"""The three files of method balanced: their names and keys, numbers that agree, and a picture that is whole."""

import json
import sys

import numpy as np
import pytest

from edgedraft.exporter.methods.balanced import BalancedSettings, balance
from edgedraft.exporter.methods.balanced_report import write_reports
from edgedraft.exporter.methods.flops import EagleShape
from edgedraft.exporter.methods.utility import UtilitySettings
from edgedraft.exporter.planning.search import SearchSettings
from edgedraft.runtime.base.errors import MissingExtraError

SHAPE = EagleShape(hidden=256, intermediate=512, heads=8, kv_heads=2, target_vocab_size=4000)


@pytest.fixture(scope="module")
def found(make_counts):
    counts = make_counts(np.random.default_rng(1).geometric(0.01, 4000))
    utility = UtilitySettings(min_coverage=0.3)
    return balance(counts, SHAPE.cost, BalancedSettings(utility=utility, search=SearchSettings(trials=15, seed=42)))


@pytest.fixture(scope="module")
def folder(found, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports") / "new"
    paths = write_reports(found, folder)
    names = ["summary.json", "full_results.json", "optimization_results.png"]
    assert [path.name for path in paths] == names
    assert sorted(file.name for file in folder.iterdir()) == sorted(names)
    return folder


def test_reports_are_replaced_by_later_ones(found, folder):
    before = {file: file.read_bytes() for file in folder.iterdir()}
    write_reports(found, folder)
    assert {file: file.read_bytes() for file in folder.iterdir()} == before


def test_the_summary_says_what_was_chosen(found, folder):
    assert json.loads((folder / "summary.json").read_text()) == {
        "method": "scan",
        "optimal_draft_vocab_size": found.chosen.size,
        "target_vocab_size": 4000,
        "vocab_reduction_ratio": 1 - found.chosen.size / 4000,
        "coverage": found.chosen.coverage,
        "latency_reduction": found.chosen.latency_reduction,
        "utility": found.chosen.utility,
    }


def test_the_full_results_hold_every_trial_and_the_scan(found, folder):
    told = json.loads((folder / "full_results.json").read_text())
    assert [trial["size"] for trial in told["trials"]] == [trial.weighed.size for trial in found.trials]
    assert [trial["feasible"] for trial in told["trials"]] == [trial.feasible for trial in found.trials]
    assert told["scan"]["size"] == told["optimal_vocab_size"] == found.chosen.size
    assert told["tpe"]["utility"] + told["utility_missed_by_tpe"] == pytest.approx(found.chosen.utility)
    assert told["n_trials"] == 15
    assert set(told["all_evaluations"]) == {str(trial.weighed.size) for trial in found.trials} | {
        str(found.chosen.size)
    }
    assert told["all_evaluations"][str(found.chosen.size)]["utility"] == found.chosen.utility
    assert told["settings"] == {
        "coverage_weight": 0.5,
        "min_coverage": 0.3,
        "min_size": 50,
        "max_size": 50000,
        "random_state": 42,
    }


def test_the_picture_is_whole(folder):
    picture = (folder / "optimization_results.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert picture.endswith(b"IEND\xaeB`\x82")


def test_full_results_stay_plain_json_where_only_cost_counts(make_counts, tmp_path):
    settings = BalancedSettings(utility=UtilitySettings(coverage_weight=0.0), search=SearchSettings(trials=2))
    write_reports(balance(make_counts(np.ones(4000)), SHAPE.cost, settings), tmp_path)
    text = (tmp_path / "full_results.json").read_text()
    assert json.loads(text)["worthwhile_share"] is None
    assert "Infinity" not in text


def test_a_picture_is_drawn_where_tpe_found_nothing(make_counts, tmp_path, recwarn):
    settings = BalancedSettings(utility=UtilitySettings(min_coverage=1.0), search=SearchSettings(trials=1))
    found = balance(make_counts(np.ones(4000)), SHAPE.cost, settings)
    assert found.by_tpe is None
    write_reports(found, tmp_path)
    assert json.loads((tmp_path / "full_results.json").read_text())["tpe"] is None
    assert not recwarn.list


def test_drawing_needs_the_export_extra(found, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r'^matplotlib is not installed - pip install "edgedraft\[export\]"$'):
        write_reports(found, tmp_path)
