"""Sums over answers, and the lines that show them."""

from edgedraft.runtime.core.statistics import DraftStatistics
from edgedraft.runtime.talk.state import TalkTotals, answer_line
from edgedraft.runtime.text.streaming import Usage


def usage(tokens=21, seconds=2.5, proposed=16, accepted=12):
    counts = DraftStatistics(
        rounds=8,
        tokens=tokens - 1,
        draft_tokens_proposed=proposed,
        draft_tokens_evaluated=proposed,
        draft_tokens_accepted=accepted,
    )
    return Usage(
        prompt_tokens=100, completion_tokens=tokens, seconds=seconds, first_token_seconds=0.5, statistics=counts
    )


def test_an_answer_in_one_line():
    line = "21 tokens, stopped, 10.0 tokens/s after 0.50 s, 12 of 16 drafts kept (75%)"
    assert answer_line(usage(), "stopped") == line
    assert len(line) < 80
    plain = "21 tokens, 10.0 tokens/s after 0.50 s, without speculation"
    assert answer_line(usage(proposed=0, accepted=0)) == plain


def test_sums_over_answers():
    totals = TalkTotals().with_answer(usage()).with_answer(usage(tokens=41, seconds=4.5, proposed=4, accepted=3))
    said = "2 answers, 62 tokens, 10.0 tokens/s, 15 of 20 drafts kept (75%); 141 of 2,048 context tokens in use"
    assert totals.line(2048) == said


def test_no_answer_yet():
    assert TalkTotals().line(256) == "0 answers, 0 tokens, without speculation; 0 of 256 context tokens in use"
