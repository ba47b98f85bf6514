"""`convert` runs the check once for all precisions, keeps its result, and leaves no files after a refusal."""

import dataclasses
import json
import shutil

import onnx_ir as ir
import pytest

from edgedraft.exporter.equality.deviation import Deviation
from edgedraft.exporter.equality.result import EqualityResult
from edgedraft.exporter.graph.loading import fix_cache_shapes, load_graph
from edgedraft.exporter.models import float_graph
from edgedraft.exporter.models.convert import convert
from edgedraft.exporter.models.equality import finished_check, read_equality
from edgedraft.exporter.models.processes import ProcessCost
from edgedraft.exporter.models.sources import resolve
from edgedraft.exporter.models.via_optimum import OPTIMUM
from edgedraft.exporter.models.worker_build import build
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.base.kept import write_record
from edgedraft.runtime.base.records import from_plain
from tests.exporter.equality.conftest import LONGROPE
from tests.exporter.equality.test_planted_faults import drop_windows

pytestmark = pytest.mark.usefixtures("in_process")


@pytest.fixture
def source(mended, tmp_path):
    return resolve(str(mended("Mistral, windowed")[0]), tmp_path)


def test_a_conversion_is_checked_once_for_all_precisions(source, tmp_path):
    first = convert(source, "int8", tmp_path)
    (kept,) = (tmp_path / "equality").iterdir()
    result = read_equality(kept)
    assert result.family == "MistralForCausalLM"
    assert max(result.configuration.share, result.weights.share) < 1e-4
    assert from_plain(EqualityResult, read_json(first.path / "source.json")["equality"], "source.json") == result
    assert first.remarks == ()
    weights = Deviation(share=0.005, position=1, what="in pieces", tokens=100)
    write_record(kept, dataclasses.replace(result, weights=weights))  # a sign that it is read, not made again
    second = convert(source, "int4", tmp_path)
    assert second.remarks == (
        f"{source.name}: the converted model's logits differ from its source's by {weights.told}",
    )
    assert convert(source, "int4", tmp_path).remarks == second.remarks
    assert json.loads((second.path / "source.json").read_text())["precision"] == "int4"


def test_a_check_that_memory_did_not_allow_is_made_when_it_does(tmp_path):
    kept = tmp_path / "result.json"
    result = EqualityResult(family="Some", not_checked=("too large",))
    write_record(kept, result)
    assert finished_check(kept) is None
    compared = dataclasses.replace(result, weights=Deviation(share=0.0, position=0, what="in pieces", tokens=9))
    write_record(kept, compared)
    assert finished_check(kept) == compared
    kept.write_text(kept.read_text().replace("0.0", "0.5"))
    assert finished_check(kept) is None  # what is not as it was written is made again


def test_a_configuration_that_is_converted_into_another_model_is_refused_and_nothing_stays(mended, tmp_path):
    """The builder makes one table of rotary factors for a Llama, and LongRoPE needs two."""
    folder = tmp_path / "long"
    shutil.copytree(mended("Llama, linear")[0], folder)
    rope = {**LONGROPE, "original_max_position_embeddings": 128, "factor": 2.0}
    config = {**read_json(folder / "config.json"), "rope_parameters": rope}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(EdgedraftError) as error:
        convert(resolve(str(folder), tmp_path), "int4", tmp_path / "cache")
    assert str(error.value).startswith("long: LlamaForCausalLM: a tiny random copy of its configuration must be ")
    assert str(error.value).endswith("; 1% is allowed - try --export-backend optimum, or another model")
    assert [*(tmp_path / "cache" / "onnx").iterdir(), *(tmp_path / "cache" / "equality").iterdir()] == []


# --- another exporter ------------------------------------------------------------------------------------------------


@pytest.fixture
def exporter(monkeypatch):
    """Copies the builder's graph where Optimum would write one; with a fault, one without its windows."""
    asked, faults = [], []

    def export(name, weights, output, python, log):
        asked.append(name)
        build(weights, output)
        model = ir.external_data.load_to_model(load_graph(output / "model.onnx"))
        fix_cache_shapes(model)
        assert drop_windows(model) > 0 if faults else True
        ir.save(model, output / "model.onnx")
        return ProcessCost(what=f"exporting {name}", seconds=0.0, peak_bytes=0)

    monkeypatch.setattr(float_graph, "optimum_python", lambda cache, progress: "python")
    monkeypatch.setattr(float_graph, "export_with_optimum", export)
    return asked, faults


@pytest.fixture
def far_off(mended, tmp_path):
    """A Mistral whose window is longer than any text of the check."""
    folder = tmp_path / "far"
    shutil.copytree(mended("Mistral, windowed")[0], folder)
    config = {**read_json(folder / "config.json"), "sliding_window": 128}
    (folder / "config.json").write_text(json.dumps(config))
    return resolve(str(folder), tmp_path)


def test_optimum_exports_a_tiny_copy_first_where_a_border_lies_far_off(exporter, far_off, tmp_path):
    asked, _ = exporter
    made = convert(far_off, "fp32", tmp_path / "cache", export_backend=OPTIMUM)
    assert asked == ["a tiny copy of far", "far"]
    result = from_plain(EqualityResult, read_json(made.path / "source.json")["equality"], "source.json")
    assert max(result.configuration.share, result.weights.share) < 1e-4


def test_optimum_is_refused_on_the_tiny_copy_before_any_weight_is_read(exporter, far_off, tmp_path):
    asked, faults = exporter
    faults.append("no windows")
    with pytest.raises(EdgedraftError) as error:
        convert(far_off, "fp32", tmp_path / "cache", export_backend=OPTIMUM)
    assert asked == ["a tiny copy of far"]
    assert str(error.value).startswith("far: MistralForCausalLM: a tiny random copy of its configuration must be ")
    assert str(error.value).endswith(" - try the default, --export-backend builder, or another model")
    assert list((tmp_path / "cache" / "equality").iterdir()) == []
