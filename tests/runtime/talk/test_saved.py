"""Saved talks: what is written is read again; other files are refused in one line and never replaced."""

import json
from pathlib import Path

import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.talk import saved
from edgedraft.runtime.talk.saved import read_talk, save_talk, talk_path
from edgedraft.runtime.talk.state import Talk

TALK = Talk(system="be brief").asked("hi\n\té").answered("hello")


@pytest.mark.parametrize("talk", [TALK, Talk().asked("a"), Talk()], ids=["whole", "no system", "empty"])
def test_a_talk_is_read_as_it_was_written(talk, tmp_path):
    save_talk(tmp_path / "talk.json", talk)
    assert read_talk(tmp_path / "talk.json") == talk


def test_a_saved_talk_is_replaced_and_other_files_are_not(tmp_path):
    file = tmp_path / "talk.json"
    save_talk(file, TALK)
    save_talk(file, TALK.asked("more"))
    assert read_talk(file).turns[-1]["content"] == "more"
    mine = tmp_path / "thesis.txt"
    mine.write_text("years of work")
    with pytest.raises(EdgedraftError, match=r"thesis.txt: exists and is not a saved talk"):
        save_talk(mine, TALK)
    assert mine.read_text() == "years of work"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not valid JSON"),
        ("[]", "expected an object, got list"),
        ('{"messages": [{"role": "user"}]}', "messages[0]: missing key content"),
        ('{"messages": [{"role": "user", "content": 1}]}', "messages[0]: content: expected str, got 1"),
        (
            '{"messages": [{"role": "user", "content": ""}, {"role": "system", "content": ""}]}',
            "messages[1]: role: expected user or assistant, after at most one system message, got system",
        ),
        (
            '{"messages": [{"role": "system", "content": ""}, {"role": "tool", "content": ""}]}',
            "messages[1]: role: expected user or assistant, after at most one system message, got tool",
        ),
    ],
)
def test_a_wrong_file_is_one_line_with_its_place(content, said, tmp_path):
    file = tmp_path / "talk.json"
    file.write_text(content)
    with pytest.raises(EdgedraftError) as error:
        read_talk(file)
    assert str(error.value).startswith(f"{file}: {said}")


def test_a_huge_file_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(saved, "MOST_TALK_BYTES", 100)
    (tmp_path / "talk.json").write_text(json.dumps({"messages": [{"role": "user", "content": "x" * 100}]}))
    with pytest.raises(EdgedraftError, match="expected a file of at most 100 bytes"):
        read_talk(tmp_path / "talk.json")


def test_the_home_folder_is_known(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert talk_path("~/talk.json") == Path("/somewhere/talk.json")
    with pytest.raises(EdgedraftError, match=r"no such home folder - write the whole path"):
        talk_path("~nobody-of-this-name/talk.json")
