"""Prompts: what ships is usable, every format asks, halves alternate, every fault is told with its file and line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.calibration.data.reading import ReadReport
from edgedraft.calibration.data.samples import RANK, SCORE, Sample
from edgedraft.calibration.prompts import (
    Prompt,
    equal_prompts,
    parse_prompts,
    read_prompts,
    shipped_prompts,
    spread,
    take,
)
from edgedraft.runtime.base.errors import EdgedraftError

USER = {"role": "user", "content": "Sort a list."}
ANSWER = {"role": "assistant", "content": "sorted(x)"}
TOOL = {"type": "function", "function": {"name": "run"}}


def lines(*objects: object) -> str:
    return "\n".join(json.dumps(each) for each in objects)


def reason(action, *arguments, **options) -> str:
    with pytest.raises(EdgedraftError) as error:
        action(*arguments, **options)
    return str(error.value)


# --- categories ------------------------------------------------------------------------------------------------------


def test_a_number_of_prompts_is_spread_over_the_categories():
    kinds = ["math", "math", "math", "qa", "rag", "rag"]
    text = lines(*({"prompt": f"p{number}", "category": kind} for number, kind in enumerate(kinds)))
    prompts = parse_prompts(text, "x")
    assert [each.messages[0]["content"] for each in spread(prompts, 4)] == ["p0", "p1", "p3", "p4"]
    assert spread(prompts, None) == prompts
    plain = parse_prompts(lines(*({"prompt": f"p{number}"} for number in range(4))), "x")
    assert spread(plain, 2) == plain[:2]


def test_later_turns_stay_with_their_prompt():
    (prompt,) = parse_prompts(lines({"question_id": 1, "category": "qa", "turns": ["a", "b", "c"]}), "x")
    assert (prompt.category, prompt.later_turns) == ("qa", ("b", "c"))


# --- what ships ------------------------------------------------------------------------------------------------------


def test_the_shipped_prompts_fill_both_halves_and_never_repeat():
    prompts = shipped_prompts()
    assert len(prompts) >= 120
    assert min(len(take(prompts, RANK)), len(take(prompts, SCORE))) >= 60
    texts = [each.messages[-1]["content"] for each in prompts]
    assert len({" ".join(text.lower().split()) for text in texts}) == len(texts)
    assert len({each.id for each in prompts}) == len(prompts)
    assert len({each.digest for each in prompts}) == len(prompts)
    assert all(each.messages[-1]["role"] == "user" for each in prompts)


# --- what is read ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry",
    [
        {"prompt": "Sort a list."},
        {"prompt": "Sort a list.", "completion": "sorted(x)"},
        {"text": "Sort a list."},
        {"instruction": "Sort a list.", "output": "sorted(x)"},
        {"messages": [USER]},
        {"messages": [USER, ANSWER]},
        {"messages": [USER, ANSWER, ANSWER]},
        {"conversations": [{"from": "human", "value": "Sort a list."}, {"from": "gpt", "value": "sorted(x)"}]},
    ],
    ids=lambda entry: " ".join(entry),
)
def test_every_layout_asks_and_the_answer_is_left_out(entry):
    assert parse_prompts(lines(entry), "here") == (Prompt(id="0001", split=RANK, messages=(USER,)),)


def test_answers_before_the_last_question_stay():
    turns = [USER, ANSWER, {"role": "user", "content": "Backwards."}]
    (prompt,) = parse_prompts(lines({"messages": [*turns, ANSWER]}), "here")
    assert prompt.messages == tuple(turns)
    tool = [USER, {**ANSWER, "tool_calls": [{"id": "c"}]}, {"role": "tool", "content": "4", "tool_call_id": "c"}]
    (prompt,) = parse_prompts(lines({"messages": [*tool, ANSWER]}), "here")
    assert prompt.messages == tuple(tool)


def test_id_split_and_tools_are_kept():
    (prompt,) = parse_prompts(lines({"id": 7, "split": SCORE, "prompt": "Sort a list.", "tools": [TOOL]}), "here")
    assert prompt == Prompt(id="7", split=SCORE, messages=(USER,), tools=(TOOL,))


def test_lines_without_a_split_take_turns():
    rows = [{"prompt": word} for word in "abcde"]
    rows[2]["split"] = SCORE
    splits = [each.split for each in parse_prompts(lines(*rows), "here")]
    assert splits == [RANK, SCORE, SCORE, SCORE, RANK]


LOGGED = {"role": "user", "content": "a\r\nb ", "id": "7f", "time": 12}


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": "a\nb"},
        {"prompt": " a\nb\n", "id": "another"},
        {"messages": [{"role": "user", "content": "a\nb"}, ANSWER]},
        {"messages": [LOGGED]},
        {"conversations": [{"from": "human", "value": "a\nb"}]},
        {"prompt": "a\nb", "split": SCORE},
    ],
)
def test_equal_prompts_stand_in_one_half(other):
    rows = [{"prompt": "a\nb"}, other, {"prompt": "new"}, {"prompt": "newer"}, other | {"id": "again"}]
    prompts = parse_prompts(lines(*rows), "here")
    assert [each.split for each in prompts] == [RANK, RANK, SCORE, RANK, RANK]
    said = "2 of 5 prompts repeat an earlier one: equal prompts stand in one half, so that held-out prompts are new."
    assert equal_prompts(prompts) == said


def test_prompts_that_differ_are_told_apart():
    called = {"name": "f", "arguments": {"x": 1}}
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": None, "tool_calls": [called]}]
    asked = {"role": "tool", "content": "a"}
    other = [turns[0], {**turns[1], "tool_calls": [{**called, "arguments": {"x": 2}}]}]
    rows = [{"prompt": "a"}, {"prompt": "A"}, {"messages": [*turns, asked]}, {"messages": [*other, asked]}]
    prompts = parse_prompts(lines(*rows, {"prompt": "a", "tools": [{"name": "f"}]}), "here")
    assert len({each.likeness for each in prompts}) == 5
    assert equal_prompts(prompts) is None


def test_calls_are_equal_however_their_arguments_are_written():
    around = {"role": "user", "content": "a"}, {"role": "tool", "content": "3"}
    function = {"name": "f", "arguments": '{"x": 1}'}
    calls = (
        {"tool_calls": [{"id": "1", "type": "function", "function": {**function, "arguments": {"x": 1}}}]},
        {"tool_calls": [{"id": "2", "type": "function", "function": function}]},
        {"function_call": function},
    )
    asked = [[around[0], {"role": "assistant", "content": None, **call}, around[1]] for call in calls]
    prompts = parse_prompts(lines(*({"messages": messages} for messages in asked)), "here")
    assert len({each.likeness for each in prompts}) == 1


def test_equal_prompts_alone_cannot_judge():
    prompts = parse_prompts(lines(*[{"prompt": "x"}] * 3), "here")
    with pytest.raises(
        EdgedraftError, match="no prompt in the score half, got 3 equal prompts - give prompts that differ"
    ):
        take(prompts, SCORE)


def test_empty_lines_count_as_lines_but_not_as_prompts():
    text = '\n{"prompt": "a"}\n\n   \n{"prompt": "b"}\n\n'
    assert [(each.id, each.split) for each in parse_prompts(text, "here")] == [("0001", RANK), ("0002", SCORE)]
    with pytest.raises(EdgedraftError, match=r"^here:5: "):
        parse_prompts('\n{"prompt": "a"}\n\n   \n{"prompt": ""}', "here")


def test_windows_line_ends_are_read():
    assert len(parse_prompts('{"prompt": "a"}\r\n{"prompt": "b"}\r\n', "here")) == 2


json_texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@given(st.lists(json_texts, min_size=1, max_size=4), st.booleans())
def test_any_text_survives_the_file(texts, ascii_only):
    """JSON lines end with a line feed alone: other characters that Python calls line ends may stand in a string."""
    text = "\n".join(json.dumps({"prompt": each}, ensure_ascii=ascii_only) for each in texts)
    assert [each.messages[0]["content"] for each in parse_prompts(text, "here")] == texts


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_a_line_separator_inside_a_text_does_not_end_the_line(separator):
    text = f"first{separator}second"
    (prompt,) = parse_prompts(json.dumps({"prompt": text}, ensure_ascii=False), "here")
    assert prompt.messages[0]["content"] == text


def test_of_a_plain_text_every_line_asks(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_bytes(b"\xef\xbb\xbfSort a list.\r\n\r\n{brackets}\nLast one")
    prompts = read_prompts(path)
    assert [each.messages[0]["content"] for each in prompts] == ["Sort a list.", "{brackets}", "Last one"]
    assert [each.split for each in prompts] == [RANK, SCORE, RANK]


# --- digest ----------------------------------------------------------------------------------------------------------


def test_a_prompts_digest_is_that_of_the_sample_that_asks_the_same():
    one = Prompt(id="1", split=RANK, messages=(USER,), tools=(TOOL,))
    other = Prompt(id="2", split=SCORE, messages=(USER,), tools=(TOOL,))
    assert one.digest == other.digest == Sample(id="3", messages=(USER,), tools=(TOOL,)).digest
    assert one.digest != Prompt(id="1", split=RANK, messages=(USER,)).digest


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("{", "not valid JSON, got Expecting property name enclosed in double quotes at character 2"),
        ("[1]", "expected an object, got list"),
        ('"text"', "expected an object, got str"),
        ('{"prompt": "x", "split": "test"}', "split: expected rank or score, got 'test'"),
        ('{"prompt": " "}', "prompt: expected a text that is not empty, got ' '"),
        ("{}", "expected one of messages, conversations, conversation, prompt, instruction, turns, text, got no field"),
        ('{"messages": []}', "messages: expected a list of turns, got []"),
        ('{"messages": [{"content": "x"}]}', "messages[0]: role: expected a name, got None"),
    ],
)
def test_a_bad_line_is_told_with_file_and_line(tmp_path, line, rule):
    path = tmp_path / "prompts.jsonl"
    path.write_text(f'{{"prompt": "fine"}}\n{line}\n')
    assert reason(read_prompts, path) == f"{path}:2: {rule}"


@pytest.mark.parametrize("before", [[], [{"role": "system", "content": "Be brief."}]])
def test_an_answer_to_nothing_is_refused(before):
    text = lines({"messages": [USER]}, {"messages": [*before, ANSWER]})
    assert reason(parse_prompts, text, "here") == (
        "here: prompt 0002: expected something to answer, got an answer alone"
    )


def test_bad_prompts_are_left_out_and_told_when_asked_for(tmp_path):
    path = tmp_path / "prompts.jsonl"
    good = {"prompt": "Sort a list."}
    path.write_text(lines(good, {"prompt": 3}, {"messages": [ANSWER]}, {"prompt": "Find it."}, {"split": "x"}))
    report = ReadReport()
    prompts = read_prompts(path, report, strict=False)
    assert [(each.id, each.split) for each in prompts] == [("0001", RANK), ("0004", SCORE)]
    assert (report.read, report.broken) == (5, 3)
    assert report.problems[0] == f"{path}:2: prompt: expected a text that is not empty, got 3"
    assert sorted(problem.split(": ")[0] for problem in report.problems) == [str(path), f"{path}:2", f"{path}:5"]


def test_prompts_of_which_none_asks_are_refused(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text(lines({"messages": [ANSWER]}, {"messages": [ANSWER]}))
    assert reason(read_prompts, path, strict=False) == (
        f"{path}: none of 2 entries can be read, "
        f"got {path}: prompt 0001: expected something to answer, got an answer alone"
    )


@pytest.mark.parametrize("text", ["", "\n\n", "  \n"])
def test_an_empty_file_is_refused(tmp_path, text):
    path = tmp_path / "prompts.jsonl"
    path.write_text(text)
    remedy = 'write one {"prompt": "..."} a line'
    assert reason(read_prompts, path) == f"{path}: expected at least one entry, got 0 - {remedy}"


def test_repeated_ids_are_refused():
    text = lines({"id": "a", "prompt": "x"}, {"id": "b", "prompt": "y"}, {"id": "a", "prompt": "z"})
    assert reason(parse_prompts, text, "here") == "here: ids must differ, got 1 repeated - rename or drop them"


def test_a_missing_file_is_named(tmp_path):
    assert reason(read_prompts, tmp_path / "gone.jsonl") == f"{tmp_path / 'gone.jsonl'}: no such file"


def test_another_encoding_is_refused(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_bytes('{"prompt": "größer"}'.encode("latin-1"))
    assert reason(read_prompts, path) == f"{path}:1: expected UTF-8, got byte 0xf6 at 15"


# --- take ------------------------------------------------------------------------------------------------------------


def test_take_gives_the_first_of_one_half_in_order():
    prompts = parse_prompts(lines(*({"prompt": f"p{number}"} for number in range(7))), "here")
    assert [each.id for each in take(prompts, RANK)] == ["0001", "0003", "0005", "0007"]
    assert [each.id for each in take(prompts, SCORE, 2)] == ["0002", "0004"]
    assert len(take(prompts, SCORE, 99)) == 3


def test_a_half_without_prompts_is_refused():
    prompts = parse_prompts('{"prompt": "alone"}', "here")
    assert reason(take, prompts, SCORE) == 'no prompt in the score half - give some prompts "split": "score"'
