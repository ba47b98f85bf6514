"""Kept tunings: found again for the same bundle, machine, provider; nothing else is taken for one."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from edgedraft.devices.machine import this_machine
from edgedraft.devices.tuning import kept, opening
from edgedraft.devices.tuning.choosing import PredictedWay
from edgedraft.devices.tuning.kept import FOLDER, Tuning, config_folder, keep_tuning, kept_tuning, key_here


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEDRAFT_CONFIG", str(tmp_path / "config"))
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "edgedraft.json").write_text("{}")
    return folder


@pytest.fixture
def tuning(bundle, make_plan):
    way = PredictedWay(policy="fixed", draft_length=2, tokens_per_second=9.0, block_efficiency=2.0, acceptance_rate=0.5)
    return Tuning(key=key_here(bundle, "cpu"), plan=make_plan(policy="fixed"), ways=(way,), seconds=30.0)


def test_a_tuning_is_kept_beside_the_bundle_and_found_again(bundle, tuning):
    path = keep_tuning(bundle, tuning)
    assert path.parent == bundle / FOLDER
    assert kept_tuning(bundle, "cpu") == tuning


def test_where_the_bundle_cannot_be_written_it_is_kept_in_the_users_folder(bundle, tuning):
    (bundle / FOLDER).write_text("a file where the folder would be")
    assert keep_tuning(bundle, tuning).parent == config_folder() / FOLDER
    assert kept_tuning(bundle, "cpu") == tuning


@pytest.mark.parametrize(
    "elsewhere",
    [{"bundle": "0" * 64}, {"machine": "another one, 8 cores"}, {"provider": "webgpu"}, {"onnxruntime": "0.1"}],
)
def test_a_tuning_for_something_else_is_not_taken(bundle, tuning, elsewhere):
    path = keep_tuning(bundle, tuning)
    other = keep_tuning(bundle, replace(tuning, key=replace(tuning.key, **elsewhere)))
    other.replace(path)
    assert kept_tuning(bundle, "cpu") is None


def test_another_manifest_makes_it_stale(bundle, tuning):
    keep_tuning(bundle, tuning)
    (bundle / "edgedraft.json").write_text("{ }")
    assert kept_tuning(bundle, "cpu") is None


@pytest.mark.parametrize("change", ["cut", "speeds", "huge", "folder"])
def test_a_damaged_or_huge_file_is_no_tuning(bundle, tuning, change):
    path = keep_tuning(bundle, tuning)
    text = path.read_text()
    if change == "cut":
        path.write_text(text[: len(text) // 2])
    elif change == "speeds":
        data = json.loads(text)
        data["value"]["plan"]["threads"] = 3
        path.write_text(json.dumps(data))
    elif change == "huge":
        path.write_text(text + " " * kept._MOST_BYTES)
    else:
        path.unlink()
        path.mkdir()
    assert kept_tuning(bundle, "cpu") is None


def test_an_untuned_bundle_of_another_machine_says_so_and_one_of_this_machine_does_not(make_plan, tmp_path):
    def engine(device):
        manifest = SimpleNamespace(plan=make_plan(device=device))
        return SimpleNamespace(bundle=SimpleNamespace(manifest=manifest, path=tmp_path))

    remark = opening.untuned_remark(engine("Raspberry Pi 5"))
    assert remark is not None
    assert remark.startswith("planned for Raspberry Pi 5, this is ")
    assert f"edgedraft tune {tmp_path}" in remark
    assert opening.untuned_remark(engine(this_machine().name)) is None
