"""A plan's times hold for the kernels that they were measured with; sessions use these where they can."""

import json

import numpy as np
import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.kernel_names import UNRECORDED, PairKernels
from edgedraft.runtime.base.records import from_plain
from edgedraft.runtime.bundle.manifest import MANIFEST_NAME
from edgedraft.runtime.engine import Engine
from edgedraft.runtime.onnx.kernel_choice import kernels_to_time, planned_setting, setting_or_auto
from edgedraft.runtime.onnx.planned_kernels import as_planned, kernels_remark, timed_as_run
from edgedraft.runtime.onnx.session import SessionSettings
from tests.runtime.native.conftest import library  # noqa: F401
from tests.runtime.native.graphs import product_graph
from tests.runtime.native.matrices import random_matrix

BUILT = "edgedraft.runtime.onnx.kernel_choice.own_kernels"
VNNI, STOCK = (PairKernels(target=name, drafter=name) for name in ("avx512vnni", "stock"))


@pytest.fixture
def path(tmp_path):
    """A graph of one product that own kernels compute."""
    file = tmp_path / "model.onnx"
    file.write_bytes(
        product_graph(random_matrix(np.random.default_rng(0), columns=40, depth=96, block_size=32, bits=4))
    )
    return file


@pytest.fixture
def best(library, monkeypatch):  # noqa: F811
    """Simulate a CPU on which this kernel is the best that runs."""

    def choose(name):
        monkeypatch.delenv("EDGEDRAFT_KERNELS", raising=False)
        monkeypatch.setattr(type(library), "chosen", lambda self: name)
        monkeypatch.setattr(BUILT, lambda: library)

    return choose


@pytest.mark.parametrize(
    ("name", "timed"),
    [
        ("avx512vnni", ("avx512vnni",)),
        ("avxvnni", ("avxvnni",)),
        ("avx2", ("avx2",)),
        ("i8mm", ("stock", "i8mm")),
        ("dotprod", ("stock", "dotprod")),
        ("portable", ("stock",)),
        ("stock", ("stock",)),
    ],
)
def test_timing_decides_where_nobody_measured_which_kernels_are_faster(path, best, name, timed):
    best(name)
    assert kernels_to_time(path, "cpu", "auto") == timed


def test_kernels_that_the_user_forces_are_timed_beside_stock(path, best, monkeypatch):
    best("dotprod")
    monkeypatch.setenv("EDGEDRAFT_KERNELS", "dotprod")
    assert kernels_to_time(path, "cpu", "auto") == ("stock", "dotprod")
    assert setting_or_auto(path, "cpu", "stock") == "stock"


def test_nothing_is_left_to_timing_where_only_one_choice_runs(path, best, monkeypatch):
    best("avx2")
    assert kernels_to_time(path, "webgpu", "auto") == ("stock",)
    assert kernels_to_time(path, "cpu", "stock") == ("stock",)
    monkeypatch.setattr(BUILT, lambda: None)
    assert kernels_to_time(path, "cpu", "auto") == ("stock",)


@pytest.mark.parametrize(("planned", "asked"), [("avx2", "avx2"), ("stock", "stock"), ("", "auto")])
def test_sessions_take_the_kernels_of_the_plan(path, best, planned, asked):
    best("avx2")
    assert as_planned(SessionSettings(threads=2), path, planned).kernels == asked


def test_sessions_that_must_be_exact_take_own_kernels_of_the_plan(path, best):
    """Where nobody measured own kernels on such a CPU, "auto" would be stock ones, and exact mode refused."""
    best("avx2")
    assert as_planned(SessionSettings(threads=2, exact=True), path, "avx2").kernels == "avx2"


@pytest.mark.parametrize(
    "settings",
    [SessionSettings(threads=2, kernels="portable"), SessionSettings(threads=2, kernels="auto", exact=True)],
)
def test_settings_go_before_the_plan(path, best, settings):
    best("avx2")
    assert as_planned(settings, path, "stock") == settings


def test_the_environment_goes_before_the_plan(path, best, monkeypatch):
    best("avx2")
    monkeypatch.setenv("EDGEDRAFT_KERNELS", "avx2")
    assert planned_setting(path, "cpu", "stock") == "auto"


