"""Exporting a target that carries an MTP head: the head is found, planned, bundled, trimmed, benched and run."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import edgedraft
from edgedraft.__main__ import main
from edgedraft.exporter.models.eagle.tracing import open_scorer
from edgedraft.exporter.models.pair import PairRequest, prepare_pair
from edgedraft.exporter.pipeline import step_cases
from edgedraft.exporter.pipeline.export import export_bundle
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.onnx.features import features_of
from edgedraft.runtime.onnx.session import SessionSettings
from tests.laws.agreeing_mtp import save_with_head
from tests.plain_eagle import VOCAB
from tests.plain_mtp import FAMILIES, PlainMtp, save_head

TARGETS = {"recurrent": "Qwen 3.5", "plain": "DeepSeek", "mimo": "MiMo"}


@pytest.fixture(scope="module")
def root(tmp_path_factory, tiny_pair):
    folder = tmp_path_factory.mktemp("heads")
    for name, kind in TARGETS.items():
        save_with_head(folder / name, kind, mixed=0.1)
        for pattern in ("*token*", "chat_template*"):
            for file in tiny_pair.target.glob(pattern):
                (folder / name / file.name).write_bytes(file.read_bytes())
    lines = [{"id": str(number), "prompt": f"sort the list {number}"} for number in range(4)]
    (folder / "prompts.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return folder


@pytest.fixture
def asked(root, tmp_path, monkeypatch):
    monkeypatch.setattr(step_cases, "PROBED_SIZES", (128, 512))
    return {
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


@pytest.mark.parametrize("name", TARGETS)
def test_the_targets_own_head_is_planned_bundled_trimmed_and_benched(asked, root, tmp_path, name, capsys):
    target, notes, bundle = root / name, [], str(tmp_path / "bundle")
    request = edgedraft.ExportRequest(**asked, target=str(target))
    manifest = export_bundle(request, note=notes.append).manifest
    assert (manifest.drafter_kind, manifest.drafter.name) == ("mtp", f"{name}-mtp")
    assert manifest.layer.borrowed == ("table", "head")
    assert manifest.layer.tapped_layers == ((2,) if name == "mimo" else ())
    assert manifest.layer.copied_bytes == 0
    assert (manifest.plan.draft_vocab_size, manifest.plan.draft_length) == (192, 2)
    assert f"target {target}: its own multi-token-prediction head drafts; --drafter names another drafter" in notes
    assert any(note.startswith(f"mtp drafter {name}-mtp: reads the state") for note in notes)
    arguments = ["--prompts", asked["prompts"], "-n", "2", "--max-new-tokens", "8", "--json"]
    assert main(["bench", bundle, *arguments]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["drafter_kind"] == "mtp"
    trimmed = measured["report"]["ways"]["trimmed drafter"]
    assert trimmed["draft_tokens_proposed"] > 0
    for size in (64, 320):  # fewer rows from the bundle's own graph, more from its target
        assert main(["trim", bundle, "--vocab-size", str(size), "--cache", asked["cache"], "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["plan"]["draft_vocab_size"] == size
        answer = edgedraft.load(bundle, threads=2).generate("sort the list", max_new_tokens=8)
        assert answer.usage.completion_tokens > 0
    assert (
        "The drafter (mtp) is one layer that reads the target's hidden states"
        in (tmp_path / "bundle/README.md").read_text()
    )


@pytest.mark.parametrize("name", TARGETS)
def test_the_trace_scores_what_the_head_drafts_at_every_depth(root, name):
    """Each chain sees the text up to its root with the target's states, and its own rows after that."""
    kind, texts = TARGETS[name], np.random.default_rng(2).integers(2, VOCAB, 30).tolist()
    request = PairRequest(
        target=str(root / name),
        drafter="mtp",
        target_precision="fp32",
        drafter_precision="fp32",
        settings=SessionSettings(threads=2, context_length=64),
    )
    pair = prepare_pair(request, root / "cache")
    state = load_file(root / name / "model.safetensors")
    table = next(array for key, array in state.items() if key.endswith("model.embed_tokens.weight"))
    head = {key: array for key, array in state.items() if key.startswith(FAMILIES[kind].outer)}
    read = pair.target_model.read(texts)
    features, scorer = features_of(read).copy(), open_scorer(pair, 4)
    scorer.begin(texts)
    scorer.take(read, len(texts))
    scored = [logits.copy() for logits in scorer.score(6, 5)]
    assert len(scored) == 4
    for row in range(5):
        plain, root_row = PlainMtp(FAMILIES[kind], head, table, state["lm_head.weight"]), 6 + row
        with torch.no_grad():
            logits, states = plain.read(texts[1 : root_row + 2], features[: root_row + 1])
            for depth in range(4):
                if depth:
                    logits, states = plain.read([texts[root_row + 1 + depth]], states[-1:])
                np.testing.assert_allclose(scored[depth][row], logits[-1], atol=1e-4 * np.abs(logits[-1]).max())


def refused(arguments, capsys) -> str:
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


WRONG = [
    ({"hidden_size": 256}, "made for a target with states of 128, got 256 - choose the target that it was trained for"),
    ({"vocab_size": 1088}, "made for a target with 1024 tokens, got 1088 - choose the target that it was trained for"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
@pytest.mark.parametrize("kind", FAMILIES)
def test_a_head_of_another_target_is_refused_before_weights_are_read(root, tmp_path, changes, message, kind, capsys):
    """The target has no weights that could be converted."""
    target, head = tmp_path / "target", save_head(tmp_path / "head", FAMILIES[kind])
    target.mkdir()
    config = json.loads((root / "plain" / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | changes))
    (target / "model.safetensors").write_bytes(b"no weights at all")
    pair = ["--target", str(target), "--drafter", str(head), "--prompts", str(root / "prompts.jsonl")]
    line = refused(["export", str(tmp_path / "bundle"), *pair, "--cache", str(tmp_path / "cache")], capsys)
    assert message in line
    assert not (tmp_path / "cache" / "onnx").exists()


def test_an_own_head_that_is_missing_is_refused_in_one_line(root, tmp_path, tiny_pair, capsys):
    pair = ["--target", str(tiny_pair.target), "--drafter", "mtp", "--prompts", str(root / "prompts.jsonl")]
    line = refused(["export", str(tmp_path / "bundle"), *pair, "--cache", str(tmp_path / "cache")], capsys)
    assert f"{tiny_pair.target}#mtp: expected a multi-token-prediction head in safetensors, got none" in line


def test_another_provider_is_refused_before_calibrating(asked, root):
    settings = {key: asked[key] for key in asked if key != "device"}
    request = edgedraft.ExportRequest(**settings, target=str(root / "plain"), drafter="mtp", provider="webgpu")
    with pytest.raises(EdgedraftError, match="a drafter that reads the target's states runs on the cpu, got webgpu"):
        edgedraft.export(request)
