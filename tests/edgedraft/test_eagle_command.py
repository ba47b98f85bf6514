"""plan and export with drafters that read the target's states: weighed, planned, written, and run; one line if not."""

import json

import pytest

import edgedraft
from edgedraft import DecodingOptions
from edgedraft.__main__ import main
from edgedraft.exporter.graph.head import ROW_TILE
from tests.laws.agreeing_eagle import save_pair


@pytest.fixture(scope="module")
def folders(tmp_path_factory, tiny_pair):
    return save_pair(tmp_path_factory.mktemp("layers"), tiny_pair.target)


@pytest.fixture(scope="module")
def options(folders, tmp_path_factory):
    root = tmp_path_factory.mktemp("work")
    lines = [{"id": str(i), "prompt": f"sort the list {i}"} for i in range(12)]
    (root / "prompts.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return [
        *("--target", str(folders["target"]), "--prompts", str(root / "prompts.jsonl"), "--cache", str(root / "cache")),
        *("--target-precision", "fp32", "--drafter-precision", "fp32", "--max-new-tokens", "24", "--threads", "2"),
        *("--context-length", "256"),
    ]


@pytest.fixture
def command(options, capsys):
    """Runs a command and returns its JSON."""

    def run(*arguments):
        capsys.readouterr()
        assert main([*map(str, arguments), *options, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def test_drafters_are_weighed_in_one_table(command, folders):
    found = command("plan", "--drafter", folders["EAGLE-3"], "--drafter", folders["EAGLE-2"])
    rows = {row["drafter"]: row for row in found["drafters"]["options"]}
    assert set(rows) == {"eagle-2", "eagle-3", "n-gram lookup", "none"}
    taken = [name for name, row in rows.items() if row["taken"]]
    assert len(taken) == 1
    assert found["drafters"]["reason"].startswith(f"drafter: {taken[0]}, ")
    if found["plan"]["speculate"]:
        row = rows[taken[0]]
        assert row["draft_vocab_size"] == found["plan"]["draft_vocab_size"]
        assert row["draft_length"] == found["plan"]["draft_length"] <= 8
        assert row["tokens_per_second"] == pytest.approx(
            max(rows[n]["tokens_per_second"] for n in ("eagle-2", "eagle-3"))
        )


def test_the_table_is_printed_too(options, folders, capsys):
    assert main(["plan", "--drafter", str(folders["EAGLE-2"]), *options]) == 0
    told = capsys.readouterr().out
    for text in ("first ms", "next ms", "verify ms", "÷ target alone", "n-gram lookup", "Drafter: "):
        assert text in told, told


@pytest.mark.parametrize("name", ["EAGLE-2", "EAGLE-3"])
def test_an_export_plans_size_and_length_and_the_bundle_speaks_as_its_target(name, command, folders, tmp_path):
    found = command("export", tmp_path / "bundle", "--drafter", folders[name])
    plan = found["plan"]
    assert plan["draft_vocab_size"] % ROW_TILE == 0
    assert 1 <= plan["draft_length"] <= 8
    assert [row["drafter"] for row in found["drafters"]["options"] if row["kind"].startswith("eagle")] == [name.lower()]
    engine = edgedraft.load(tmp_path / "bundle", threads=2, context_length=256)
    always = DecodingOptions(policy="fixed", draft_length=3, speculate=True)
    drafted = engine.generate("sort the list 3", max_new_tokens=30, options=always)
    alone = engine.generate("sort the list 3", max_new_tokens=30, options=DecodingOptions(speculate=False))
    assert drafted.token_ids == alone.token_ids
    assert drafted.usage.accepted_tokens > 0


def test_the_balanced_size_lands_in_the_export(command, folders, tmp_path):
    """The published recipe counts the layer's own FLOPs; its size is one that export takes."""
    balanced = command(
        "plan", "--method", "balanced", "--drafter", folders["EAGLE-3"], "--output-dir", tmp_path / "reports"
    )
    size = balanced["chosen"]["size"]
    assert 50 <= size <= 640
    found = command("export", tmp_path / "bundle", "--drafter", folders["EAGLE-3"], "--vocab-size", size)
    assert found["plan"]["draft_vocab_size"] == -(-size // ROW_TILE) * ROW_TILE


def test_several_drafters_are_for_planning_alone(options, folders, capsys):
    both = ("--drafter", str(folders["EAGLE-2"]), "--drafter", str(folders["EAGLE-3"]))
    assert main(["calibrate", *both, *options]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("edgedraft: --drafter: expected one here, got ")


def test_a_wrong_drafter_is_refused_before_work_on_the_others(options, folders, capsys, tmp_path):
    options = [*options, "--cache", str(tmp_path)]
    assert main(["plan", "--drafter", str(folders["EAGLE-2"]), "--drafter", str(tmp_path / "nothing"), *options]) == 2
    assert "nothing" in capsys.readouterr().err
    assert not (tmp_path / "onnx").exists()


def test_a_drafter_named_twice_is_refused(options, folders, capsys):
    assert main(["plan", *("--drafter", str(folders["EAGLE-2"])) * 2, *options]) == 2
    assert "drafters: expected each once" in capsys.readouterr().err
