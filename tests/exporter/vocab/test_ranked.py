"""Maps made from counts hold the most wanted tokens and the ends of a turn, in each kind's own order."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from edgedraft.calibration.counts_file import write_counts
from edgedraft.exporter.vocab.ranked import read_ranked
from edgedraft.exporter.vocab.tokens import Tokenization
from edgedraft.runtime.base.errors import EdgedraftError

COUNTS = [0, 5, 0, 9, 1, 0, 0, 2]


@pytest.fixture
def tokens():
    return Tokenization(codec=SimpleNamespace(fingerprint="print"), end_token_ids=(6,), vocab_size=8)


@pytest.fixture
def counts_file(tmp_path, make_counts):
    write_counts(tmp_path / "counts.safetensors", make_counts(COUNTS))
    return tmp_path / "counts.safetensors"


def test_the_most_wanted_lead_and_the_end_of_turn_is_never_left_out(counts_file, tokens):
    ranked = read_ranked(counts_file, tokens)
    assert ranked.vocab_map(4, "fr-spec").target_ids.tolist() == [6, 3, 1, 7]
    assert ranked.vocab_map(4, "eagle3").target_ids.tolist() == [1, 3, 6, 7]
    assert ranked.vocab_map(4, "modelopt").problems == ()
    assert ranked.coverage(np.array([6, 3, 1, 7])) == 16 / 17
    assert ranked.frequencies == {1: 5, 3: 9, 4: 1, 7: 2}


def test_more_tokens_than_were_seen_are_filled_by_the_smallest_id_and_counted(counts_file, tokens):
    found = read_ranked(counts_file, tokens)
    made = found.vocab_map(7, "text")
    assert made.target_ids.tolist() == [6, 3, 1, 7, 4, 0, 2]
    assert found.unseen(made.target_ids) == 2
    with pytest.raises(EdgedraftError, match=r"--vocab-size: expected 1\.\.8, got 9"):
        found.vocab_map(9, "text")


def test_counts_alone_do_not_say_where_a_turn_ends(counts_file):
    with pytest.raises(EdgedraftError, match="counts do not say which ids end a turn - give the target's --tokenizer"):
        read_ranked(counts_file, None)


def test_counts_of_another_tokenizer_are_refused(counts_file, tokens):
    other = Tokenization(
        codec=SimpleNamespace(fingerprint="other", has_fingerprint=lambda _: False), end_token_ids=(6,), vocab_size=8
    )
    with pytest.raises(EdgedraftError, match="these are counts of the tokenizer print, got other - give the tokenizer"):
        read_ranked(counts_file, other)
    wider = Tokenization(codec=tokens.codec, end_token_ids=(6,), vocab_size=9)
    with pytest.raises(EdgedraftError, match="these are counts of 8 tokens, and the target has as many, got 9"):
        read_ranked(counts_file, wider)


def test_speculators_counts_rank_too(tmp_path, tokens):
    file = tmp_path / "token_freq.pt"
    torch.save({token: count for token, count in enumerate(COUNTS) if count}, file)
    assert read_ranked(file, tokens).vocab_map(3, "text").target_ids.tolist() == [6, 3, 1]
    with pytest.raises(EdgedraftError, match="does not say how many tokens the target knows - give the target's"):
        read_ranked(file, None)
    torch.save({9: 1}, file)
    with pytest.raises(EdgedraftError, match=r"ids must lie in 0\.\.7, got 9\.\.9"):
        read_ranked(file, tokens)
    torch.save({1: -1}, file)
    with pytest.raises(EdgedraftError, match="expected no negative count, got -1"):
        read_ranked(file, tokens)
    torch.save([1, 2], file)
    with pytest.raises(EdgedraftError, match=r"expected counts by token id, as speculators' token_freq.pt"):
        read_ranked(file, tokens)
