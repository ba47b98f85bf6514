"""Each fault gives one problem and its line; a sound installation gives none."""

from dataclasses import replace

import pytest

from edgedraft.devices.doctor.advice import problems_of
from edgedraft.devices.doctor.facts import Packages, ProviderTrial, Resources
from edgedraft.runtime.native.library import KernelState

GIB = 2**30
PACKAGES = Packages(
    python="3.11.7",
    versions={"numpy": "2.0"},
    extras={"": (), "serve": ("uvicorn",)},
    onnxruntimes=("onnxruntime",),
)
PROVIDERS = (ProviderTrial(name="cpu", runs=True), ProviderTrial(name="cuda", runs=False, reason="no driver"))
KERNELS = KernelState(library="/x.so", kernels={"avx2": True}, chosen="avx2")
RESOURCES = Resources(
    machine="a laptop",
    cores=4,
    usable_cores=4,
    memory_bytes=16 * GIB,
    memory_free_bytes=8 * GIB,
    memory_limit_bytes=None,
    huge_pages="madvise",
    cache="/home/me/.cache/edgedraft",
    disk_free_bytes=50 * GIB,
)


def problems(packages=PACKAGES, providers=PROVIDERS, kernels=KERNELS, resources=RESOURCES):
    return [(each.what, each.mend) for each in problems_of(packages, providers, kernels, resources)]


def test_a_sound_installation_has_no_problem():
    """Missing extras and providers without a driver are facts, not problems."""
    assert problems() == []


@pytest.mark.parametrize("flavour", ["onnxruntime-gpu", "onnxruntime-directml"])
def test_flavours_that_overwrite_each_other(flavour):
    names = tuple(sorted(("onnxruntime", flavour)))
    assert problems(packages=replace(PACKAGES, onnxruntimes=names)) == [
        (
            f"onnxruntime and {flavour} share one folder: each overwrites the other's files",
            f"pip uninstall -y onnxruntime {flavour} && pip install {flavour}",
        )
    ]


def test_another_flavour_alone_is_no_missing_onnxruntime():
    packages = replace(PACKAGES, extras={"": ("onnxruntime",)}, onnxruntimes=("onnxruntime-gpu",))
    assert problems(packages=packages) == []


def test_a_missing_package():
    packages = replace(PACKAGES, extras={"": ("jinja2",)})
    assert problems(packages=packages) == [("jinja2 is not installed", "pip install jinja2")]


def test_a_processor_that_onnxruntime_cannot_use():
    found = problems(providers=(ProviderTrial(name="cpu", runs=False, reason="its process ended with code -4"),))
    what = "the CPU provider does not run: its process ended with code -4"
    assert found == [(what, "pip install --force-reinstall onnxruntime")]


def test_kernels_that_were_not_built():
    [(what, mend)] = problems(kernels=KernelState(library=None, kernels={}, chosen="stock"))
    assert what.startswith("own kernels were not built") and "g++" in mend


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"memory_free_bytes": GIB}, "1.0 GiB of memory are free"),
        ({"memory_limit_bytes": GIB}, "1.0 GiB of memory are free"),
        ({"memory_free_bytes": None, "memory_bytes": GIB}, "1.0 GiB of memory are free"),
        ({"disk_free_bytes": GIB}, "1.0 GiB of disk are free at /home/me/.cache/edgedraft"),
        ({"huge_pages": "never"}, "huge pages are off"),
    ],
)
def test_scarce_resources(change, said):
    [(what, _)] = problems(resources=replace(RESOURCES, **change))
    assert what.startswith(said)
