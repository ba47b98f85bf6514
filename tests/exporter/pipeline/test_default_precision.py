"""If none is given, a model gets the smallest precision close to fp32; if it cannot be measured, users are told."""

import dataclasses
from types import SimpleNamespace

import pytest

from edgedraft.exporter.graph.precisions import CANDIDATES
from edgedraft.exporter.graph.worker_pack import pack_graph
from edgedraft.exporter.models.packaged_models import packaged_models
from edgedraft.exporter.models.sources import GGUF, ONNX
from edgedraft.exporter.models.trial import pack_trial, trial_folder
from edgedraft.exporter.pipeline import default_precision as choosing
from edgedraft.exporter.pipeline.default_precision import PrecisionSearch, default_precision
from edgedraft.exporter.pipeline.inputs import with_default_precisions
from edgedraft.exporter.pipeline.quality import MAX_DIVERGENCE
from edgedraft.exporter.pipeline.requests import PairInputs
from edgedraft.runtime.base.errors import EdgedraftError


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("chosen")


@pytest.fixture
def converted(tiny_opened, cache, monkeypatch):
    """Pack the tiny target from its fp32 build in this process; return the precisions in order, trials in brackets."""
    names = []

    def pack(folder, reference, where):
        names.append(f"[{folder.precision}]")
        folder.path.mkdir(parents=True, exist_ok=True)
        pack_graph(reference.graph, folder.path, folder.precision)

    def convert(source, precision, *others):
        names.append(precision)
        folder = trial_folder(tiny_opened.target, precision, cache, cache / "onnx")
        if precision == "fp32":
            return tiny_opened.target
        if not folder.graph.is_file():
            folder.path.mkdir(parents=True)
            pack_graph(tiny_opened.target.graph, folder.path, precision)
        return folder

    monkeypatch.setattr(choosing, "convert", convert)
    monkeypatch.setattr(choosing, "pack_trial", pack)
    return names


@pytest.fixture(scope="module")
def source(tiny_opened):
    return tiny_opened.target.source


@pytest.fixture
def search(cache):
    return lambda bound, **changes: PrecisionSearch(
        export_backend="builder", threads=2, cache=cache, bound=bound, **changes
    )


@pytest.fixture
def strays(source, search, converted):
    """The divergence of every candidate, from a search whose bound only fp32 keeps."""
    notes = []
    last = default_precision(source, search(0.0), note=notes.append)
    assert (last.precision, last.divergence.kl_per_token) == ("fp32", 0.0)
    measured = {line.split()[1].rstrip(":"): float(line.split("KL ")[1].split()[0]) for line in notes}
    return measured | {"fp32": 0.0}


def test_the_smallest_precision_within_the_bound_is_chosen(source, search, strays, converted):
    for bound in (100.0, strays["int4"] * 0.6, strays["int8-table4"] * 1.5, strays["int8"] * 1.5):
        converted.clear()
        chosen = default_precision(source, search(bound))
        assert chosen.divergence.kl_per_token <= bound
        smaller = CANDIDATES[: CANDIDATES.index(chosen.precision)]
        assert all(strays.get(name, 9.0) > bound for name in smaller)
        assert chosen.divergence.precision == chosen.precision


def test_finer_blocks_of_four_bits_are_not_tried_where_they_cannot_help(source, search, converted, tmp_path):
    default_precision(source, dataclasses.replace(search(1e-6), cache=tmp_path))
    assert {"int4", "fp32", "[int8-table4]", "[int8]"} <= {*converted}
    assert not {"[int4-block64]", "[int4-block32-zp]"} & {*converted}


def test_a_trial_is_packed_once_beside_the_whole_build(tiny_opened, tmp_path):
    before = {file.name for file in tiny_opened.target.path.iterdir()}
    folder = trial_folder(tiny_opened.target, "int8", tmp_path, tmp_path / "trials")
    for _ in range(2):
        pack_trial(folder, tiny_opened.target, tmp_path)
        assert {file.name for file in folder.path.iterdir()} == {"model.onnx", "model.onnx.data"}
    assert {file.name for file in tiny_opened.target.path.iterdir()} == before
    assert folder.file_bytes < tiny_opened.target.file_bytes / 3


