"""The quality gate: the target against its own fp32 build, measured once; nothing to compare with is said."""

import dataclasses
import json
import shutil

import pytest

from edgedraft.__main__ import main
from edgedraft.exporter.graph.worker_pack import pack_folder
from edgedraft.exporter.models.convert import AS_EXPORTED, OnnxFolder
from edgedraft.exporter.models.pair import Pair
from edgedraft.exporter.pipeline import quality
from edgedraft.exporter.pipeline.quality import JUDGED_ANSWERS, target_divergence
from edgedraft.runtime.base.errors import EdgedraftError


@pytest.fixture(scope="module")
def answers(tiny_planned):
    return tiny_planned[0].scoring_answers


@pytest.fixture(scope="module")
def packed_pair(tiny_opened, tmp_path_factory) -> Pair:
    """The tiny pair with its target in int4, packed from the build that is there."""
    root = tmp_path_factory.mktemp("gate")
    built, folder = root / "built", root / "tiny-int4"
    shutil.copytree(tiny_opened.target.path, built)
    folder.mkdir()
    pack_folder(built, folder, "int4")
    target = OnnxFolder(path=folder, source=tiny_opened.target.source, precision="int4", costs=())
    return Pair(target, tiny_opened.drafter, tiny_opened.settings)


def test_the_target_is_compared_with_its_float_build_once(packed_pair, tiny_pair, answers, monkeypatch):
    measured = target_divergence(packed_pair, answers, tiny_pair.cache)
    assert measured.precision == "int4"
    assert measured.positions == sum(len(entry.token_ids) for entry in answers[:JUDGED_ANSWERS])
    assert measured.kl_per_token > 0.01
    assert 0.1 < measured.greedy_agreement < 1
    monkeypatch.setattr(quality, "divergence", None)
    assert target_divergence(packed_pair, answers, tiny_pair.cache) == measured


def test_the_float_build_is_made_by_the_route_of_the_target(packed_pair, tiny_pair, answers, monkeypatch):
    """Two exporters round apart; what packing costs is told by the same one."""
    asked = []

    def convert(source, precision, cache, progress, export_backend):
        asked.append((source, precision, export_backend))
        raise EdgedraftError("far enough")

    monkeypatch.setattr(quality, "convert", convert)
    by_optimum = dataclasses.replace(packed_pair.target, export_backend="optimum")
    pair = Pair(by_optimum, packed_pair.drafter, packed_pair.settings)
    with pytest.raises(EdgedraftError, match="far enough"):
        target_divergence(pair, answers, tiny_pair.cache)
    assert asked == [(by_optimum.source, "fp32", "optimum")]


def test_fp32_does_not_stray_from_itself(tiny_opened, tiny_pair, answers):
    measured = target_divergence(tiny_opened, answers, tiny_pair.cache)
    assert (measured.kl_per_token, measured.greedy_agreement) == (0.0, 1.0)


def test_an_exported_folder_has_nothing_to_be_compared_with(packed_pair, tiny_pair, answers):
    exported = dataclasses.replace(packed_pair.target, precision=AS_EXPORTED)
    pair = Pair(exported, packed_pair.drafter, packed_pair.settings)
    with pytest.raises(EdgedraftError) as error:
        target_divergence(pair, answers, tiny_pair.cache)
    assert str(error.value) == (
        "--max-divergence: an ONNX folder has no fp32 build to compare with"
        " - start from the model the folder was exported from"
    )


def test_export_refuses_a_precision_above_the_bound_and_tells_what_it_measured(tiny_pair, tmp_path, capsys):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("\n".join(json.dumps({"id": str(i), "prompt": f"sort the list {i}"}) for i in range(4)))
    models = ["--target", str(tiny_pair.target), "--drafter", str(tiny_pair.drafter), "--drafter-precision", "fp32"]
    rest = ["--cache", str(tiny_pair.cache), "--prompts", str(prompts), "--max-new-tokens", "8", "--threads", "2"]
    bundle = tmp_path / "bundle"
    export = ["export", str(bundle), *models, *rest, "--max-divergence", "0", "--vocab-size", "128"]
    assert main([*export, "--target-precision", "int4"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("edgedraft: target precision int4: KL per token against fp32 must be at most 0, got ")
    assert not bundle.exists()
    assert main([*export, "--target-precision", "fp32"]) == 0
    assert "| KL 0.0000 nats a token, the same choice at 100.0% of " in (bundle / "README.md").read_text()
