"""Requests: checked when they are made, and both doors, program and command line, start from the same values."""

import dataclasses

import pytest

from edgedraft.__main__ import build_parser
from edgedraft.commands._options import request_of
from edgedraft.exporter.methods.balanced_run import BalancedOptions
from edgedraft.exporter.pipeline.count import CountRequest
from edgedraft.exporter.pipeline.export import PushRequest
from edgedraft.exporter.pipeline.report import CompareRequest
from edgedraft.exporter.pipeline.requests import (
    BenchRequest,
    CalibrateRequest,
    ExportRequest,
    PlanRequest,
    QuickstartRequest,
)
from edgedraft.exporter.pipeline.trim import TrimRequest
from edgedraft.exporter.pipeline.vocab import ConvertRequest, InspectRequest, VocabExportRequest
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.sampling import SamplingSettings

COMMANDS = [
    ("calibrate", CalibrateRequest, {}),
    ("plan", PlanRequest, {}),
    ("plan", BalancedOptions, {}),
    ("export out", ExportRequest, {"output": "out"}),
    ("quickstart", QuickstartRequest, {}),
    ("bench b", BenchRequest, {"bundle": "b"}),
    ("push b o/n", PushRequest, {"bundle": "b", "repository": "o/n"}),
    ("trim m", TrimRequest, {"model": "m"}),
    ("calibrate count d --output o", CountRequest, {"data": "d", "output": "o"}),
    ("calibrate compare a b", CompareRequest, {"listed": "a", "judged": "b"}),
    ("vocab inspect f", InspectRequest, {"file": "f"}),
    ("vocab convert f o --to json", ConvertRequest, {"file": "f", "output": "o", "to": "json"}),
    ("vocab export c o --to json --vocab-size 9", VocabExportRequest, {"counts": "c", "output": "o", "to": "json"}),
]


@pytest.mark.parametrize(("command", "record", "named"), COMMANDS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_command_without_options_asks_for_what_the_record_alone_does(command, record, named):
    parsed = request_of(record, build_parser().parse_args(command.split()))
    defaults = {field.name: field.default for field in dataclasses.fields(record)}
    for name, default in defaults.items():
        value = getattr(parsed, name)
        if name in named:
            assert str(value) == named[name]
        elif default is not dataclasses.MISSING:
            assert value == default, name


@pytest.mark.parametrize(
    ("command", "record", "expected"),
    [
        (
            "plan --target-precision int8 fp32 --threads 1 2 --rank-by text target --temperature 0.5 --logit-bias 7=-2",
            PlanRequest,
            {
                "target_precisions": ("int8", "fp32"),
                "threads": (1, 2),
                "rank_by": ("text", "target"),
                "sampling": SamplingSettings(temperature=0.5, logit_bias={7: -2.0}),
            },
        ),
        ("plan --memory-budget 4GB --min-coverage 0.5", PlanRequest, {"memory_budget": 4 * 10**9, "min_coverage": 0.5}),
        (
            "bench b -n 2 --policy ngram --policy confident --no-verify",
            BenchRequest,
            {"number": 2, "policies": ("ngram", "confident"), "verify_hashes": False},
        ),
        ("calibrate count d --output o --engine ray --shard 1/2", CountRequest, {"engine": "ray", "shard": "1/2"}),
    ],
)
def test_options_arrive_in_the_request(command, record, expected):
    parsed = request_of(record, build_parser().parse_args(command.split()))
    assert {name: getattr(parsed, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("record", "values", "message"),
    [
        (PlanRequest, {"target_precisions": ("int5",)}, r"target_precisions: expected names of .*int4.*, got .*int5"),
        (PlanRequest, {"target_precisions": "int4"}, r"target_precisions: expected a tuple of names, got 'int4'"),
        (PlanRequest, {"drafter_precisions": ()}, r"drafter_precisions: expected names of .*, got none"),
        (PlanRequest, {"export_backend": "magic"}, r"export_backend: expected names of builder, optimum, got magic"),
        (PlanRequest, {"engine": "dask"}, r"engine: expected names of local, ray, got dask"),
        (PlanRequest, {"rank_by": ("luck",)}, r"rank_by: expected names of .*, got luck"),
        (PlanRequest, {"threads": (2, 0)}, r"threads: expected 1\.\.\d+ on this machine, got 0"),
        (PlanRequest, {"max_new_tokens": 0}, r"max_new_tokens: expected 1 or more, got 0"),
        (PlanRequest, {"provider": "abacus"}, r"provider: expected names of cpu, .*, got abacus"),
        (PlanRequest, {"memory_budget": 0}, r"memory_budget: expected 1 or more, got 0"),
        (PlanRequest, {"min_coverage": 1.5}, r"min_coverage: expected 0\.\.1, got 1\.5"),
        (PlanRequest, {"max_divergence": -1.0}, r"max_divergence: expected 0 or more, got -1\.0"),
        (QuickstartRequest, {"bench_tokens": 0}, r"bench_tokens: expected 1 or more, got 0"),
        (BenchRequest, {"bundle": "b", "policies": ("eager",)}, r"policy: expected one of .*, got eager"),
        (BenchRequest, {"bundle": "b", "number": 0}, r"number: expected 1 or more, got 0"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_field(record, values, message):
    with pytest.raises(EdgedraftError, match=message):
        record(**values)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (None, ["fixed", "adaptive"]),
        ("fixed", ["fixed", "adaptive"]),
        ("ngram", ["fixed", "ngram", "adaptive"]),
        ("adaptive", ["fixed", "adaptive"]),
    ],
)
def test_a_bench_runs_the_plans_own_policy_too(policy, expected, make_plan):
    choices = BenchRequest(bundle="b").choices(make_plan(policy=policy, draft_length=4))
    assert [(choice.name, choice.draft_length) for choice in choices] == [(name, 4) for name in expected]
