"""The second route ends where the first does: in a folder of ours with the same text, made by another environment.

Optimum itself takes a minute and the network, so here its place is taken by a graph of the same style; tests marked
`real` and tests/benchmarks/optimum_route.py run it.
"""

import json
import shutil
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from edgedraft.exporter.graph.loading import load_graph
from edgedraft.exporter.models import float_graph, via_optimum
from edgedraft.exporter.models.cache import cache_folder
from edgedraft.exporter.models.convert import convert
from edgedraft.exporter.models.genai_settings import genai_settings
from edgedraft.exporter.models.pair import PairRequest, prepare_pair
from edgedraft.exporter.models.processes import ProcessCost
from edgedraft.exporter.models.sources import resolve
from edgedraft.exporter.models.via_optimum import (
    BUILDER,
    OPTIMUM,
    OPTIMUM_PINS,
    OWN_PYTHON,
    export_with_optimum,
    optimum_python,
)
from edgedraft.exporter.models.worker_optimum import readable_by_4
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.onnx.session import SessionSettings, open_model
from tests.plain_llama import save_plain_llama

REPOSITORY = Path(__file__).resolve().parents[3]
SETTINGS = SessionSettings(threads=2, context_length=64)


def greedy(graph: Path, prompt=(5, 6, 7), steps=30) -> list[int]:
    model = open_model(graph, SETTINGS)
    said = [int(model.read(prompt).logits[-1].argmax())]
    while len(said) < steps:
        said.append(int(model.read(said[-1:]).logits[0].argmax()))
    return said


# --- the environment -------------------------------------------------------------------------------------------------


def test_the_extra_holds_what_the_environment_does():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert tuple(project["optional-dependencies"]["optimum"]) == OPTIMUM_PINS


@pytest.fixture
def installs(monkeypatch):
    """Stands in for the processes that make an environment; what they were asked for, and a line to fail with."""
    asked, failing = [], {}

    def run(what, arguments, log, python=None):
        asked.append((arguments, python))
        if "pip" in arguments and failing:
            raise EdgedraftError(f"{what} failed", got=failing["got"], remedy="the whole log")
        if "venv" in arguments:
            (Path(arguments[-1]) / "bin").mkdir(parents=True)
            (Path(arguments[-1]) / "bin" / "python").write_text("python")
        return ProcessCost(what=what, seconds=0.0, peak_bytes=0)

    monkeypatch.delenv(OWN_PYTHON, raising=False)
    monkeypatch.setattr(via_optimum, "run_python", run)
    monkeypatch.setattr(via_optimum.os, "name", "posix")
    return asked, failing


def test_the_environment_is_made_once(installs, tmp_path):
    asked, _ = installs
    told = []
    python = optimum_python(tmp_path, lambda *told_now: told.append(told_now))
    assert python.is_file()
    assert python.parents[2] == tmp_path / "optimum"
    (venv, ours), (pip, its) = asked
    assert (venv[:2], ours) == (["-m", "venv"], None)
    assert pip[:4] == ["-I", "-m", "pip", "install"]
    assert tuple(pip[-len(OPTIMUM_PINS) :]) == OPTIMUM_PINS
    assert its is not None
    assert its.parents[1] == Path(venv[2])
    assert told == [("making Optimum's environment", done, 2) for done in range(3)]
    assert optimum_python(tmp_path) == python
    assert len(asked) == 2


def test_other_pins_are_another_environment(installs, tmp_path, monkeypatch):
    before = optimum_python(tmp_path)
    monkeypatch.setattr(via_optimum, "OPTIMUM_PINS", (*OPTIMUM_PINS, "one-more"))
    assert optimum_python(tmp_path) != before


