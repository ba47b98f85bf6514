"""Prompts: what ships is usable, halves alternate, and every fault is told with its file and line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.calibration.prompts import RANK, SCORE, Prompt, parse_prompts, read_prompts, shipped_prompts, take
from edgedraft.runtime.errors import EdgedraftError


def lines(*objects: object) -> str:
    return "\n".join(json.dumps(each) for each in objects)


def message(error: pytest.ExceptionInfo) -> str:
    return str(error.value)


# --- what ships ------------------------------------------------------------------------------------------------------


def test_the_shipped_prompts_fill_both_halves_and_never_repeat():
    prompts = shipped_prompts()
    assert len(prompts) >= 120
    assert min(len(take(prompts, RANK)), len(take(prompts, SCORE))) >= 60
    texts = [each.messages[-1]["content"] for each in prompts]
    assert len({" ".join(text.lower().split()) for text in texts}) == len(texts)
    assert len({each.id for each in prompts}) == len(prompts)
    assert all(each.messages[-1]["role"] == "user" for each in prompts)


# --- what is read ----------------------------------------------------------------------------------------------------


def test_a_prompt_is_one_user_message():
    (prompt,) = parse_prompts('{"prompt": "Sort a list."}', "here")
    user = {"role": "user", "content": "Sort a list."}
    assert prompt == Prompt(id="0001", split=RANK, messages=(user,))


def test_messages_are_taken_as_they_are():
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text"}], "name": "x"},
    ]
    (prompt,) = parse_prompts(lines({"id": 7, "split": SCORE, "messages": messages}), "here")
    assert prompt == Prompt(id="7", split=SCORE, messages=tuple(messages))


def test_lines_without_a_split_take_turns():
    plain = {"prompt": "x"}
    told = {"prompt": "x", "split": SCORE}
    splits = [each.split for each in parse_prompts(lines(plain, plain, told, plain, plain), "here")]
    assert splits == [RANK, SCORE, SCORE, SCORE, RANK]


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


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("{", "not valid JSON, got Expecting property name enclosed in double quotes"),
        ("[1]", "expected an object, got list"),
        ('"text"', "expected an object, got str"),
        ('{"prompt": "x", "split": "test"}', "split: expected rank or score, got 'test'"),
        ('{"prompt": "x", "split": null}', "split: expected rank or score, got None"),
        ('{"prompt": " "}', "prompt: expected a text that is not empty, got ' '"),
        ('{"prompt": 3}', "prompt: expected a text that is not empty, got 3"),
        ("{}", "prompt: expected a text that is not empty, got None"),
        ('{"text": "x"}', "prompt: expected a text that is not empty, got None"),
        ('{"messages": []}', "messages: expected objects with role and content"),
        ('{"messages": "x"}', "messages: expected objects with role and content"),
        ('{"messages": [{"role": "user"}]}', "messages: expected objects with role and content"),
        ('{"messages": [{"content": "x"}]}', "messages: expected objects with role and content"),
        ('{"messages": [{"role": 1, "content": "x"}]}', "messages: expected objects with role and content"),
    ],
)
def test_a_bad_line_is_told_with_file_and_line(tmp_path, line, rule):
    path = tmp_path / "prompts.jsonl"
    path.write_text(f'{{"prompt": "fine"}}\n{line}\n')
    with pytest.raises(EdgedraftError) as error:
        read_prompts(path)
    assert message(error).startswith(f"{path}:2: {rule}")


@pytest.mark.parametrize("text", ["", "\n\n", "  \n"])
def test_an_empty_file_is_refused(tmp_path, text):
    path = tmp_path / "prompts.jsonl"
    path.write_text(text)
    with pytest.raises(EdgedraftError) as error:
        read_prompts(path)
    assert message(error) == f'{path}: expected at least one prompt, got 0 - write one {{"prompt": "..."}} a line'


def test_repeated_ids_are_refused():
    text = lines({"id": "a", "prompt": "x"}, {"id": "b", "prompt": "y"}, {"id": "a", "prompt": "z"})
    with pytest.raises(EdgedraftError) as error:
        parse_prompts(text, "here")
    assert message(error) == "here: ids must differ, got 1 repeated - rename or drop them"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(EdgedraftError) as error:
        read_prompts(tmp_path / "gone.jsonl")
    assert message(error) == f"{tmp_path / 'gone.jsonl'}: no such prompts file"


def test_a_file_of_another_encoding_is_refused(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_bytes('{"prompt": "größer"}'.encode("latin-1"))
    with pytest.raises(EdgedraftError, match=r"prompts\.jsonl: prompts must be UTF-8, got "):
        read_prompts(path)


# --- take ------------------------------------------------------------------------------------------------------------


def test_take_gives_the_first_of_one_half_in_order():
    prompts = parse_prompts(lines(*({"prompt": f"p{number}"} for number in range(7))), "here")
    assert [each.id for each in take(prompts, RANK)] == ["0001", "0003", "0005", "0007"]
    assert [each.id for each in take(prompts, SCORE, 2)] == ["0002", "0004"]
    assert len(take(prompts, SCORE, 99)) == 3


def test_a_half_without_prompts_is_refused():
    prompts = parse_prompts('{"prompt": "alone"}', "here")
    with pytest.raises(EdgedraftError) as error:
        take(prompts, SCORE)
    assert message(error) == 'no prompt in the score half - give some prompts "split": "score"'
