"""Rows that a pass is given, and what a padded model reads: what TypeScript computes too."""

import numpy as np
import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.model import Pass
from edgedraft.runtime.core.padding import Padded, padded_rows

BY = {"less": 1 - 1e-6, "more": 1 + 1e-6}


class Letters:
    """A model of letters, numbered from a; it notes what each pass was given."""

    def __init__(self, context_length: int) -> None:
        self.context_length, self.token_ids, self.passes = context_length, [], []

    @property
    def length(self) -> int:
        return len(self.token_ids)

    def read(self, token_ids):
        if self.length + len(token_ids) > self.context_length:
            raise EdgedraftError("the context is full")
        self.token_ids += token_ids
        self.passes.append("".join(map(chr, token_ids)))
        return Pass(logits=np.array(token_ids, dtype=np.float32)[:, None])

    def rewind(self, length: int) -> None:
        del self.token_ids[length:]


@pytest.mark.section("tables")
@pytest.mark.parametrize("any_second", [1e-3, 1e3])
def test_rows_by_needed_ones_and_minimum(case, any_second):
    for each in [{"nudge": {}, "padded": case["padded"]}, *case["nudged"]]:
        by = each["nudge"]
        seconds = [
            any_second if value == "any" else value * BY.get(by.get(str(place)), 1)
            for place, value in enumerate(case["pass_seconds"], start=1)
        ]
        for minimum, expected in each["padded"].items():
            found = [padded_rows(rows, seconds, case["provider"], int(minimum)) for rows in range(len(expected))]
            assert found == expected, (by, minimum)


@pytest.mark.section("tables")
def test_without_a_minimum_one_row_stays_one(case):
    seconds = [1.0 if value == "any" else value for value in case["pass_seconds"]]
    expected = case["padded"]["1"]
    assert [padded_rows(rows, seconds, case["provider"]) for rows in range(len(expected))] == expected


@pytest.mark.section("models")
def test_what_a_padded_model_reads(case):
    inner = Letters(case["context_length"])
    model = Padded(inner, (), case["provider"])
    for text in case["reads"]:
        rows = model.read([ord(letter) for letter in text]).logits
        assert "".join(chr(int(row[0])) for row in rows) == text
    assert inner.passes == case["passes"]
    assert "".join(map(chr, inner.token_ids)) == "".join(case["reads"]), "what was added is forgotten"
    with pytest.raises(EdgedraftError):
        model.read([0])
