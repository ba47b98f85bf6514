"""Answers made of rounds: where they end, and their pieces of text. What TypeScript makes of them too."""

import pytest

from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.text.streaming import TextPiece, TextStream, text_pieces


@pytest.mark.section("limits")
def test_an_answer_cut_at_every_length(case):
    rounds = [Round(**each | {"token_ids": tuple(map(ord, each["token_ids"]))}) for each in case["rounds"]]
    for count, expected in enumerate(case["by_max_new_tokens"], start=1):
        limits = Limits(max_new_tokens=count, end_token_ids=(ord(case["end"]),))
        named = [Round(**each | {"token_ids": tuple(map(ord, each["token_ids"]))}) for each in expected]
        assert list(limited(rounds, limits)) == named, count


@pytest.mark.section("answers")
def test_the_pieces_of_an_answer(case, byte_codec, token_ids):
    def known(each):
        log_probs = {"log_probs": tuple(each.get("log_probs", ()))}
        return each | {"token_ids": tuple(token_ids(each["token_ids"]))} | log_probs

    rounds = [Round(**known(each)) for each in case["rounds"]]
    pieces = list(text_pieces(rounds, TextStream(byte_codec, case["stop"])))
    assert pieces == [TextPiece(**known(each)) for each in case["pieces"]]
