"""Looked-up drafts: what TypeScript finds too."""

import pytest

from edgedraft.runtime.core.ngram import NgramIndex, NgramSource
from edgedraft.runtime.core.policies import FixedLength
from edgedraft.runtime.core.sampler import GreedySampler
from edgedraft.runtime.core.token_drafter import Match, TokenDrafter


def ids(text):
    return [ord(letter) for letter in text]


def index_of(case):
    index = NgramIndex(*(int(length) for length in case["lengths"].split("-")))
    index.extend(ids(case["text"]))
    return index


@pytest.mark.section("matches")
def test_a_match(case):
    expected = Match(token_id=ord(case["next"]), length=case["length"])
    assert index_of(case).find(ids(case["context"])) == expected


@pytest.mark.section("misses")
def test_no_match(case):
    assert index_of(case).find(ids(case["context"])) is None


@pytest.mark.section("drafts")
def test_drafts_of_every_length_in_every_limit(case):
    for draft_length in range(1, 9):
        for limit in range(10):
            drafter = TokenDrafter(NgramSource(), FixedLength(draft_length))
            draft = drafter.propose(ids(case["text"]), limit, GreedySampler())
            text = "".join(chr(token.token_id) for token in draft.tokens)
            assert text == case["drafts"][: min(draft_length, limit)]
