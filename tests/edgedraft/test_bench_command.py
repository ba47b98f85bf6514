"""edgedraft bench on Spec-Bench's form of prompts: every prompt, second turns, a table by category."""

import json

import pytest

from edgedraft.__main__ import main
from edgedraft.calibration.prompts import read_prompts
from edgedraft.exporter.pipeline.bench_prompts import first_turns, next_turns
from edgedraft.runtime.engine import Engine

ROWS = (
    {"question_id": 1, "category": "writing", "turns": ["sort the list", "merge the list"]},
    {"question_id": 2, "category": "writing", "turns": ["print the value"]},
    {"question_id": 3, "category": "math", "turns": ["return the index of the node"]},
)


@pytest.fixture
def spec_bench(tmp_path):
    path = tmp_path / "question.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


def test_every_prompt_runs_and_second_turns_count_in_their_category(tiny_bundle, spec_bench, capsys):
    command = ["bench", str(tiny_bundle), "--prompts", str(spec_bench), "--max-new-tokens", "8", "--policy", "ngram"]
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["report"]["prompts"] == 4
    assert {name: part["prompts"] for name, part in told["categories"].items()} == {"writing": 3, "math": 1}
    for name in ("target alone", "trimmed drafter", "trimmed drafter, ngram"):
        parts = [part["ways"][name] for part in told["categories"].values()]
        assert sum(part["tokens"] for part in parts) == told["report"]["ways"][name]["tokens"]
        assert sum(part["equal_texts"] for part in parts) == told["report"]["ways"][name]["equal_texts"]
    assert main([*command, "-n", "2"]) == 0
    shown = capsys.readouterr().out
    lines = [line for line in shown.splitlines() if line.startswith(("| writing", "| math"))]
    assert [line.split("|")[2].strip() for line in lines] == ["2"] * 3 + ["1"] * 3  # the first of each category


def test_a_second_turn_follows_the_targets_own_first_answer(tiny_bundle, spec_bench):
    engine = Engine.open(tiny_bundle)
    turns = first_turns(engine, read_prompts(spec_bench))
    answers = [SimpleAnswer(engine.codec.encode(text)) for text in ("left node", "", "right")]
    (second,) = next_turns(engine, turns, answers)
    assert [message["content"] for message in second.messages] == ["sort the list", "left node", "merge the list"]
    assert [message["role"] for message in second.messages] == ["user", "assistant", "user"]
    assert second.token_ids == tuple(engine.codec.encode_chat(second.messages))
    assert (second.category, second.later_turns) == ("writing", ())


class SimpleAnswer:
    """The tokens of an answer, as a run has them."""

    def __init__(self, token_ids) -> None:
        self.token_ids = tuple(token_ids)


def test_prompts_behind_the_context_are_left_out_and_counted(tiny_bundle, tmp_path, capsys):
    path = tmp_path / "long.jsonl"
    rows = ({"prompt": "sort the list"}, {"prompt": "value " * 400})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    command = ["bench", str(tiny_bundle), "--prompts", str(path), "--max-new-tokens", "4", "--context-length", "128"]
    assert main([*command, "--json"]) == 0
    ran = capsys.readouterr()
    assert json.loads(ran.out)["report"]["prompts"] == 1
    assert "1 of 2 prompts are left out: they do not fit into the context of 128 tokens" in ran.err
