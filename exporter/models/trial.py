"""Pack only the graph of a model's fp32 build in another precision, to try it; a whole conversion costs more."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from edgedraft.exporter.graph.precisions import precision_named
from edgedraft.exporter.models.convert import Conversion, OnnxFolder
from edgedraft.exporter.models.processes import run_python


def trial_folder(reference: OnnxFolder, precision: str, cache: Path, place: Path) -> OnnxFolder:
    """Return the conversion to ``precision`` if ``cache`` holds it, else a folder of the same name in ``place``.

    `pack_trial` fills it. ``reference`` is the model's fp32 build.
    """
    facts: dict[str, Any] = {"source": reference.source, "export_backend": reference.export_backend}
    kept = Conversion(precision=precision_named(precision), cache=cache, **facts).folder
    whole = OnnxFolder(path=kept, precision=precision, costs=(), **facts)
    return whole if whole.graph.is_file() else replace(whole, path=place / kept.name)


def pack_trial(folder: OnnxFolder, reference: OnnxFolder, cache: Path) -> None:
    """Pack the graph of ``reference`` in the precision of ``folder``, in a child process; skip it if done."""
    if folder.graph.is_file():
        return
    folder.path.mkdir(parents=True)
    arguments = ["-m", "edgedraft.exporter.graph.worker_pack", str(reference.graph), str(folder.path), folder.precision]
    log = cache / "logs" / f"{folder.key}-trial.log"
    run_python(f"packing {folder.source.name} {folder.precision} on trial", arguments, log)
