"""Exporting a layer on a target from a program and the command line: fitting it, planning, and the bundle."""

import json
import re

import pytest

import edgedraft
from edgedraft.__main__ import main
from edgedraft.exporter.pipeline import step_cases
from edgedraft.runtime.base.errors import EdgedraftError
from tests.laws.agreeing_eagle import save_pair
from tests.plain_eagle import TRAINERS, save_checkpoint


@pytest.fixture(scope="module")
def root(tmp_path_factory, tiny_pair):
    folder = tmp_path_factory.mktemp("layers")
    save_pair(folder, tiny_pair.target)
    lines = [{"id": str(number), "prompt": f"sort the list {number}"} for number in range(4)]
    (folder / "prompts.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return folder


@pytest.fixture
def asked(root, tmp_path, monkeypatch):
    monkeypatch.setattr(step_cases, "PROBED_SIZES", (128, 512))
    return {
        "target": str(root / "target"),
        "drafter": str(root / "EAGLE-3"),
        "cache": str(root / "cache"),
        "target_precisions": ("fp32",),
        "max_new_tokens": 16,
        "threads": (2,),
        "prompts": str(root / "prompts.jsonl"),
        "device": "rpi5",
        "vocab_size": 192,
        "draft_length": 2,
        "output": str(tmp_path / "bundle"),
    }


@pytest.mark.parametrize("name", ["EAGLE-2", "EAGLE-3"])
def test_a_layer_is_planned_bundled_trimmed_and_benched(asked, root, tmp_path, name, capsys):
    notes = []
    from edgedraft.exporter.pipeline.export import export_bundle

    request = edgedraft.ExportRequest(**asked | {"drafter": str(root / name)})
    manifest = export_bundle(request, note=notes.append).manifest
    assert manifest.drafter_kind == {"EAGLE-2": "eagle", "EAGLE-3": "eagle3"}[name]
    assert (manifest.plan.draft_vocab_size, manifest.plan.draft_length) == (192, 2)
    assert manifest.drafter.precision == "int4"
    assert any(note.startswith(f"{manifest.drafter_kind} drafter {name}: reads the state") for note in notes)
    arguments = ["--prompts", asked["prompts"], "-n", "2", "--max-new-tokens", "8", "--json"]
    assert main(["bench", str(tmp_path / "bundle"), *arguments]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["drafter_kind"] == manifest.drafter_kind
    assert measured["report"]["ways"]["trimmed drafter"]["draft_tokens_proposed"] > 0
    assert main(["trim", str(tmp_path / "bundle"), "--vocab-size", "64", "--cache", asked["cache"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["plan"]["draft_vocab_size"] == 64
    answer = edgedraft.load(tmp_path / "bundle", threads=2).generate("sort the list", max_new_tokens=8)
    assert answer.usage.completion_tokens > 0


def refused(arguments, capsys) -> str:
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


WRONG = [
    ({"hidden_size": 256}, "made for a target with states of 128, got 256 - choose the target that it was trained for"),
    ({"vocab_size": 1088}, "made for a target with 1024 tokens, got 1088 - choose the target that it was trained for"),
    ({"num_hidden_layers": 1}, "tapped layers must lie in 0..0, got 0, 1, 1 - choose the target that it was"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_a_layer_of_another_target_is_refused_before_weights_are_read(root, tmp_path, changes, message, capsys):
    """The target has no weights that could be converted."""
    target = tmp_path / "target"
    target.mkdir()
    config = json.loads((root / "target" / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | changes))
    (target / "model.safetensors").write_bytes(b"no weights at all")
    arguments = ["export", str(tmp_path / "bundle"), "--target", str(target), "--drafter", str(root / "EAGLE-3")]
    line = refused([*arguments, "--cache", str(tmp_path / "cache"), "--prompts", str(root / "prompts.jsonl")], capsys)
    assert message in line
    assert not (tmp_path / "cache" / "onnx").exists()


def test_a_broken_layer_and_a_layer_as_target_are_refused_in_one_line(root, tmp_path, capsys):
    prompts = ["--cache", str(tmp_path / "cache"), "--prompts", str(root / "prompts.jsonl")]
    broken = save_checkpoint(tmp_path / "layer", TRAINERS["SafeAILab EAGLE-3"])
    (broken / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLMEagle3"]}))
    pair = ["--target", str(root / "target"), "--drafter", str(broken)]
    assert "config.json: missing key hidden_size" in refused(["export", str(tmp_path / "out"), *pair, *prompts], capsys)
    pair = ["--target", str(root / "EAGLE-3"), "--drafter", str(root / "EAGLE-2")]
    line = refused(["export", str(tmp_path / "out"), *pair, *prompts], capsys)
    assert re.search("expected a model that decodes by itself, got eagle3 drafter EAGLE-3: reads the states", line)


def test_another_provider_is_refused_before_calibrating(asked):
    request = edgedraft.ExportRequest(**{key: asked[key] for key in asked if key != "device"}, provider="webgpu")
    with pytest.raises(EdgedraftError, match="a drafter that reads the target's states runs on the cpu, got webgpu"):
        edgedraft.export(request)


def test_more_draft_tokens_than_the_head_scores_are_refused(asked):
    with pytest.raises(EdgedraftError, match=r"draft vocabulary size: expected 1\.\.640, got 700"):
        edgedraft.export(edgedraft.ExportRequest(**asked | {"vocab_size": 700}))
