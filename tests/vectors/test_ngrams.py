"""Looked-up drafts: what TypeScript finds too."""

import pytest

from edgedraft.runtime.core.chooser import GREEDY
from edgedraft.runtime.core.ngram import Match, NgramDrafts, NgramIndex


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
            policy = NgramDrafts(draft_length)
            policy.begin(ids(case["text"]))
            proposals = policy.propose(ids(case["text"]), limit, GREEDY)
            found = "".join(chr(proposal.token_id) for proposal in proposals)
            assert found == case["drafts"][: min(draft_length, limit)]
