"""Plain data becomes a checked record or an error that carries the key path."""

import json
from dataclasses import dataclass, field

import pytest

from edgedraft.runtime.base.records import from_plain, require, to_plain


@dataclass(frozen=True, kw_only=True, slots=True)
class Inner:
    count: int
    share: float = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Outer:
    name: str
    on: bool
    inner: Inner
    maybe: float | None
    ids: tuple[int, ...]
    parts: dict[str, Inner]
    many: tuple[Inner, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)


PLAIN = {
    "name": "n",
    "on": True,
    "inner": {"count": 1, "share": 0.25},
    "maybe": 1.5,
    "ids": [1, 2],
    "parts": {"a": {"count": 2, "share": 1.0}},
    "many": [{"count": 3, "share": 0.0}],
    "notes": {"k": "v"},
}
RECORD = Outer(
    name="n",
    on=True,
    inner=Inner(count=1, share=0.25),
    maybe=1.5,
    ids=(1, 2),
    parts={"a": Inner(count=2, share=1.0)},
    many=(Inner(count=3, share=0.0),),
    notes={"k": "v"},
)


def test_a_record_and_its_plain_form_are_each_others_inverse():
    assert to_plain(RECORD) == PLAIN
    assert from_plain(Outer, PLAIN, "here") == RECORD
    assert from_plain(Outer, json.loads(json.dumps(PLAIN)), "here") == RECORD


def test_defaults_fill_what_is_left_out():
    assert from_plain(Inner, {"count": 1}, "here") == Inner(count=1, share=0.5)
    short = {key: value for key, value in PLAIN.items() if key not in ("many", "notes")}
    found = from_plain(Outer, short, "here")
    assert (found.many, found.notes) == ((), {})


def test_an_optional_value_may_be_null():
    assert from_plain(Outer, PLAIN | {"maybe": None}, "here").maybe is None


def test_an_int_serves_as_a_float():
    found = from_plain(Inner, {"count": 1, "share": 2}, "here").share
    assert (found, type(found)) == (2.0, float)
    assert type(from_plain(Outer, PLAIN | {"maybe": 2}, "here").maybe) is float


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": 1, "another": 2}, "here: unknown key, got another, extra"),
        ({"name": 3}, "here: name: expected str, got 3"),
        ({"name": None}, "here: name: expected str, got None"),
        ({"on": 1}, "here: on: expected bool, got 1"),
        ({"inner": {"count": True}}, "here: inner: count: expected int, got True"),
        ({"inner": {"count": 1.0}}, "here: inner: count: expected int, got 1.0"),
        ({"inner": {"count": "1"}}, "here: inner: count: expected int, got '1'"),
        ({"inner": {"count": 1, "share": False}}, "here: inner: share: expected float, got False"),
        ({"inner": {}}, "here: inner: missing key count"),
        ({"inner": {"count": 1, "x": 0}}, "here: inner: unknown key, got x"),
        ({"inner": [1]}, "here: inner: expected an object, got list"),
        ({"maybe": "1"}, "here: maybe: expected float, got '1'"),
        ({"maybe": True}, "here: maybe: expected float, got True"),
        ({"ids": 3}, "here: ids: expected a list, got int"),
        ({"ids": "12"}, "here: ids: expected a list, got str"),
        ({"ids": [1, "2"]}, "here: ids[1]: expected int, got '2'"),
        ({"ids": [True]}, "here: ids[0]: expected int, got True"),
        ({"parts": [1]}, "here: parts: expected an object, got list"),
        ({"parts": {"a": {}}}, "here: parts.a: missing key count"),
        ({"parts": {"a": {"count": None}}}, "here: parts.a: count: expected int, got None"),
        ({"many": [{"count": 1}, {"count": "x"}]}, "here: many[1]: count: expected int, got 'x'"),
        ({"notes": {"k": 1}}, "here: notes.k: expected str, got 1"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_key_path(change, message, raises_exactly):
    with raises_exactly(message):
        from_plain(Outer, PLAIN | change, "here")


def test_a_missing_key_is_named(raises_exactly):
    with raises_exactly("here: missing key ids"):
        from_plain(Outer, {key: value for key, value in PLAIN.items() if key != "ids"}, "here")


@pytest.mark.parametrize(("data", "found"), [([], "list"), ("text", "str"), (None, "NoneType")])
def test_a_record_comes_from_an_object(data, found, raises_exactly):
    with raises_exactly(f"here: expected an object, got {found}"):
        from_plain(Inner, data, "here")


def test_require_raises_only_when_the_condition_fails(raises_exactly):
    require(True, "unused")
    with raises_exactly("a rule, got 1 - mend it"):
        require(False, "a rule", got=1, remedy="mend it")
