"""The law of the endpoint: what cannot be asked is told before a request is made, and no key is ever shown."""

import pytest

from edgedraft.calibration.answers.retries import PassingError
from edgedraft.calibration.answers.server import Endpoint, chosen_model, served_models
from edgedraft.runtime.base.errors import EdgedraftError

URL = "http://127.0.0.1:8080/v1"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": "127.0.0.1:8080/v1"}, "endpoint: expected http://… or https://…, got 127.0.0.1:8080/v1"),
        ({"concurrency": 0}, "endpoint: concurrency must be at least 1, got 0"),
        ({"timeout_seconds": 0.0}, "endpoint: timeout must be above 0 seconds, got 0.0"),
        ({"retries": -1}, "endpoint: retries must be 0 or more, got -1"),
        ({"api_key": "secret\n"}, "endpoint: the key holds signs that no key has"),
        ({"api_key": "sécret"}, "endpoint: the key holds signs that no key has"),
    ],
)
def test_an_endpoint_that_makes_no_sense_is_told(changes, message):
    with pytest.raises(EdgedraftError) as error:
        Endpoint(**{"url": URL} | changes)
    assert str(error.value) == message


def test_a_key_is_never_shown():
    assert "secret" not in repr(Endpoint(url=URL, api_key="secret"))


@pytest.mark.parametrize("url", [URL, f"{URL}/"])
def test_paths_are_added_to_the_address(url):
    assert Endpoint(url=url).base == URL


def test_the_model_is_the_only_one_or_the_one_named():
    assert chosen_model(URL, "", ["a"]) == "a"
    assert chosen_model(URL, "b", ["a", "b"]) == "b"


@pytest.mark.parametrize(
    ("wanted", "names", "message"),
    [
        ("", [], "here: expected one model, got none - name the model to ask"),
        ("", ["a", "b"], "here: expected one model, got a, b - name the model to ask"),
        ("c", ["a", "b"], "here: expected model c, got a, b - name one that is served"),
        ("c", [], "here: expected model c, got none - name one that is served"),
        ("", list("abcdefghij"), "here: expected one model, got a, b, c, d, e, f, g, h, … - name the model to ask"),
    ],
)
def test_a_model_that_is_not_clear_is_told_with_those_there_are(wanted, names, message):
    with pytest.raises(EdgedraftError) as error:
        chosen_model("here", wanted, names)
    assert str(error.value) == message


def test_models_are_read_from_the_list():
    assert served_models({"object": "list", "data": [{"id": "a", "owner": "x"}, {"id": "b"}]}) == ["a", "b"]


@pytest.mark.parametrize("data", [None, [], {}, {"data": None}, {"data": [{}]}, {"data": ["a"]}])
def test_a_broken_list_of_models_may_be_asked_for_again(data):
    with pytest.raises(PassingError, match=r"^no list of models in the answer$"):
        served_models(data)
