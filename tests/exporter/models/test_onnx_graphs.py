"""Which graph of a folder is used: the one in its settings, model.onnx, the only one, or the chosen one."""

import json
from pathlib import Path

import pytest

from edgedraft.exporter.models.convert import convert
from edgedraft.exporter.models.sources import HUGGING_FACE, ONNX, onnx_file, resolve
from edgedraft.runtime.base.errors import EdgedraftError

VARIANTS = ("onnx/model_fp16.onnx", "onnx/model_q4.onnx", "onnx/model_q4f16.onnx")


@pytest.fixture
def folder(tmp_path) -> Path:
    path = tmp_path / "exported"
    path.mkdir()
    (path / "config.json").write_text("{}")
    (path / "tokenizer.json").write_text("{}")
    return path


def with_graphs(folder: Path, *names: str, settings: str | None = None, at: str = "") -> Path:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("graph")
    if settings is not None:
        (folder / at / "genai_config.json").write_text(json.dumps({"model": {"decoder": {"filename": settings}}}))
    return folder


def found(reference: object) -> Path:
    source = resolve(str(reference), Path("unused"))
    assert source.kind == ONNX
    return onnx_file(source)


def refused(reference: object) -> str:
    with pytest.raises(EdgedraftError) as error:
        resolve(str(reference), Path("unused"))
    return str(error.value)


@pytest.mark.parametrize(
    ("graphs", "meant"),
    [
        (("model.onnx", "onnx/model.onnx", "other.onnx"), "model.onnx"),
        (("onnx/model.onnx", "onnx/model_q4.onnx"), "onnx/model.onnx"),
        (("model/model.onnx",), "model/model.onnx"),
        (("decoder-int4.onnx",), "decoder-int4.onnx"),
        (("onnx/model_q4.onnx",), "onnx/model_q4.onnx"),
    ],
)
def test_the_usual_names_and_a_graph_that_stands_alone(folder, graphs, meant):
    assert found(with_graphs(folder, *graphs)) == folder / meant


def test_settings_name_the_graph_whatever_else_is_there(folder):
    with_graphs(folder, "model.onnx", "tiny-int4.onnx", settings="tiny-int4.onnx")
    assert found(folder) == folder / "tiny-int4.onnx"


def test_olives_folder_has_graph_and_settings_in_a_part_of_it(tmp_path):
    root = tmp_path / "olive"
    with_graphs(root.parent, "olive/model_config.json")
    with_graphs(root, "model/tiny.onnx", "model/tokenizer.json", settings="tiny.onnx", at="model")
    source = resolve(str(root), Path("unused"))
    assert (onnx_file(source), source.path, source.name) == (root / "model" / "tiny.onnx", root / "model", "olive")


@pytest.mark.parametrize("name", ["no-such.onnx", "../up.onnx", "/etc/up.onnx", 7])
def test_settings_that_name_no_graph_in_the_folder_are_refused(folder, name):
    said = refused(with_graphs(folder, "model.onnx", settings=name))
    assert said.startswith(f"{folder / 'genai_config.json'}: model.decoder.filename: ")


def test_a_model_in_stages_is_refused(folder):
    with_graphs(folder, "model.onnx")
    (folder / "genai_config.json").write_text(json.dumps({"model": {"decoder": {"pipeline": []}}}))
    assert "model.decoder.pipeline: a model in several graphs is not read - export it as one graph" in refused(folder)


def test_several_graphs_are_named_and_one_is_to_be_chosen(folder):
    with_graphs(folder, *VARIANTS)
    expected = f"{folder}: several graphs and no model.onnx, got {', '.join(VARIANTS)}"
    assert refused(folder) == f"{expected} - choose one, as in {folder}#fp16"


@pytest.mark.parametrize("name", ["q4", "model_q4", "model_q4.onnx", "onnx/model_q4.onnx"])
def test_a_graph_is_chosen_by_any_of_its_names(folder, name):
    with_graphs(folder, "onnx/model.onnx", *VARIANTS)
    source = resolve(f"{folder}#{name}", Path("unused"))
    assert (onnx_file(source), source.path) == (folder / "onnx" / "model_q4.onnx", folder)
    assert source.name == "exported-model_q4"


def test_a_graph_is_chosen_although_there_are_weights(folder):
    with_graphs(folder, *VARIANTS, "model.safetensors")
    assert resolve(str(folder), Path("unused")).kind == HUGGING_FACE
    assert found(f"{folder}#q4") == folder / "onnx" / "model_q4.onnx"


def test_a_choice_that_is_not_there_names_those_that_are(folder):
    with_graphs(folder, *VARIANTS)
    assert refused(f"{folder}#int8") == f"{folder}: no graph called int8 - choose one of {', '.join(VARIANTS)}"


@pytest.mark.parametrize("name", ["own.onnx", "onnx/model_q4.onnx"])
def test_a_graph_itself_is_a_model_whose_tokenizer_lies_beside_or_around_it(folder, name):
    with_graphs(folder, "model.onnx", name)
    source = resolve(str(folder / name), Path("unused"))
    assert (source.kind, onnx_file(source), source.path) == (ONNX, folder / name, folder)


def test_two_graphs_of_one_folder_are_two_models(folder):
    with_graphs(folder, *VARIANTS)
    assert len({resolve(f"{folder}#{name}", Path("unused")).identity for name in ("fp16", "q4", "q4f16")}) == 3


def test_the_copy_calls_its_graph_by_one_name(one_node_pairs, tmp_path):
    made = one_node_pairs.folder(tmp_path / "exported").path
    (made / "model.onnx").rename(made / "own.onnx")
    settings = json.loads((made / "genai_config.json").read_text())
    settings["model"]["decoder"]["filename"] = "own.onnx"
    (made / "genai_config.json").write_text(json.dumps(settings))
    copied = convert(resolve(str(made), tmp_path), "int4", tmp_path / "cache")
    assert copied.graph.is_file()
    assert json.loads((copied.path / "genai_config.json").read_text())["model"]["decoder"]["filename"] == "model.onnx"