def test_kernels_that_do_not_run_here_leave_the_choice_to_the_session(path, monkeypatch):
    assert planned_setting(path, "cpu", "avx9000") == "auto"
    assert planned_setting(path, "webgpu", "avx2") == "auto"
    monkeypatch.setattr(BUILT, lambda: None)
    assert planned_setting(path, "cpu", "avx2") == "auto"


@pytest.mark.parametrize(
    ("planned", "running", "holds"),
    [
        ("stock", "stock", True),
        ("avx2", "avx2", True),
        ("", "stock", True),
        ("", "avx2", False),
        ("avx2", "stock", False),
    ],
)
def test_times_hold_for_the_kernels_they_are_of(planned, running, holds):
    assert timed_as_run(planned, running) == holds


@pytest.mark.parametrize(
    ("planned", "running", "default", "remark"),
    [
        (VNNI, VNNI, VNNI, None),
        (UNRECORDED, STOCK, STOCK, None),
        (PairKernels(target="avx2", drafter="stock"), PairKernels(target="avx2", drafter="stock"), STOCK, None),
        (STOCK, VNNI, VNNI, "expected pass times of avx512vnni kernels, which run here, got those of stock kernels"),
        (
            UNRECORDED,
            VNNI,
            VNNI,
            "expected pass times of avx512vnni kernels, which run here, got those of kernels that were not recorded",
        ),
        (
            PairKernels(target="avx2", drafter="stock"),
            STOCK,
            STOCK,
            "expected pass times of stock kernels, which run here, "
            "got those of avx2 kernels for the target and stock kernels for the drafter",
        ),
        (
            STOCK,
            STOCK,
            VNNI,
            "expected avx512vnni kernels, which run here and are faster, got stock kernels, as planned",
        ),
    ],
)
def test_a_plan_of_other_kernels_is_told_in_one_line(planned, running, default, remark):
    expected = remark and f"plan: {remark} - plan again on this machine (edgedraft export)"
    assert kernels_remark(planned, running, default) == expected


@pytest.mark.parametrize("name", ["AVX2", "a b", "avx2\n", "x" * 33, "\x1b[31m"])
def test_a_name_that_no_kernel_has_is_refused_with_its_key(name):
    with pytest.raises(EdgedraftError, match=r"^kernels: drafter: expected a kernel's name"):
        from_plain(PairKernels, {"drafter": name}, "plan: kernels")


def with_kernels(bundle, copy, kernels):
    """Return a copy of the bundle whose plan records these kernels."""
    for file in bundle.rglob("*"):
        if file.is_file():
            (copy / file.relative_to(bundle)).parent.mkdir(parents=True, exist_ok=True)
            (copy / file.relative_to(bundle)).write_bytes(file.read_bytes())
    manifest = json.loads((copy / MANIFEST_NAME).read_text())
    manifest["plan"].pop("kernels", None)
    manifest["plan"] |= {"kernels": kernels} if kernels else {}
    (copy / MANIFEST_NAME).write_text(json.dumps(manifest))
    return copy


@pytest.mark.parametrize(
    ("kernels", "remark"),
    [
        (None, None),
        ({"target": "stock", "drafter": "stock"}, None),
        (
            {"target": "avx512vnni", "drafter": "stock"},
            "plan: expected pass times of stock kernels, which run here, got",
        ),
    ],
)
def test_an_engine_says_where_its_plan_is_of_other_kernels(ledger_bundle, tmp_path, kernels, remark):
    engine = Engine.open(with_kernels(ledger_bundle, tmp_path, kernels), context_length=256)
    assert engine.kernels == STOCK, "no own kernel computes fp32"
    assert (engine.kernels_remark or "").startswith(remark or "")
    assert (engine.kernels_remark is None) == (remark is None)


def test_a_plan_for_another_provider_is_not_compared(ledger_bundle, tmp_path):
    engine = Engine.open(with_kernels(ledger_bundle, tmp_path, {"target": "avx2"}), context_length=256)
    engine.settings = SessionSettings(threads=2, provider="webgpu")
    assert engine.kernels_remark is None
