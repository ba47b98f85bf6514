"""The law of counts: they add like numbers, so shards counted apart are the whole counted at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.calibration.counts import SOURCES, TokenCounts, count_tokens, read_counts, write_counts
from edgedraft.runtime.errors import EdgedraftError
from edgedraft.runtime.tensors import write_tensors

VOCAB = 10

answers = st.lists(st.lists(st.integers(0, VOCAB - 1), max_size=12), max_size=5)


def count(found: list[list[int]], source: str = "target") -> TokenCounts:
    return count_tokens(found, VOCAB, source, "print")


def facts(counts: TokenCounts) -> tuple:
    return counts.counts.tolist(), counts.prompts, counts.source, counts.tokenizer_fingerprint


def counted(*counts: int, **changes) -> TokenCounts:
    told = {"prompts": 1, "source": "target", "tokenizer_fingerprint": "print", **changes}
    return TokenCounts(counts=np.array(counts, dtype=np.int64), **told)


# --- the law ---------------------------------------------------------------------------------------------------------


@given(answers, answers, answers)
def test_shards_add_up_to_the_whole_in_any_order(a, b, c):
    whole = facts(count(a + b + c))
    assert facts((count(a) + count(b)) + count(c)) == whole
    assert facts(count(a) + (count(b) + count(c))) == whole
    assert facts(count(c) + count(a) + count(b)) == whole


@given(answers)
def test_every_token_is_counted(found):
    got = count(found)
    flat = [token for answer in found for token in answer]
    assert got.counts.tolist() == [flat.count(token) for token in range(VOCAB)]
    assert (got.tokens, got.prompts) == (len(flat), len(found))


def test_a_generator_of_answers_is_read_once():
    got = count_tokens((tuple(answer) for answer in [[1, 1], [], [9]]), VOCAB, "drafter", "print")
    assert facts(got) == ([0, 2, 0, 0, 0, 0, 0, 0, 0, 1], 3, "drafter", "print")


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", [counted(1, 2, tokenizer_fingerprint="other"), counted(1, 2, 3)])
def test_counts_of_different_tokenizers_do_not_add(other):
    with pytest.raises(EdgedraftError) as error:
        counted(1, 2) + other
    assert str(error.value) == "counts of different tokenizers cannot be added"


def test_counts_from_different_sources_do_not_add():
    with pytest.raises(EdgedraftError) as error:
        counted(1, 2) + counted(1, 2, source="drafter")
    assert str(error.value) == "counts: expected source target, got drafter"


def test_an_unknown_source_is_refused():
    with pytest.raises(EdgedraftError) as error:
        counted(1, source="rumour")
    assert str(error.value) == f"counts: source: expected one of {', '.join(SOURCES)}, got rumour"


@pytest.mark.parametrize(
    ("counts", "rule"),
    [
        (np.zeros((2, 2), np.int64), "counts: expected one row of int64"),
        (np.zeros(2, np.int32), "counts: expected one row of int64"),
        (np.array([1, -1]), "counts: expected no negative count"),
    ],
)
def test_counts_are_one_row_of_whole_numbers(counts, rule):
    with pytest.raises(EdgedraftError) as error:
        TokenCounts(counts=counts, prompts=1, source="target", tokenizer_fingerprint="print")
    assert str(error.value) == rule


# --- files -----------------------------------------------------------------------------------------------------------


@given(found=answers, source=st.sampled_from(SOURCES))
def test_a_file_gives_back_what_was_written(tmp_path_factory, found, source):
    path = tmp_path_factory.mktemp("counts") / "counts.safetensors"
    written = count(found, source)
    write_counts(path, written)
    assert facts(read_counts(path)) == facts(written)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x10\x00\x00\x00\x00\x00\x00\x00{}", b"\xff" * 64])
def test_garbage_is_told_by_its_path(tmp_path, content):
    path = tmp_path / "counts.safetensors"
    path.write_bytes(content)
    with pytest.raises(EdgedraftError, match=r"counts\.safetensors: not a "):
        read_counts(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(EdgedraftError, match=r"gone: no such file$"):
        read_counts(tmp_path / "gone")


@pytest.mark.parametrize(
    ("tensor", "metadata"),
    [
        ("other", {"prompts": "1", "source": "target", "tokenizer_fingerprint": "print"}),
        ("counts", {"source": "target", "tokenizer_fingerprint": "print"}),
        ("counts", {"prompts": "many", "source": "target", "tokenizer_fingerprint": "print"}),
        ("counts", {"prompts": "1", "tokenizer_fingerprint": "print"}),
        ("counts", {}),
    ],
)
def test_another_safetensors_file_is_refused(tmp_path, tensor, metadata):
    path = tmp_path / "counts.safetensors"
    write_tensors(path, {tensor: np.zeros(3, np.int64)}, metadata)
    with pytest.raises(EdgedraftError, match=r"counts\.safetensors: not a token-counts file, got no "):
        read_counts(path)


@pytest.mark.parametrize("counts", [np.array([1, -1]), np.zeros(3, np.int32)])
def test_counts_that_cannot_be_are_told_by_their_path(tmp_path, counts):
    path = tmp_path / "counts.safetensors"
    metadata = {"prompts": "1", "source": "target", "tokenizer_fingerprint": "print"}
    write_tensors(path, {"counts": counts}, metadata)
    with pytest.raises(EdgedraftError, match=r"counts\.safetensors: "):
        read_counts(path)
