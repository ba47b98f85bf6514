"""JSON of strangers is parsed within bounds; every fault is one line that names the file."""

import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.json_text import DEEPEST, parsed_json

NESTED = "values nested too deeply"
HALF = "half of a surrogate pair"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1, "b": [1.5, null, true, "é"]}', {"a": 1, "b": [1.5, None, True, "é"]}),
        (r'"\ud83d\ude00"', "😀"),
        ('{"a": 1, "a": 1}', {"a": 1}),
        ('{"model_max_length": 1000000000000000019884624838656}', {"model_max_length": 10**30 + 19884624838656}),
        ('"\ufffd"', "\ufffd"),
        ("-0.0", -0.0),
    ],
)
def test_legal_json_is_read(text, value):
    assert parsed_json(text, "f") == value
    assert parsed_json(text.encode(), "f") == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, NESTED),
        ("[" * 100_000 + "]" * 100_000, NESTED),
        ('{"a":' * (DEEPEST + 1) + "1" + "}" * (DEEPEST + 1), NESTED),
        ("1" * 5000, "Exceeds the limit"),
        ("NaN", "NaN is no JSON number"),
        ('{"a": -Infinity}', "-Infinity is no JSON number"),
        ('{"a": 1, "a": 2}', "two values of the key 'a'"),
        (r'["\ud800"]', HALF),
        (r'{"\uDFFF": 1}', HALF),
        ('["\ud800"]', HALF),
        ("{", "Expecting property name"),
        ("", "Expecting value"),
    ],
)
def test_other_json_is_refused_in_one_line(text, reason):
    with pytest.raises(EdgedraftError) as raised:
        parsed_json(text, "file.json")
    assert str(raised.value).startswith(f"file.json: not valid JSON, got {reason}")
    assert "\n" not in str(raised.value)


def test_bytes_that_are_no_utf8_are_refused():
    with pytest.raises(EdgedraftError, match=r"file\.json: not valid JSON, got 'utf-8' codec"):
        parsed_json(b'"\xff"', "file.json")


def test_lists_inside_each_other_are_counted():
    assert parsed_json("[" * DEEPEST + "]" * DEEPEST, "f")
