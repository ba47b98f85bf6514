"""The law of the journal: a run stopped anywhere and started again gives the answers of a run that was not."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgedraft.calibration.answers.sampling import SampledAnswer, answer_all, read_journal
from edgedraft.calibration.data.samples import RANK
from edgedraft.calibration.prompts import Prompt
from edgedraft.runtime.base.errors import EdgedraftError


def prompt(text: str) -> Prompt:
    return Prompt(id=f"id-{text}", split=RANK, messages=({"role": "user", "content": text},))


PROMPTS = tuple(prompt(text) for text in ("abc", "d", "hello", "ba"))


def echo(question) -> SampledAnswer:
    """An answer that depends on its question alone: the prompt backwards."""
    token_ids = question.prompt_ids[::-1]
    return SampledAnswer(prompt_id=question.prompt.id, prompt_ids=question.prompt_ids, token_ids=token_ids)


class Echo:
    """An `Answering` that notes what it was asked, answers in the order of the prompts' ids and may break off."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.asked: list[str] = []
        self.stop_after = stop_after
        self.closed = False

    def __call__(self, questions):
        try:
            for number, question in enumerate(sorted(questions, key=lambda each: each.prompt.id)):
                if number == self.stop_after:
                    raise KeyboardInterrupt
                self.asked.append(question.prompt.id)
                yield echo(question)
        finally:
            self.closed = True


def never(questions):
    raise AssertionError("something was asked")


@pytest.fixture
def whole(codec, tmp_path) -> list[SampledAnswer]:
    """The answers of a run that was not stopped."""
    return answer_all(Echo(), codec, PROMPTS, tmp_path / "whole.jsonl")


def test_answers_come_in_the_order_of_the_prompts_and_are_written_down(codec, whole, tmp_path):
    assert [each.prompt_id for each in whole] == [each.id for each in PROMPTS]
    assert whole[0] == SampledAnswer(prompt_id="id-abc", prompt_ids=(0, 1, 2), token_ids=(2, 1, 0))
    written = list(read_journal(tmp_path / "whole.jsonl"))
    assert sorted(written, key=lambda each: each.prompt_id) == sorted(whole, key=lambda each: each.prompt_id)


def test_a_finished_journal_asks_and_encodes_nothing(whole, tmp_path):
    before = (tmp_path / "whole.jsonl").read_bytes()
    assert answer_all(never, None, PROMPTS, tmp_path / "whole.jsonl") == whole
    assert (tmp_path / "whole.jsonl").read_bytes() == before


@pytest.mark.parametrize("stop_after", range(len(PROMPTS)))
def test_a_stopped_run_goes_on_where_it_was(codec, whole, tmp_path, stop_after):
    journal = tmp_path / "new" / "journal.jsonl"
    with pytest.raises(KeyboardInterrupt):
        answer_all(Echo(stop_after), codec, PROMPTS, journal)
    rest = Echo()
    assert answer_all(rest, codec, PROMPTS, journal) == whole
    assert len(rest.asked) == len(PROMPTS) - stop_after


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_journal_cut_at_any_byte_heals(codec, whole, tmp_path, data):
    """A crash may cut the file anywhere; whole lines are kept, the cut one is answered again."""
    content = (tmp_path / "whole.jsonl").read_bytes()
    journal = tmp_path / "cut.jsonl"
    journal.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    kept = list(read_journal(journal))
    rest = Echo()
    assert answer_all(rest, codec, PROMPTS, journal) == whole
    assert len(rest.asked) == len(PROMPTS) - len(kept)
    assert answer_all(never, codec, PROMPTS, journal) == whole


def test_a_half_written_last_line_is_answered_again_and_the_earlier_stay(codec, whole, tmp_path):
    journal = tmp_path / "journal.jsonl"
    first = {"prompt_id": PROMPTS[0].id, "prompt_ids": [0], "token_ids": [9, 9]}
    journal.write_text(json.dumps(first) + '\n{"prompt_id": "id-d", "prompt_ids": [3], "tok')
    got = answer_all(Echo(), codec, PROMPTS, journal)
    assert got[0] == SampledAnswer(prompt_id=PROMPTS[0].id, prompt_ids=(0,), token_ids=(9, 9))
    assert got[1:] == whole[1:]


def test_a_journal_may_hold_more_prompts_in_another_order(codec, whole, tmp_path):
    fewer = (PROMPTS[2], PROMPTS[0])
    assert answer_all(never, codec, fewer, tmp_path / "whole.jsonl") == [whole[2], whole[0]]


def test_a_new_prompt_is_the_only_one_asked(codec, whole, tmp_path):
    rest, more = Echo(), (prompt("new"), *PROMPTS)
    assert answer_all(rest, codec, more, tmp_path / "whole.jsonl")[1:] == whole
    assert rest.asked == ["id-new"]


def test_whoever_answers_is_stopped_at_once_when_the_caller_is(codec, tmp_path):
    """A consumer that is interrupted closes the generator: a server must not go on answering."""

    def interrupted(what, done, total):
        if done == 2:
            raise KeyboardInterrupt

    answering = Echo()
    with pytest.raises(KeyboardInterrupt):
        answer_all(answering, codec, PROMPTS, tmp_path / "new.jsonl", interrupted)
    assert answering.closed
    assert len(answering.asked) == 2


def test_no_journal_holds_no_answers(tmp_path):
    assert list(read_journal(tmp_path / "none.jsonl")) == []


def test_progress_counts_every_prompt(codec, tmp_path):
    seen = []
    answer_all(Echo(), codec, PROMPTS, tmp_path / "new.jsonl", lambda *facts: seen.append(facts))
    assert seen == [("answers", done, 4) for done in range(5)]


def test_a_conversation_of_no_tokens_is_told_before_anything_is_asked(codec, tmp_path):
    """Without a chat template, messages with empty contents encode to nothing."""
    with pytest.raises(EdgedraftError, match=r"^prompt id-: holds no token - write something in it$"):
        answer_all(never, codec, [prompt("")], tmp_path / "journal.jsonl")
