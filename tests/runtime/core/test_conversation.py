"""The rule that chooses tokens of the conversation, and the map of list and conversation together."""

import numpy as np
import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.conversation import MOST_ROWS, ConversationRows, ConversationTokens
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.model import Pass

VOCAB = 50
LIST = IndexMap(target_ids=np.arange(0, VOCAB, 3, dtype=np.int64), target_vocab_size=VOCAB)


def most_recent(text, limit: int, scored: int = VOCAB) -> list[int]:
    """The same rule, said at once for a whole text."""
    lacking = [token for token in text if token % 3 and token < scored]
    last = {token: place for place, token in enumerate(lacking)}
    return sorted(sorted(last, key=last.__getitem__)[-limit:])


@pytest.mark.parametrize("limit", [1, 4, 100])
def test_the_most_recent_distinct_tokens_that_the_list_lacks(limit):
    rng = np.random.default_rng(1)
    text = rng.integers(0, VOCAB, 200).tolist()
    tokens, end = ConversationTokens(LIST, VOCAB, limit), 0
    while end < len(text):
        end += int(rng.integers(1, 6))
        before = tokens.token_ids.tolist()
        changed = tokens.extend(text[:end])
        assert tokens.token_ids.tolist() == most_recent(text[:end], limit)
        assert changed or before == tokens.token_ids.tolist()
    tokens.clear()
    assert tokens.token_ids.tolist() == []
    tokens.extend([4, 7])
    assert tokens.token_ids.tolist() == most_recent([4, 7], limit)


def test_tokens_without_a_row_in_the_head_are_left_out():
    tokens = ConversationTokens(LIST, 20, 8)
    tokens.extend([19, 20, 22, 1])
    assert tokens.token_ids.tolist() == [1, 19]


@pytest.mark.parametrize("limit", [0, MOST_ROWS + 1])
def test_a_limit_out_of_bounds(limit):
    with pytest.raises(EdgedraftError, match=f"conversation rows: expected 1..{MOST_ROWS}"):
        ConversationTokens(LIST, VOCAB, limit)


class Counted:
    """A product whose score of a token is the token times the row of features; it counts its choices."""

    def __init__(self) -> None:
        self.choices: list[list[int]] = []

    def choose(self, token_ids) -> None:
        self.choices.append(token_ids.tolist())

    def logits(self, drafter_pass, row) -> np.ndarray:
        return np.array(self.choices[-1], dtype=np.float32) * drafter_pass.features[row]


def test_logits_stand_in_the_columns_of_their_ids():
    product = Counted()
    rows = ConversationRows(LIST, ConversationTokens(LIST, VOCAB, 8), product)
    done = Pass(
        logits=np.stack([np.zeros(len(LIST.target_ids)), LIST.target_ids * 2]).astype(np.float32), features=(1, 2)
    )
    assert rows.index_map.target_ids.tolist() == LIST.target_ids.tolist()
    np.testing.assert_array_equal(rows.logits(done), LIST.target_ids * 2)
    rows.start([49, 3, 10])
    assert rows.index_map.target_ids.tolist() == sorted([*LIST.target_ids.tolist(), 10, 49])
    np.testing.assert_array_equal(rows.logits(done), rows.index_map.target_ids * 2)
    rows.start([49, 3, 10, 10, 6])
    assert product.choices == [[], [10, 49]], "nothing is chosen again where no token is new"
    rows.begin()
    assert rows.index_map.target_ids.tolist() == LIST.target_ids.tolist()