def test_where_pip_fails_one_line_says_so_and_nothing_stays(installs, tmp_path):
    _, failing = installs
    failing["got"] = "ERROR: No matching distribution found for optimum-onnx==0.1.0"
    with pytest.raises(EdgedraftError) as error:
        optimum_python(tmp_path)
    log = str(error.value).partition("the whole log is in ")[2].partition(")")[0]
    assert log.startswith(f"{tmp_path / 'logs'}/optimum-")
    assert str(error.value) == (
        f"Optimum's environment cannot be made here, got {failing['got']} - check the network (the whole log is in "
        f'{log}), or pip install "edgedraft[optimum]" in an environment of your own and name its Python in '
        "EDGEDRAFT_OPTIMUM_PYTHON"
    )
    assert list((tmp_path / "optimum").iterdir()) == []


def test_an_environment_of_ones_own_is_taken_as_it_is(installs, tmp_path, monkeypatch):
    monkeypatch.setenv(OWN_PYTHON, sys.executable)
    assert optimum_python(tmp_path) == Path(sys.executable)
    monkeypatch.setenv(OWN_PYTHON, "/nowhere/python")
    with pytest.raises(EdgedraftError) as error:
        optimum_python(tmp_path)
    remedy = "name an interpreter, or unset it"
    assert str(error.value) == f"EDGEDRAFT_OPTIMUM_PYTHON: no such Python, got /nowhere/python - {remedy}"
    assert installs[0] == []


def test_only_the_graph_stays_of_what_optimum_writes(tmp_path, monkeypatch, tiny_pair):
    def run(what, arguments, log, python=None):
        assert (what, arguments[0], arguments[2:]) == ("exporting tiny with Optimum", "-I", ["weights", str(tmp_path)])
        assert Path(arguments[1]).name == "worker_optimum.py"
        for name in ("model.onnx_data", "config.json", "vocab.json"):
            (tmp_path / name).write_text(name)
        save_plain_llama(tiny_pair.target, tmp_path / "model.onnx")
        return ProcessCost(what=what, seconds=1.0, peak_bytes=2)

    monkeypatch.setattr(via_optimum, "run_python", run)
    assert export_with_optimum("tiny", Path("weights"), tmp_path, Path("python"), tmp_path / "log").seconds == 1.0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.onnx", "model.onnx_data"]


