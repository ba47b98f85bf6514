"""The programs under examples/ run on the tiny pair as their first lines say."""

import io
import json
import runpy
import sys
from pathlib import Path

import pytest

import edgedraft

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a program with arguments and returns the lines that it prints."""

    def run(name, *arguments, typed=""):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return run


@pytest.fixture
def pair(tiny_pair, monkeypatch):
    """Target and drafter, whose conversions are in the cache; on any machine with the threads of all tests."""
    monkeypatch.setattr("edgedraft.exporter.pipeline.inputs.usable_cores", lambda: 2)
    monkeypatch.setenv("EDGEDRAFT_CACHE", str(tiny_pair.cache))
    return tiny_pair.target, tiny_pair.drafter


@pytest.fixture(scope="module")
def model(tiny_bundle):
    return edgedraft.load(tiny_bundle)


def test_every_example_is_run_here_and_says_how():
    named = {path.name for path in EXAMPLES.glob("*.py")}
    text = Path(__file__).read_text(encoding="utf-8")
    assert len(named) == 6
    assert {name for name in named if f'run("{name}"' in text} == named
    for name in named:
        assert f"python examples/{name} " in (EXAMPLES / name).read_text(encoding="utf-8")


def test_stream_shows_the_text_and_the_counts(run, tiny_bundle, model):
    shown = run("stream.py", tiny_bundle, "sort the list")
    answer = model.generate("sort the list", max_new_tokens=48)
    assert "\n".join(shown[:-3]).lower() == answer.text.lower()
    assert shown[-3].startswith(f"[{answer.finish_reason}: {answer.usage.completion_tokens} tokens in ")
    assert shown[-2].endswith("drafted tokens accepted]")


def test_chat_answers_line_by_line_in_one_conversation(run, tiny_bundle, model):
    shown = "\n".join(run("chat.py", tiny_bundle, typed="sort the list\nand merge it\n"))
    messages = [{"role": "system", "content": "Answer in one short sentence."}]
    for line in ("sort the list", "and merge it"):
        messages.append({"role": "user", "content": line})
        messages.append(model.chat(messages, max_new_tokens=48, temperature=0.7, seed=1))
    answers = [message["content"] for message in messages if message["role"] == "assistant"]
    assert "".join(shown.split()) == "".join("".join(answers).split())


def test_batch_answers_in_the_order_of_the_prompts(run, tiny_bundle, model, tmp_path):
    prompts = ["sort the list", "merge the list", "return the index"]
    (tmp_path / "prompts.txt").write_text("\n".join(prompts), encoding="utf-8")
    records = [json.loads(line) for line in run("batch.py", tiny_bundle, tmp_path / "prompts.txt")]
    assert [record["prompt"] for record in records] == prompts
    expected = [model.generate(prompt, max_new_tokens=48, stop="\n\n").text for prompt in prompts]
    assert [record["answer"] for record in records] == expected
    assert {record["finish_reason"] for record in records} <= {"stop", "length"}


def test_export_and_bench_writes_a_bundle_and_measures_it(run, pair, tmp_path):
    lines = [{"id": str(number), "prompt": f"sort the list {number}"} for number in range(8)]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    shown = run("export_and_bench.py", *pair, tmp_path / "mine.jsonl", tmp_path / "bundle")
    assert shown[0].startswith(f"{tmp_path / 'bundle'}: ")
    assert [line.split(": ")[0] for line in shown[1:]] == [
        "target alone",
        "trimmed drafter",
        "trimmed drafter, adaptive",
    ]
    assert edgedraft.load(tmp_path / "bundle").generate("sort", max_new_tokens=4).token_ids


def test_calibration_from_chats_ranks_by_their_tokens(run, pair, tmp_path):
    chats = [
        {
            "messages": [
                {"role": "user", "content": f"sort {n}"},
                {"role": "assistant", "content": "merge the left node"},
            ]
        }
        for n in range(6)
    ]
    (tmp_path / "chats.jsonl").write_text("\n".join(map(json.dumps, chats)), encoding="utf-8")
    shown = run("calibrate_from_chats.py", *pair, tmp_path / "chats.jsonl", tmp_path / "bundle")
    assert shown[0].endswith(" tokens of 6 answers counted")
    assert shown[1].startswith("The draft vocabulary covers ")
    calibration = edgedraft.load(tmp_path / "bundle").bundle.manifest.calibration
    assert calibration.ranked_by == ("text", "target")


def test_an_asyncio_app_streams_several_answers(run, tiny_bundle, model):
    prompts = ["sort the list", "merge the list"]
    shown = run("asyncio_app.py", tiny_bundle, *prompts)
    assert sorted(shown[:2]) == ["merge the list: begins", "sort the list: begins"], "neither waits for the other"
    expected = [f"{prompt}: {model.generate(prompt, max_new_tokens=48).text!r}" for prompt in sorted(prompts)]
    assert sorted(shown[2:]) == expected
