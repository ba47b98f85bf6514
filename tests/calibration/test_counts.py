"""The law of counts: they add like numbers, so shards counted apart are the whole counted at once."""

import hashlib
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.calibration.counts import SOURCES, Provenance, TokenCounts, count_tokens, no_counts
from edgedraft.calibration.data.samples import GROUPS, Sample, add_digests, group_of
from edgedraft.runtime.base.errors import EdgedraftError

VOCAB = 10
BY_TARGET = Provenance(source="target", tokenizer_fingerprint="print", model="big", options={"max_new_tokens": 8})

Answers = list[tuple[str, list[int]]]

digests = st.text(alphabet="abc", max_size=3).map(lambda text: hashlib.sha256(text.encode()).hexdigest())
answers = st.lists(st.tuples(digests, st.lists(st.integers(0, VOCAB - 1), max_size=12)), max_size=6)


def count(found: Answers, provenance: Provenance = BY_TARGET) -> TokenCounts:
    return count_tokens(found, VOCAB, provenance)


def facts(counts: TokenCounts) -> tuple:
    return counts.by_group.tolist(), counts.prompts_by_group.tolist(), counts.provenance


# --- the law ---------------------------------------------------------------------------------------------------------


@given(answers, answers, answers)
def test_shards_add_up_to_the_whole_in_any_order(a, b, c):
    whole = facts(count(a + b + c))
    assert facts((count(a) + count(b)) + count(c)) == whole
    assert facts(count(a) + (count(b) + count(c))) == whole
    assert facts(count(c) + count(a) + count(b)) == whole


@given(answers)
def test_every_token_is_counted_in_the_group_of_its_prompt(found):
    got = count(found)
    for group in range(GROUPS):
        mine = [token_ids for digest, token_ids in found if group_of(digest) == group]
        assert got.by_group[group].tolist() == [sum(ids.count(token) for ids in mine) for token in range(VOCAB)]
        assert got.prompts_by_group[group] == len(mine)
    flat = [token for _, token_ids in found for token in token_ids]
    assert got.counts.tolist() == [flat.count(token) for token in range(VOCAB)]
    assert (got.tokens, got.prompts, got.vocab_size) == (len(flat), len(found), VOCAB)


@given(answers)
def test_nothing_is_what_adding_begins_with(found):
    counts = count(found)
    assert facts(counts + no_counts(VOCAB, BY_TARGET)) == facts(no_counts(VOCAB, BY_TARGET) + counts) == facts(counts)


@given(answers)
def test_counts_travel_between_processes_as_they_are(found):
    assert facts(pickle.loads(pickle.dumps(count(found)))) == facts(count(found))


def test_what_was_never_seen_does_not_travel():
    assert len(pickle.dumps(no_counts(100_000, BY_TARGET))) < 2_000


def test_a_generator_of_answers_is_read_once():
    digest = Sample(id="a", text="hello").digest
    got = count((digest, tuple(token_ids)) for token_ids in [[1, 1], [], [9]])
    assert got.counts.tolist() == [0, 2, 0, 0, 0, 0, 0, 0, 0, 1]
    assert got.prompts_by_group[group_of(digest)] == got.prompts == 3


@given(answers, answers)
def test_the_prompts_digest_is_of_all_prompts_and_adding_changes_no_shard(a, b):
    left, right = count(a), count(b)
    before = facts(left)
    whole = left + right
    assert whole.provenance.prompts_digest == add_digests(*(digest for digest, _ in a + b))
    assert facts(left) == before


def test_other_prompts_have_another_digest():
    one, other = (Sample(id="same", text=text).digest for text in ("one", "other"))
    assert count([(one, [1])]).provenance.prompts_digest != count([(other, [1])]).provenance.prompts_digest


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{"tokenizer_fingerprint": "other"}, {"counts": [1, 2, 3]}])
def test_counts_of_different_tokenizers_do_not_add(make_counts, changes):
    with pytest.raises(EdgedraftError) as error:
        make_counts([1, 2]) + make_counts(**{"counts": [1, 2], **changes})
    assert str(error.value) == "counts of different tokenizers cannot be added"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "drafter"}, "counts: expected source target, got drafter"),
        ({"model": "small"}, "counts: expected model none, got small"),
        ({"options": {"temperature": 1}}, "counts: expected options none, got {'temperature': 1}"),
    ],
)
def test_counts_that_were_made_otherwise_do_not_add(make_counts, changes, message):
    with pytest.raises(EdgedraftError) as error:
        make_counts([1, 2]) + make_counts([1, 2], **changes)
    assert str(error.value) == message


def test_an_unknown_source_is_refused(make_counts):
    with pytest.raises(EdgedraftError) as error:
        make_counts([1], source="rumour")
    assert str(error.value) == f"counts: source: expected one of {', '.join(SOURCES)}, got rumour"


@pytest.mark.parametrize("token", [-1, VOCAB, 10**12])
def test_ids_outside_the_vocabulary_are_refused(token):
    with pytest.raises(EdgedraftError, match=rf"^counts: token ids must lie in 0\.\.{VOCAB - 1}, got \[?{token}"):
        count([("0" * 64, [3, token])])


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"by_group": np.zeros(2, np.int64)}, "counts: by_group: expected int64, 32 groups, got int64 (2,)"),
        ({"by_group": np.zeros((31, 2), np.int64)}, "counts: by_group: expected int64, 32 groups, got int64 (31, 2)"),
        (
            {"by_group": np.zeros((GROUPS, 2), np.int32)},
            "counts: by_group: expected int64, 32 groups, got int32 (32, 2)",
        ),
        ({"by_group": np.full((GROUPS, 2), -1)}, "counts: by_group: expected no negative count"),
        ({"prompts_by_group": np.zeros((GROUPS, 1), np.int64)}, "counts: prompts_by_group: expected int64, 32 groups"),
        ({"prompts_by_group": np.full(GROUPS, -1)}, "counts: prompts_by_group: expected no negative count"),
    ],
)
def test_counts_are_whole_numbers_a_row_a_group(changes, rule):
    values = {"by_group": np.zeros((GROUPS, 2), np.int64), "prompts_by_group": np.zeros(GROUPS, np.int64)}
    with pytest.raises(EdgedraftError) as error:
        TokenCounts(**values | changes, provenance=BY_TARGET)
    assert str(error.value).startswith(rule)
