"""Exporting, benching and the quickstart from a program, as the command line does them."""

import dataclasses
import json

import pytest

import edgedraft
from edgedraft.__main__ import main
from edgedraft.exporter.pipeline.quickstart import quickstart
from edgedraft.exporter.pipeline.requests import QuickstartRequest
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import to_plain


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    file = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    lines = [{"id": str(number), "prompt": f"sort the list {number}"} for number in range(4)]
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return file


@pytest.fixture
def asked(tiny_pair, prompts, tmp_path):
    """What the tests ask for; it is planned for a device that is not here, so that no time is measured."""
    return {
        "target": str(tiny_pair.target),
        "drafter": str(tiny_pair.drafter),
        "cache": str(tiny_pair.cache),
        "target_precisions": ("fp32",),
        "drafter_precisions": ("fp32",),
        "max_new_tokens": 12,
        "threads": (2,),
        "prompts": str(prompts),
        "device": "rpi5",
        "vocab_size": 192,
        "output": str(tmp_path / "bundle"),
    }


def test_a_program_exports_what_the_command_does(asked, tmp_path, capsys):
    seen = set()
    bundle = edgedraft.export(edgedraft.ExportRequest(**asked), progress=lambda what, done, total: seen.add(what))
    assert bundle.path == tmp_path / "bundle"
    assert bundle.manifest.plan == bundle.decision.plan == edgedraft.load(bundle.path, threads=2).bundle.manifest.plan
    assert bundle.manifest.plan.draft_vocab_size == 192
    assert "bundle parts" in seen
    given = {
        name: value
        for name, value in asked.items()
        if name not in ("output", "target_precisions", "drafter_precisions")
    }
    flags = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", value)]
    flags = [str(part[0] if isinstance(part, tuple) else part) for part in flags]
    flags += ["--target-precision", "fp32", "--drafter-precision", "fp32", "--json"]
    assert main(["export", str(tmp_path / "by-command"), *flags]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["plan"] == json.loads(json.dumps(to_plain(bundle.manifest.plan)))
    assert told["calibration"] == json.loads(json.dumps(to_plain(bundle.manifest.calibration)))


def test_a_bundle_that_is_there_already_is_left_as_it_is(asked, tmp_path):
    from edgedraft.exporter.pipeline.export import export_bundle

    notes = []
    request = edgedraft.ExportRequest(**asked)
    edgedraft.export(request)
    before = (tmp_path / "bundle" / "edgedraft.json").stat().st_mtime_ns
    export_bundle(request, note=notes.append)
    assert f"{tmp_path / 'bundle'} already holds this bundle." in notes
    assert (tmp_path / "bundle" / "edgedraft.json").stat().st_mtime_ns == before


def test_a_folder_of_the_users_own_is_refused_before_any_work(asked, tmp_path):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "thesis.txt").write_text("years of work")
    nowhere = edgedraft.ExportRequest(**asked | {"target": "no-such-model"})
    with pytest.raises(EdgedraftError, match="exists and is not a bundle"):
        edgedraft.export(nowhere)


def test_a_program_benches_with_the_record_behind_json(tiny_bundle, prompts, capsys):
    request = edgedraft.BenchRequest(bundle=tiny_bundle, prompts=prompts, number=2, max_new_tokens=6, policies=())
    measurement = edgedraft.bench(request)
    assert list(measurement.report.ways) == ["target alone", "trimmed drafter"]
    arguments = ["bench", str(tiny_bundle), "--prompts", str(prompts), "-n", "2", "--max-new-tokens", "6", "--json"]
    assert main(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) == set(to_plain(measurement))
    same = ("draft_vocab_size", "draft_length", "threads", "onnxruntime", "machine")
    plain = json.loads(json.dumps(to_plain(measurement)))
    assert {name: told[name] for name in same} == {name: plain[name] for name in same}
    fixed = measurement.report.ways["trimmed drafter"]
    assert told["report"]["ways"]["trimmed drafter"]["draft_tokens_accepted"] == fixed.draft_tokens_accepted


def test_a_quickstart_returns_what_it_measured(asked, tmp_path):
    report = quickstart(QuickstartRequest(**asked, bench_prompts=1, bench_tokens=6))
    assert report.picture == tmp_path / "bundle.png"
    assert report.picture.is_file()
    assert list(report.measurement.report.ways) == [
        "target alone",
        "full-vocabulary drafter",
        "trimmed drafter",
        "trimmed drafter, adaptive",
    ]
    assert dataclasses.asdict(report.calibration)["scoring_prompts"] == 2


def test_a_bundle_with_rows_from_the_conversation(asked, tmp_path):
    """Exported, opened, and asked."""
    rows = asked | {"vocab_size": 64, "conversation_rows": 24}
    bundle = edgedraft.export(edgedraft.ExportRequest(**rows))
    assert (bundle.manifest.plan.conversation_rows, bundle.manifest.head_rows.rows) == (24, 1024)
    with edgedraft.load(bundle.path, threads=2) as model:
        drafted = model.generate("sort the list 1", options=edgedraft.DecodingOptions(policy="fixed", draft_length=3))
        plain = model.generate("sort the list 1", options=edgedraft.DecodingOptions(speculate=False))
    assert drafted.token_ids == plain.token_ids


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conversation_rows": 1025}, "conversation_rows: expected 0..1024, got 1025"),
        (
            {"conversation_rows": 8, "calibration": "saved"},
            "conversation_rows: a saved calibration holds no prompts to replay them on, got 8 - leave one of them out",
        ),
    ],
)
def test_rows_that_cannot_be_planned_are_refused_at_once(changes, message):
    with pytest.raises(EdgedraftError) as error:
        edgedraft.ExportRequest(output="bundle", **changes)
    assert str(error.value) == message
