"""edgedraft calibrate as a user meets it: sampling a pair, counting text, adding counts, comparing domains."""

import json

import pytest

from edgedraft.__main__ import main
from edgedraft.calibration.counts_file import read_counts

CHATS = [
    [("user", "sort the list"), ("assistant", "def sort")],
    [("user", "merge"), ("assistant", "return left"), ("user", "and now"), ("assistant", "print index")],
    [("user", "print node"), ("assistant", "for in range")],
    [("user", "print value"), ("assistant", "the dict of value")],
    [("user", "only a question")],
]


@pytest.fixture
def chats(tmp_path):
    """Conversations, one broken line among them."""
    lines = [json.dumps({"messages": [{"role": role, "content": text} for role, text in chat]}) for chat in CHATS]
    file = tmp_path / "chats.jsonl"
    file.write_text("\n".join([*lines[:2], "{broken", *lines[2:]]), encoding="utf-8")
    return file


@pytest.fixture
def count(tiny_pair, chats, tmp_path, capsys):
    """Runs calibrate count and returns its JSON."""

    def run(output, *options):
        where = ["--cache", str(tmp_path / "cache"), "--target", str(tiny_pair.target)]
        where += ["--output", str(tmp_path / output), "--json"]
        assert main(["calibrate", "count", str(chats), *where, *options]) == 0
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def pair_options(tiny_pair):
    return [
        *("--target", str(tiny_pair.target), "--drafter", str(tiny_pair.drafter), "--cache", str(tiny_pair.cache)),
        *("--target-precision", "fp32", "--drafter-precision", "fp32", "--max-new-tokens", "8", "--threads", "2"),
    ]


@pytest.fixture
def prompts_file(tmp_path):
    file = tmp_path / "prompts.jsonl"
    lines = [{"prompt": f"sort the list {number}"} for number in range(6)]
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return file


def refused(arguments, capsys):
    assert main([str(argument) for argument in arguments]) == 2
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("edgedraft: ")]


def test_count_says_what_it_counted_and_what_it_left_out(count, tmp_path):
    told = count("counts.safetensors")
    counts = read_counts(tmp_path / "counts.safetensors")
    assert told["tokens"] == counts.tokens > 0
    assert counts.prompts == told["report"]["counted"] == 4
    assert told["report"]["turns"] == 5
    assert told["report"]["without_assistant"] == 1
    assert told["broken_entries"] == 1
    assert [problem.split(": ")[0].split("/")[-1] for problem in told["problems"]] == ["chats.jsonl:3"]


@pytest.mark.parametrize(
    ("largest", "arguments", "expected"), [(0, (), [2]), (0, ("--shard", "1/4"), []), (10**6, (), [])]
)
def test_a_large_file_is_spread_over_the_cores(count, monkeypatch, largest, arguments, expected):
    used = []

    def mapped(work, batches, processes):
        used.append(processes)
        yield from ((place, work(batch)) for place, batch in enumerate(batches))

    monkeypatch.setattr("edgedraft.exporter.pipeline.count.map_on_processes", mapped)
    monkeypatch.setattr("edgedraft.exporter.pipeline.count.usable_cores", lambda: 2)
    monkeypatch.setattr("edgedraft.exporter.pipeline.count.WORTH_SPREADING_BYTES", largest)
    count("counts.safetensors", *arguments)
    assert used == expected


def test_shards_merged_in_any_order_are_the_whole_byte_for_byte(count, tmp_path, capsys):
    count("whole.safetensors")
    count("processes.safetensors", "--processes", "2", "--shards", "3")
    for number in (1, 2, 3, 4):
        count(f"{number}.safetensors", "--shard", f"{number}/4")
    for order in ("1234", "3142"):
        files = [str(tmp_path / f"{number}.safetensors") for number in order]
        assert main(["calibrate", "merge", *files, "--output", str(tmp_path / f"{order}.safetensors")]) == 0
    wanted = (tmp_path / "whole.safetensors").read_bytes()
    assert (tmp_path / "processes.safetensors").read_bytes() == wanted
    assert (tmp_path / "1234.safetensors").read_bytes() == wanted
    assert (tmp_path / "3142.safetensors").read_bytes() == wanted
    assert "4 files" in capsys.readouterr().out


