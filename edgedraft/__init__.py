"""edgedraft: trim a drafter's vocabulary for your domain and device, run it there, and measure what it gains.

import edgedraft

model = edgedraft.load("quickstart-bundle")
print(model.generate("Write a function that reverses a linked list."))
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from edgedraft.runtime.base.errors import EdgedraftError, naming_missing_extra
from edgedraft.runtime.base.progress import Progress, silent

if TYPE_CHECKING:
    from edgedraft.exporter.pipeline.bench import Measurement
    from edgedraft.exporter.pipeline.export import ExportedBundle
    from edgedraft.exporter.pipeline.requests import BenchRequest, ExportRequest
    from edgedraft.runtime.core.sampling import SamplingSettings
    from edgedraft.runtime.engine import DecodingOptions, Engine
    from edgedraft.runtime.text.streaming import Answer

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "BenchRequest",
    "DecodingOptions",
    "EdgedraftError",
    "Engine",
    "ExportRequest",
    "SamplingSettings",
    "__version__",
    "bench",
    "export",
    "load",
]

_HOMES = {
    "Answer": "runtime.text.streaming",
    "BenchRequest": "exporter.pipeline.requests",
    "DecodingOptions": "runtime.engine",
    "Engine": "runtime.engine",
    "ExportRequest": "exporter.pipeline.requests",
    "SamplingSettings": "runtime.core.sampling",
}
"""Modules of the public classes. They are imported when first asked for: ``import edgedraft`` alone loads no numpy."""


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgedraft' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"edgedraft.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load(
    bundle: str | Path,
    *,
    threads: int | None = None,
    context_length: int | None = None,
    verify_hashes: bool = True,
    target_provider: str = "cpu",
    drafter_provider: str = "cpu",
    exact: bool | None = None,
    tuned: bool = True,
    revision: str | None = None,
    progress: Progress = silent,
) -> "Engine":
    """Check the bundle ``bundle`` and open it, by the plan that `edgedraft tune` made here, if it did.

    ``bundle`` is a folder or, as a string that names no folder here, a hub id: ``ORG/NAME`` or ``ORG/NAME@REVISION``.
    Its files are downloaded once into the hub client's cache, reported to ``progress``. ``revision``, a branch, tag or
    commit, pins it.

    ``threads`` overrides the number of threads in the plan. ``context_length`` limits prompt and answer together, in
    tokens; the default is 2,048. Providers are onnxruntime's execution providers by short name: ``webgpu`` is any GPU,
    with ``edgedraft[webgpu]``. The two may differ: a drafter on the CPU can serve a target on the GPU. ``exact=True``
    requires exact mode: greedy texts are then the target's own, token for token, with any drafter. By default exact
    mode is on where it is possible and costs less than 3 % of the speed; `Engine.exactness` says whether it is on.
    ``tuned=False`` keeps to the plan inside the bundle.
    Raises `EdgedraftError` if a file of the bundle is missing or changed, if a provider is not available, or if
    ``exact=True`` is not possible, or if the hub cannot be reached and no copy is here.

    >>> model = load("quickstart-bundle")  # doctest: +SKIP
    >>> for piece in model.stream("Reverse a list in Python."):  # doctest: +SKIP
    ...     print(piece.text, end="", flush=True)
    """
    from edgedraft.devices.tuning.opening import tuned_for
    from edgedraft.runtime.bundle.hub import bundle_folder
    from edgedraft.runtime.core.model import CONTEXT_LENGTH
    from edgedraft.runtime.engine import Engine

    return Engine.open(
        bundle_folder(bundle, revision, progress),
        threads=threads,
        context_length=CONTEXT_LENGTH if context_length is None else context_length,
        verify_hashes=verify_hashes,
        target_provider=target_provider,
        drafter_provider=drafter_provider,
        exact=exact,
        tuned=tuned_for(target_provider, drafter_provider, tuned=tuned),
    )


def export(request: "ExportRequest", *, progress: Progress = silent) -> "ExportedBundle":
    """Calibrate a pair on prompts, plan for the device, and write the bundle; return its path and manifest.

    ``progress(what, done, total)`` is called during the work. Finished stages are kept in the cache folder, so a call
    that was stopped continues there. Needs ``edgedraft[export]``. Raises `EdgedraftError` for errors that the user can
    correct.

    >>> request = ExportRequest(target="my-target", drafter="my-drafter", output="bundle")  # doctest: +SKIP
    >>> export(request).manifest.plan.draft_vocab_size  # doctest: +SKIP
    """
    with naming_missing_extra("export"):
        from edgedraft.exporter.pipeline.export import export_bundle

        return export_bundle(request, progress)


def bench(request: "BenchRequest", *, progress: Progress = silent) -> "Measurement":
    """Measure a bundle on this machine: the target alone against speculation, prompt by prompt.

    Returns the record that ``edgedraft bench --json`` prints. ``progress(what, done, total)`` counts the runs. Raises
    `EdgedraftError` for errors that the user can correct.

    >>> bench(BenchRequest(bundle="quickstart-bundle")).report.ways["trimmed drafter"].speed_up  # doctest: +SKIP
    """
    with naming_missing_extra("export"):
        from edgedraft.exporter.pipeline.bench import bench_bundle

        return bench_bundle(request, progress)