# --- what transformers 4 must be told --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rope", "told"),
    [
        ({"rope_type": "default", "rope_theta": 1e6}, {"rope_theta": 1e6}),
        (
            {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0},
            {"rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}},
        ),
        (
            {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.4},
            {"rope_theta": 1e4, "partial_rotary_factor": 0.4},
        ),
        (
            {
                "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            },
            {
                "rope_theta": 1e6,
                "rope_local_base_freq": 1e4,
                "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            },
        ),
    ],
)
def test_rotary_settings_are_put_where_transformers_4_reads_them(rope, told):
    config = {"model_type": "llama", "rope_parameters": rope}
    assert readable_by_4(config) == {"model_type": "llama", **told}
    assert config["rope_parameters"] is rope


def test_an_older_configuration_is_left_alone():
    older = {"model_type": "llama", "rope_theta": 5.0, "rope_scaling": None}
    assert readable_by_4(older) == older


def test_unknown_kinds_of_attention_are_refused():
    with pytest.raises(SystemExit) as error:
        readable_by_4({"rope_parameters": {"chunked_attention": {"rope_theta": 1.0}}})
    assert str(error.value) == "config.json: rope_parameters: unknown kinds of attention: chunked_attention"


# --- the route -------------------------------------------------------------------------------------------------------


@pytest.fixture
def exports(monkeypatch):
    """Puts a plain graph where Optimum would write one; how often it did."""
    asked = []

    def export(name, weights, output, python, log):
        asked.append(name)
        save_plain_llama(weights, output / "model.onnx")
        return ProcessCost(what=f"exporting {name} with Optimum", seconds=0.0, peak_bytes=0)

    monkeypatch.setattr(float_graph, "optimum_python", lambda cache, progress: Path("python"))
    monkeypatch.setattr(float_graph, "export_with_optimum", export)
    return asked


def test_both_routes_end_in_the_same_kind_of_folder_and_the_same_text(exports, tiny_pair, tiny_opened, tmp_path):
    source = resolve(str(tiny_pair.target), tmp_path)
    made = convert(source, "fp32", tmp_path / "cache", export_backend=OPTIMUM)
    assert (made.precision, made.path.name.rsplit("-", 1)[0]) == ("fp32", "tiny-target-fp32-optimum")
    steps = ["exporting tiny-target with Optimum", "comparing tiny-target with its source", "packing tiny-target fp32"]
    assert [cost.what for cost in made.costs] == steps
    by_builder = tiny_opened.target.path
    assert {file.name for file in made.path.iterdir()} == {file.name for file in by_builder.iterdir()}
    settings = genai_settings(tiny_pair.target, load_graph(made.graph), "model.onnx")
    assert json.loads((made.path / "genai_config.json").read_text()) == settings
    assert greedy(made.graph) == greedy(by_builder / "model.onnx")
    assert convert(source, "fp32", tmp_path / "cache", export_backend=OPTIMUM).path == made.path
    assert exports == ["tiny-target"]


def test_our_packer_gives_it_its_precision(exports, tiny_pair, tmp_path):
    source = resolve(str(tiny_pair.target), tmp_path)
    made = {
        name: convert(source, name, tmp_path / "cache", export_backend=OPTIMUM) for name in ("fp32", "int8", "int4")
    }
    sizes = {name: folder.file_bytes for name, folder in made.items()}
    assert sizes["int4"] < sizes["int8"] < sizes["fp32"] / 3
    texts = [open_model(made[name].graph, SETTINGS).read([5, 6, 7, 8]).logits.copy() for name in ("fp32", "int8")]
    assert 0 < np.abs(texts[0] - texts[1]).max() < np.std(texts[0]) / 2


def test_a_pair_is_exported_by_the_route_it_asks_for(exports, tiny_pair, tmp_path):
    request = PairRequest(
        target=str(tiny_pair.target),
        drafter=str(tiny_pair.drafter),
        target_precision="fp32",
        drafter_precision="fp32",
        settings=SETTINGS,
        export_backend=OPTIMUM,
    )
    pair = prepare_pair(request, tmp_path)
    assert sorted(exports) == ["tiny-drafter", "tiny-target"]
    assert not pair.target_graph.shared


def test_a_model_without_a_tokenizer_is_refused(exports, tiny_pair, tmp_path):
    folder = tmp_path / "bare"
    shutil.copytree(tiny_pair.target, folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(EdgedraftError) as error:
        convert(resolve(str(folder), tmp_path), "fp32", tmp_path / "cache", export_backend=OPTIMUM)
    assert str(error.value) == f"{folder}: no tokenizer.json - save the model's tokenizer as tokenizer.json beside it"
    assert exports == []


def test_an_unknown_route_is_refused(tiny_pair, tmp_path):
    with pytest.raises(EdgedraftError) as error:
        convert(resolve(str(tiny_pair.target), tmp_path), "fp32", tmp_path, export_backend="courier")
    assert str(error.value) == "export backend: expected one of builder, optimum, got courier"


# --- Optimum itself --------------------------------------------------------------------------------------------------


@pytest.mark.real
def test_optimum_itself_exports_the_tiny_pair(tiny_pair, tiny_opened, tmp_path):
    """Makes the environment in the user's cache on its first run: about a minute and 1.3 GB."""
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache_folder() / "optimum").mkdir(parents=True, exist_ok=True)
    (cache / "optimum").symlink_to(cache_folder() / "optimum")
    for role in ("target", "drafter"):
        source = resolve(str(getattr(tiny_pair, role)), tmp_path)
        made = convert(source, "fp32", cache, export_backend=OPTIMUM)
        assert greedy(made.graph) == greedy(getattr(tiny_opened, role).graph)
    assert BUILDER not in made.path.name