def test_refused_precisions_are_left_out(source, search, converted, tmp_path):
    asked = dataclasses.replace(search(100.0, refused=("int4",)), cache=tmp_path)
    assert default_precision(source, asked).precision == "int4-block64"
    assert converted[0] == "int4-block64"


def test_results_are_kept(source, search, converted, monkeypatch):
    first = default_precision(source, search(100.0))
    monkeypatch.setattr(choosing, "open_model", None)
    assert default_precision(source, search(100.0)) == first


@pytest.mark.parametrize(
    ("module", "name", "facts", "what"),
    [("psutil", "virtual_memory", {"available": 2**20}, "memory"), ("shutil", "disk_usage", {"free": 2**20}, "disk")],
)
def test_what_has_no_room_is_not_measured_and_says_so(
    source, search, converted, tmp_path, monkeypatch, module, name, facts, what
):
    monkeypatch.setattr(getattr(choosing, module), name, lambda *path: SimpleNamespace(**facts))
    chosen = default_precision(source, dataclasses.replace(search(0.0), cache=tmp_path))
    assert (chosen.precision, chosen.divergence, converted) == ("int4", None, ["int4"])
    expected = f"int4, not measured against fp32: its fp32 build needs 0.0 GiB of {what}, 0.0 GiB are free"
    assert str(chosen) == expected


def test_what_was_measured_once_needs_no_room(source, search, converted, monkeypatch):
    first = default_precision(source, search(100.0))
    monkeypatch.setattr(choosing.psutil, "virtual_memory", lambda: SimpleNamespace(available=0))
    converted.clear()
    assert default_precision(source, search(100.0)) == first
    assert (first.divergence is not None, converted) == (True, [])


@pytest.mark.parametrize("context", [1, 2, 40, 48, 49])
def test_short_contexts_hold_a_prompt_and_an_answer(source, search, converted, tmp_path, monkeypatch, context):
    monkeypatch.setattr(choosing, "context_length", lambda folder: context)
    chosen = default_precision(source, dataclasses.replace(search(100.0), cache=tmp_path))
    assert chosen.precision == "int4"
    assert 6 <= chosen.divergence.positions <= 6 * max(1, context // 2)


def test_an_exported_folder_stays_as_it_is(source, search, converted):
    chosen = default_precision(dataclasses.replace(source, kind=ONNX), search(0.0))
    assert str(chosen) == "int4, not measured against fp32: an ONNX folder stays as it was exported"
    assert converted == []


@pytest.mark.parametrize("model", packaged_models(), ids=lambda model: model.name)
def test_packaged_models_were_measured_before(source, search, converted, tmp_path, model):
    """What quickstart needs of them is never built: neither an fp32 build nor a trial."""
    packaged = dataclasses.replace(source, kind=GGUF, identity=model.sha256)
    chosen = default_precision(packaged, dataclasses.replace(search(MAX_DIVERGENCE), cache=tmp_path))
    assert chosen.divergence in model.divergences
    assert (chosen.precision, converted, list(tmp_path.iterdir())) == ("int4", [], [])


def test_a_request_gets_a_precision_for_each_auto_and_says_which(tiny_pair, converted, cache):
    asked = PairInputs(
        target=str(tiny_pair.target), drafter=str(tiny_pair.drafter), drafter_precisions=("int8",), threads=(2,)
    )
    notes = []
    decided, chosen = with_default_precisions(asked, cache, note=notes.append, bound=100.0)
    assert (decided.target_precisions, decided.drafter_precisions) == (("int4",), ("int8",))
    assert list(chosen) == ["target"]
    assert notes[-1].startswith("target tiny-target: int4, KL ")
    assert with_default_precisions(decided, cache) == (decided, {})


def test_auto_beside_other_precisions_is_refused():
    with pytest.raises(EdgedraftError) as error:
        PairInputs(target_precisions=("auto", "int8"))
    assert str(error.value) == (
        "target_precisions: auto chooses by itself, got auto, int8 - give auto alone, or leave it out"
    )
