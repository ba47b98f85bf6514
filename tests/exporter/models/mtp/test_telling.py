"""A target's own MTP head is found in its checkpoint, named by a reference, and never taken for a whole model."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from edgedraft.exporter.models import layers
from edgedraft.exporter.models.admission import require_supported
from edgedraft.exporter.models.layers import is_layer, layer_source, settled_drafter
from edgedraft.exporter.models.mtp import telling
from edgedraft.exporter.models.mtp.telling import HEAD_SOURCE, carries_head
from edgedraft.exporter.models.sources import resolve
from edgedraft.exporter.models.via_optimum import EXPORT_BACKENDS
from edgedraft.exporter.pipeline.inputs import with_named_drafter
from edgedraft.exporter.pipeline.requests import DRAFTER, PairInputs
from edgedraft.runtime.base.errors import EdgedraftError
from tests.plain_eagle import TRAINERS, save_checkpoint
from tests.plain_mtp import FAMILIES, KINDS, random_head, save_head

every_kind = pytest.mark.parametrize("kind", KINDS)
PACKAGED = "qwen2.5-coder-1.5b-instruct"


def whole(folder: Path, kind: str) -> Path:
    """A checkpoint with a head beside a decoder, as far as names tell."""
    body = {"model.embed_tokens.weight": torch.ones(2, 2), "model.layers.0.mlp.up_proj.weight": torch.ones(2, 2)}
    return save_head(folder, FAMILIES[kind], random_head(FAMILIES[kind]) | body)


@every_kind
def test_the_head_of_a_whole_checkpoint_is_meant_where_it_is_named(tmp_path, kind):
    folder = whole(tmp_path / "Target", kind)
    model = resolve(str(folder), tmp_path)
    assert carries_head(str(folder), tmp_path)
    assert layer_source(str(folder), tmp_path) is None
    assert not is_layer(model)
    for drafter in ("mtp", str(folder), f"{folder}#mtp"):
        reference = settled_drafter(str(folder), drafter, tmp_path)
        assert reference == f"{folder}#mtp"
        head = layer_source(reference, tmp_path)
        assert head is not None and is_layer(head)
        assert (head.kind, head.name, head.path) == (HEAD_SOURCE, "target-mtp", folder)
        assert head.identity != model.identity
    other = whole(tmp_path / "other", kind)
    assert settled_drafter(str(folder), str(other), tmp_path) == str(other)  # an independent drafter


@every_kind
def test_a_folder_with_nothing_else_is_a_head(tmp_path, kind):
    folder = save_head(tmp_path / "head", FAMILIES[kind])
    head = layer_source(str(folder), tmp_path)
    assert head is not None and (head.kind, head.name) == (HEAD_SOURCE, "head-mtp")
    where = "before" if kind == "MiMo" else "behind"
    for backend in EXPORT_BACKENDS:
        with pytest.raises(EdgedraftError) as error:
            require_supported(resolve(str(folder), tmp_path), backend)
        assert str(error.value).startswith(
            f"{folder}: expected a model that decodes by itself, got mtp drafter head: reads the state {where} "
        )
        assert str(error.value).endswith(" - give it as the drafter of the target that it was trained for")


def test_models_without_a_head_carry_none(tmp_path, tiny_pair):
    graph = tmp_path / "exported"
    graph.mkdir()
    (graph / "model.onnx").write_bytes(b"graph")
    for target in (str(tiny_pair.target), PACKAGED, str(graph)):
        assert not carries_head(target, tmp_path)
    eagle = save_checkpoint(tmp_path / "eagle", TRAINERS["EAGLE-1"])
    assert not carries_head(str(eagle), tmp_path)
    assert layer_source(str(eagle), tmp_path).kind != HEAD_SOURCE
    with pytest.raises(EdgedraftError) as error:
        layer_source(settled_drafter(str(tiny_pair.target), "mtp", tmp_path), tmp_path)
    assert str(error.value) == (
        f"{tiny_pair.target}#mtp: expected a multi-token-prediction head in safetensors, got none "
        "- give the Hugging Face folder or hub id of a checkpoint that carries one"
    )


def test_a_cut_checkpoint_is_left_to_the_checks_of_models(tmp_path):
    folder = whole(tmp_path / "target", "MiMo")
    (folder / "model.safetensors").write_bytes(b"12")
    assert not carries_head(str(folder), tmp_path)
    assert layer_source(str(folder), tmp_path) is None


def test_without_a_named_drafter_the_targets_own_head_drafts(tmp_path, tiny_pair):
    folder, notes = str(whole(tmp_path / "target", "MiMo")), []
    chosen = with_named_drafter(PairInputs(target=folder), tmp_path, note=notes.append)
    assert chosen.drafter == f"{folder}#mtp"
    assert notes == [f"target {folder}: its own multi-token-prediction head drafts; --drafter names another drafter"]
    assert with_named_drafter(chosen, tmp_path, note=notes.append) == chosen
    named = PairInputs(target=folder, drafter=str(tiny_pair.drafter))
    assert with_named_drafter(named, tmp_path, note=notes.append) == named
    for target in (PACKAGED, str(tiny_pair.target)):
        assert with_named_drafter(PairInputs(target=target), tmp_path, note=notes.append).drafter == DRAFTER
    assert len(notes) == 1


@pytest.mark.parametrize("declared", [True, False])
def test_a_hub_repository_is_downloaded_only_if_it_declares_a_head(tmp_path, monkeypatch, declared):
    """The configuration comes first; what it declares is then looked for among the tensors."""
    folder, asked = whole(tmp_path / "snapshot", "Qwen 3.5"), []
    if not declared:
        config = json.loads((folder / "config.json").read_text())
        del config["text_config"]["mtp_num_hidden_layers"]
        (folder / "config.json").write_text(json.dumps(config))

    def hub(reference, cache, only):
        asked.append((reference, only))
        return folder

    monkeypatch.setattr(telling, "hub_folder", hub)
    monkeypatch.setattr(
        telling, "resolve", lambda reference, *_: asked.append(reference) or resolve(str(folder), tmp_path)
    )
    assert carries_head("org/name", tmp_path) is declared
    assert asked == [("org/name", ["config.json"]), *["org/name"] * declared]


def test_a_head_is_read_through_the_door_of_all_layers(tmp_path):
    head = layer_source(str(save_head(tmp_path / "head", FAMILIES["MiMo"])), tmp_path)
    declared, read = layers.declared_layer(head), layers.read_layer(head)
    assert declared.layout.kind == read.layout.kind == "mtp"
    assert declared.weights.keys() == read.weights.keys()
    assert not declared.weights["fc.weight"].any() and read.weights["fc.weight"].any()


def test_tensors_beside_a_decoder_decide_not_its_configuration(tmp_path):
    """A checkpoint whose head was removed drafts with another model."""
    folder = whole(tmp_path / "target", "Qwen 3.5")
    save_file({"model.embed_tokens.weight": torch.ones(2, 2)}, folder / "model.safetensors")
    assert not carries_head(str(folder), tmp_path)
