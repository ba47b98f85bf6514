"""The law of the journal: a run stopped anywhere and started again gives the answers of a run that was not."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgedraft.calibration.prompts import RANK, Prompt
from edgedraft.calibration.sampling import Answer, answer, answer_all, read_journal
from edgedraft.runtime.errors import EdgedraftError
from edgedraft.runtime.generation import Limits

LIMITS = Limits(max_new_tokens=6, end_token_ids=(3,))


def prompt(text: str) -> Prompt:
    return Prompt(id=f"id-{text}", split=RANK, messages=({"role": "user", "content": text},))


PROMPTS = tuple(prompt(text) for text in ("abc", "d", "hello", "ba"))


def never():
    raise AssertionError("the model was opened")


# --- one answer ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_an_answer_is_the_greedy_text_up_to_its_end(scripted, script, seed):
    greedy, context = [], [1, 2]
    while len(greedy) < LIMITS.max_new_tokens and greedy[-1:] != [3]:
        greedy.append(int(script(seed)(tuple(context)).argmax()))
        context.append(greedy[-1])
    assert answer(scripted(seed), [1, 2], LIMITS) == tuple(greedy)


def test_an_answer_forgets_the_one_before(scripted):
    model, long = scripted(0), Limits(max_new_tokens=12)
    first = answer(model, [1, 2, 3], long)
    assert answer(model, [4, 5], long) != first
    assert answer(model, [1, 2, 3], long) == first


def test_an_answer_ends_where_the_context_does(scripted):
    model = scripted(0, context_length=5)
    tokens = answer(model, [1, 2, 3], Limits(max_new_tokens=50))
    assert len(tokens) == 3
    assert model.length == 5


# --- the journal -----------------------------------------------------------------------------------------------------


@pytest.fixture
def whole(scripted, codec, tmp_path) -> list[Answer]:
    """The answers of a run that was not stopped."""
    return answer_all(lambda: scripted(0), codec, PROMPTS, LIMITS, tmp_path / "whole.jsonl")


def test_prompts_are_answered_in_order_and_written_down(scripted, codec, whole, tmp_path):
    assert [each.prompt_id for each in whole] == [each.id for each in PROMPTS]
    assert whole[0].prompt_ids == (0, 1, 2)
    for each in whole:
        assert each.token_ids == answer(scripted(0), each.prompt_ids, LIMITS)
    assert list(read_journal(tmp_path / "whole.jsonl")) == whole


def test_a_finished_journal_opens_no_model_and_encodes_nothing(whole, tmp_path):
    before = (tmp_path / "whole.jsonl").read_bytes()
    assert answer_all(never, None, PROMPTS, LIMITS, tmp_path / "whole.jsonl") == whole
    assert (tmp_path / "whole.jsonl").read_bytes() == before


@pytest.mark.parametrize("stop_before", range(len(PROMPTS)))
def test_a_stopped_run_goes_on_where_it_was(scripted, codec, whole, tmp_path, stop_before):
    journal = tmp_path / "new" / "journal.jsonl"
    opened = []

    def open_model():
        if len(opened) == stop_before:
            raise KeyboardInterrupt
        opened.append(True)
        return scripted(0)

    with pytest.raises(KeyboardInterrupt):
        answer_all(open_model, codec, PROMPTS, LIMITS, journal)
    models = []
    resumed = answer_all(lambda: models.append(scripted(0)) or models[-1], codec, PROMPTS, LIMITS, journal)
    assert resumed == whole
    assert len(models) == len(PROMPTS) - stop_before


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_journal_cut_at_any_byte_heals(scripted, codec, whole, tmp_path, data):
    """A crash may cut the file anywhere; whole lines are kept, the cut one is answered again."""
    content = (tmp_path / "whole.jsonl").read_bytes()
    size = data.draw(st.integers(0, len(content)))
    journal = tmp_path / "cut.jsonl"
    journal.write_bytes(content[:size])
    kept = list(read_journal(journal))
    assert kept == whole[: len(kept)]
    opened = []
    healed = answer_all(lambda: opened.append(True) or scripted(0), codec, PROMPTS, LIMITS, journal)
    assert healed == whole
    assert len(opened) == len(PROMPTS) - len(kept)
    assert answer_all(never, codec, PROMPTS, LIMITS, journal) == whole


def test_a_half_written_last_line_is_answered_again_and_the_earlier_stay(scripted, codec, whole, tmp_path):
    journal = tmp_path / "journal.jsonl"
    first = {"prompt_id": PROMPTS[0].id, "prompt_ids": [0], "token_ids": [9, 9]}
    journal.write_text(json.dumps(first) + '\n{"prompt_id": "id-d", "prompt_ids": [3], "tok')
    got = answer_all(lambda: scripted(0), codec, PROMPTS, LIMITS, journal)
    assert got[0] == Answer(prompt_id=PROMPTS[0].id, prompt_ids=(0,), token_ids=(9, 9))
    assert got[1:] == whole[1:]


def test_a_journal_may_hold_more_prompts_in_another_order(codec, whole, tmp_path):
    fewer = (PROMPTS[2], PROMPTS[0])
    assert answer_all(never, codec, fewer, LIMITS, tmp_path / "whole.jsonl") == [whole[2], whole[0]]


def test_a_new_prompt_is_the_only_one_answered(scripted, codec, whole, tmp_path):
    models = []
    more = (prompt("new"), *PROMPTS)
    journal = tmp_path / "whole.jsonl"
    got = answer_all(lambda: models.append(scripted(0)) or models[-1], codec, more, LIMITS, journal)
    assert got[1:] == whole
    assert len(models) == 1


def test_no_journal_holds_no_answers(tmp_path):
    assert list(read_journal(tmp_path / "none.jsonl")) == []


def test_progress_counts_every_prompt(whole, codec, tmp_path):
    seen = []
    answer_all(never, codec, PROMPTS, LIMITS, tmp_path / "whole.jsonl", lambda *facts: seen.append(facts))
    assert seen == [("answers", done, 4) for done in range(5)]


def test_a_conversation_of_no_tokens_is_told(scripted, codec, tmp_path):
    """Without a chat template, messages with empty contents encode to nothing."""
    with pytest.raises(EdgedraftError):
        answer_all(lambda: scripted(0), codec, [prompt("")], LIMITS, tmp_path / "journal.jsonl")
