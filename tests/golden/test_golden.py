"""What every command does today is what it did when it was recorded.

A difference that is meant is recorded anew with ``pytest tests/golden --record``, and shows in the commit.
"""

import pytest

from tests.golden.comparing import difference, record, recorded
from tests.golden.mistakes import MISTAKES
from tests.golden.option_inventory import lost, option_inventory
from tests.golden.scenarios import SCENARIOS
from tests.golden.written import versions


@pytest.fixture(scope="session", autouse=True)
def _recorded_first(recording, request):
    """With --record, the outcomes are written before they are compared."""
    if recording:
        outcomes = request.getfixturevalue("outcomes")
        record("commands", outcomes.scenarios)
        record("mistakes", outcomes.mistakes)
        record("options", option_inventory())
        record("bytes", {"versions": versions(), "sums": outcomes.sums})


def _compare(before, now):
    if found := difference(before, now):
        pytest.fail(f"{found}\n\nIf this is meant: pytest tests/golden --record", pytrace=False)


@pytest.mark.parametrize("name", [scenario.name for scenario in SCENARIOS])
def test_a_command_does_what_it_did(name, outcomes):
    _compare(recorded("commands").get(name), outcomes.scenarios[name])


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered_as_it_was(name, outcomes):
    _compare(recorded("mistakes").get(name), outcomes.mistakes[name])


def test_nothing_recorded_is_left_out():
    assert list(recorded("commands")) == [scenario.name for scenario in SCENARIOS]
    assert list(recorded("mistakes")) == list(MISTAKES)


def test_every_command_option_default_and_choice_is_still_there():
    assert "\n".join(lost(recorded("options"), option_inventory())) == ""


def test_files_are_the_same_byte_for_byte(outcomes):
    """With other versions of the libraries that write graphs, bytes differ for their reasons, not for ours."""
    before = recorded("bytes")
    if before["versions"] != versions():
        pytest.skip(f"recorded with other libraries: {difference(before['versions'], versions())}")
    _compare(before["sums"], outcomes.sums)
