"""A test that lacks something of its machine skips with a reason, or fails where no skip is allowed."""

import pytest

from tests.needs import REQUIRE_ALL, WEB, Need, package, skip_without

HERE = Need(what="air", remedy="open a window", is_there=lambda: True)
GONE = Need(what="the moon", remedy="wait for the night", is_there=lambda: False)
STARS = Need(what="stars", remedy="leave the town", is_there=lambda: False)
REASON = "needs the moon (wait for the night) and stars (leave the town)"
NO_PACKAGE = 'needs the package no_such_module (pip install -e ".[dev]")'


@pytest.fixture
def required(monkeypatch):
    """Sets or unsets the variable that forbids skips."""

    def put(value):
        monkeypatch.delenv(REQUIRE_ALL, raising=False)
        if value is not None:
            monkeypatch.setenv(REQUIRE_ALL, value)

    return put


@pytest.mark.parametrize("value", [None, "", "0"])
def test_what_is_missing_skips_with_what_and_how(required, value):
    required(value)
    with pytest.raises(pytest.skip.Exception) as stopped:
        skip_without(GONE, HERE, STARS)
    assert str(stopped.value) == REASON
    with pytest.raises(pytest.skip.Exception) as stopped:
        package("no_such_module", extra="dev")
    assert str(stopped.value) == NO_PACKAGE


def test_where_no_skip_is_allowed_it_fails(required):
    required("1")
    with pytest.raises(pytest.fail.Exception) as stopped:
        skip_without(GONE, HERE, STARS)
    assert str(stopped.value) == f"{REASON}; {REQUIRE_ALL}=1 allows no skip"
    with pytest.raises(pytest.fail.Exception) as stopped:
        package("no_such_module", extra="dev")
    assert str(stopped.value) == f"{NO_PACKAGE}; {REQUIRE_ALL}=1 allows no skip"


@pytest.mark.parametrize("value", [None, "1"])
def test_what_is_there_stops_nothing(required, value):
    required(value)
    skip_without(HERE)
    assert package("json", extra="dev").loads("1") == 1


def test_no_other_file_asks_what_is_installed():
    tests = WEB.parents[1] / "tests"
    ours = {tests / "needs.py", tests / "test_needs.py"}
    files = [file for file in tests.rglob("*.py") if file not in ours and file.name.startswith(("test_", "conftest"))]
    askers = [file.name for file in files if any(word in file.read_text() for word in ("importorskip", "shutil.which"))]
    assert (askers, len(files) > 100) == ([], True)


def test_the_whole_check_allows_no_skip_and_says_what_it_could_not_install():
    script = (WEB.parents[1] / ".ci" / "run").read_text()
    assert f"export {REQUIRE_ALL}=1" in script
    assert "apt-get install -y -qq chromium" in script
    assert "--no-install-recommends libvulkan1" in script
