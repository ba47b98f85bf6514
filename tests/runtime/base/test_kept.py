"""Cached results are equal after writing and reading, and None if anything about them is damaged."""

from dataclasses import dataclass

import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.kept import kept, record_reader, write_record
from edgedraft.runtime.base.tensors import read_tensors, write_tensors


@dataclass(frozen=True, kw_only=True, slots=True)
class Times:
    name: str
    seconds: tuple[float, ...]


TIMES = Times(name="a", seconds=(0.25, 1e-9))


def test_a_record_comes_back(tmp_path):
    assert kept(record_reader(Times), tmp_path / "none.json") is None
    write_record(tmp_path / "a.json", TIMES)
    assert kept(record_reader(Times), tmp_path / "a.json") == TIMES


def test_a_record_with_any_digit_changed_is_none(tmp_path):
    path = tmp_path / "a.json"
    write_record(path, TIMES)
    text = path.read_text()
    for old, new in (
        ("0.25", "0.26"),
        ('"a"', '"b"'),
        ("1e-09", "1e-08"),
        ("seconds", "second"),
        (text, ""),
        (text, "1"),
    ):
        path.write_text(text.replace(old, new))
        assert kept(record_reader(Times), path) is None
        with pytest.raises(EdgedraftError):
            record_reader(Times)(path)


def test_summed_arrays_with_any_byte_changed_are_refused(tmp_path):
    import numpy as np

    path = tmp_path / "a.safetensors"
    write_tensors(path, {"x": np.arange(4)}, {"told": "yes"}, summed=True)
    tensors, facts = read_tensors(path)
    assert (tensors["x"].tolist(), facts) == ([0, 1, 2, 3], {"told": "yes"})
    whole = path.read_bytes()
    for at in (whole.index(b"yes"), whole.index(b'"x"') + 1, len(whole) - 8, len(whole) - 1):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(EdgedraftError):
            read_tensors(path)
