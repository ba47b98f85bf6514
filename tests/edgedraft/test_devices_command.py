"""edgedraft devices: lists and shows profiles with their sources, and checks the priors."""

import json

import pytest

from edgedraft.__main__ import main
from edgedraft.devices.priors.published import shipped_speeds
from edgedraft.devices.priors.validation import validate
from edgedraft.devices.registry import shipped_profiles


def told(capsys, *arguments):
    assert main(["devices", *arguments]) == 0
    return capsys.readouterr().out


def test_every_shipped_device_is_listed(capsys):
    listed = json.loads(told(capsys, "list", "--json"))
    assert [profile["id"] for profile in listed] == [profile.id for profile in shipped_profiles()]
    phones = told(capsys, "list", "--kind", "phone")
    assert "sd-8-gen-3" in phones
    assert "apple-m2 " not in phones


def test_a_profile_is_shown_with_its_sources_and_what_is_expected_of_it(capsys):
    out = told(capsys, "show", "macbook air m2")
    assert "102.4 GB/s (verified: " in out
    assert "A model that reads 1 GB in int4 on the GPU: " in out
    assert "A prior, not a measurement: " in out


def test_without_a_name_this_machine_is_shown(capsys):
    machine = json.loads(told(capsys, "show", "--json"))
    assert machine["cores"] >= 1


def test_validation_prints_every_class_and_why_one_misses(capsys):
    out = told(capsys, "validate")
    for errors in validate(shipped_speeds()):
        assert f"| {errors.name} " in out
        assert (f"{errors.name} misses its target: " in out) is bool(errors.reason)


@pytest.mark.parametrize("part", [[], ["shew"]])
def test_an_unknown_part_is_refused(part, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["devices", *part])
    assert stopped.value.code == 2


def test_an_unknown_device_is_told_with_what_there_is(capsys):
    assert main(["devices", "show", "macbok air m2"]) == 2
    assert 'did you mean "MacBook Air (M2)" (apple-m2)' in capsys.readouterr().err
