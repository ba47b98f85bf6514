"""A drafter fits a target when its ids mean the target's tokens: one tokenizer, one width of logits."""

import pytest

from edgedraft.exporter.pair import Pair
from edgedraft.runtime.errors import EdgedraftError
from edgedraft.runtime.session import SessionSettings

SETTINGS = SessionSettings(threads=1)


def test_a_pair_knows_its_models_without_opening_them(tiny_pairs, tmp_path):
    pair = tiny_pairs.pair(tmp_path)
    assert pair.vocab_size == tiny_pairs.vocab_size
    assert pair.end_token_ids == (7, 190)
    assert pair.context_length == 4096
    assert pair.target_size == pair.drafter_size
    assert pair.drafter_size.parameters == pair.vocab_size * pair.head_row.parameters
    assert pair.drafter_size.weight_bytes == pair.vocab_size * pair.head_row.weight_bytes


def test_another_tokenizer_is_refused(tiny_pairs, tmp_path):
    target, drafter = tiny_pairs.folder(tmp_path / "big"), tiny_pairs.folder(tmp_path / "small", words=4)
    rule = r"^target and drafter must share one tokenizer: big has [0-9a-f]{12}, got [0-9a-f]{12} from small - choose"
    with pytest.raises(EdgedraftError, match=rule):
        Pair(target, drafter, SETTINGS)


def test_another_width_is_refused(tiny_pairs, tmp_path):
    target, drafter = tiny_pairs.folder(tmp_path / "big"), tiny_pairs.folder(tmp_path / "small", width=128)
    with pytest.raises(EdgedraftError) as error:
        Pair(target, drafter, SETTINGS)
    assert str(error.value) == "drafter logits must be 192 wide, got 128 - choose a drafter of the target's family"