def test_strict_stops_at_the_broken_line_and_writes_nothing(tiny_pair, chats, tmp_path, capsys):
    output = tmp_path / "counts.safetensors"
    where = ["--target", tiny_pair.target, "--cache", tmp_path / "cache", "--output", output, "--strict"]
    (line,) = refused(["calibrate", "count", chats, *where], capsys)
    assert "chats.jsonl:3: " in line
    assert not output.exists()


@pytest.mark.parametrize("shard", ["0/4", "5/4", "a/b", "1"])
def test_a_shard_that_cannot_be_is_refused(tiny_pair, chats, tmp_path, shard, capsys):
    where = ["--target", tiny_pair.target, "--cache", tmp_path / "cache", "--output", tmp_path / "c", "--shard", shard]
    (line,) = refused(["calibrate", "count", chats, *where], capsys)
    assert line == f"edgedraft: --shard: expected I/N with I in 1..N, got {shard} - for example 1/4"


def test_a_pair_is_sampled_saved_and_compared_with_itself(pair_options, prompts_file, tmp_path, capsys):
    saved = tmp_path / "saved"
    asked = ["calibrate", *pair_options, "--prompts", str(prompts_file), "--output", str(saved), "--json"]
    assert main(asked) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["enough"]["sentence"].startswith("not enough: 3 prompts are too few to tell by")
    assert told["cut_share"] < 0.001
    assert main(["calibrate", "compare", str(saved), str(saved), "--vocab-size", "256", "1024", "--json"]) == 0
    for found in json.loads(capsys.readouterr().out):
        assert found["lost_coverage"]["value"] == 0
        assert found["kept_efficiency"]["value"] == 1
        assert found["serves"]


def test_text_ranks_when_its_counts_are_given(count, pair_options, prompts_file, tmp_path, capsys):
    count("text.safetensors")
    ranked = ["--rank-by", "text", "drafter", "--text-counts", str(tmp_path / "text.safetensors")]
    output = ["--output", str(tmp_path / "saved")]
    assert main(["calibrate", *pair_options, "--prompts", str(prompts_file), *ranked, *output]) == 0
    assert (tmp_path / "saved" / "ranking-text.safetensors").is_file()
    assert main(["calibrate", "compare", str(tmp_path / "text.safetensors"), str(tmp_path / "saved")]) == 0
    assert "list" in capsys.readouterr().out


def test_ranking_by_text_without_counts_is_refused(pair_options, prompts_file, capsys):
    (line,) = refused(["calibrate", *pair_options, "--prompts", prompts_file, "--rank-by", "text"], capsys)
    assert line == "edgedraft: ranking by text needs counted text - count it with edgedraft calibrate count"


def test_drawn_answers_are_traced_and_replayed(pair_options, prompts_file, capsys):
    drawn = ["--temperature", "0.9", "--top-k", "20", "--seed", "1", "--json"]
    told = []
    for _ in range(2):
        assert main(["calibrate", *pair_options, "--prompts", str(prompts_file), *drawn]) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[0] == told[1]
    assert all(tau >= 1 for tau in told[0]["curves"]["block_efficiency"])


def test_a_server_that_is_not_there_is_told_in_one_line(pair_options, prompts_file, capsys):
    served = ["--generate-with", "ftp://127.0.0.1/v1"]
    (line,) = refused(["calibrate", *pair_options, "--prompts", prompts_file, *served], capsys)
    assert line.startswith("edgedraft: endpoint: expected http://")


@pytest.mark.parametrize("option", ["--report", "--output", "--target"])
def test_a_part_refuses_the_options_of_the_whole_command(option, tmp_path, capsys):
    assert main(["calibrate", option, str(tmp_path / "x"), "compare", "a", "b"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"edgedraft: edgedraft calibrate compare: this option is not for it, got {option} - leave it out"
