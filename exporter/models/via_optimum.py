"""The export backends, and the second of them: Optimum, in an environment of its own with an older transformers.

Nothing here loads onnx-ir: the command line reads the backends' names before it knows which packages there are.
"""

import os
import sys
from pathlib import Path

from edgedraft.exporter.models.processes import ProcessCost, run_python
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.kept import short_sum
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.replacing import replacing_folder

BUILDER, OPTIMUM = EXPORT_BACKENDS = ("builder", "optimum")
"""The makers of the float graph: onnxruntime-genai's model builder, or Optimum in an environment of its own."""

OPTIMUM_PINS = (
    "optimum-onnx==0.1.0",
    "transformers>=4.56,<4.58",
    "accelerate>=1.0",  # with it Optimum finds tied weights and keeps them once
    "torch>=2.6,<2.14",
    "onnx>=1.18",
    "onnxruntime>=1.20",
)
"""The packages of the environment, the same as in ``edgedraft[optimum]``."""

OWN_PYTHON = "EDGEDRAFT_OPTIMUM_PYTHON"
"""Environment variable that names the Python of an environment that the user has made."""

_GRAPH = "model.onnx"
_WORKER = Path(__file__).with_name("worker_optimum.py")
_STEPS = "making Optimum's environment"


def optimum_python(cache: Path, progress: Progress = silent) -> Path:
    """Return the Python that runs Optimum: the user's own, or one in ``cache`` that is made on first use."""
    if own := os.environ.get(OWN_PYTHON):
        require(
            Path(own).is_file(), f"{OWN_PYTHON}: no such Python", got=own, remedy="name an interpreter, or unset it"
        )
        return Path(own)
    folder = cache / "optimum" / _key()
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.is_file():
        log = cache / "logs" / f"optimum-{folder.name}.log"
        with replacing_folder(folder) as temporary:
            _make(temporary, temporary / python.relative_to(folder), log, progress)
    return python


def export_with_optimum(name: str, weights: Path, output: Path, python: Path, log: Path) -> ProcessCost:
    """Write ``output/model.onnx``, float32, and nothing else, from the Hugging Face folder ``weights``."""
    # -I: neither our packages nor the user's may be found in the other environment.
    cost = run_python(f"exporting {name} with Optimum", ["-I", str(_WORKER), str(weights), str(output)], log, python)
    for file in output.iterdir():
        if not file.name.startswith(_GRAPH):
            file.unlink()
    return cost


def _key() -> str:
    """Name the environment by its content."""
    facts = [*OPTIMUM_PINS, sys.version_info[:2], sys.platform]
    return short_sum(facts)


def _make(folder: Path, python: Path, log: Path, progress: Progress) -> None:
    """Make a virtual environment with Optimum; a failure of pip becomes an error of one line."""
    quietly = ["--quiet", "--disable-pip-version-check", "--no-input"]
    try:
        progress(_STEPS, 0, 2)
        run_python(_STEPS, ["-m", "venv", str(folder)], log)
        progress(_STEPS, 1, 2)
        run_python(_STEPS, ["-I", "-m", "pip", "install", *quietly, *OPTIMUM_PINS], log, python)
        progress(_STEPS, 2, 2)
    except EdgedraftError as error:
        own = f'pip install "edgedraft[optimum]" in an environment of your own and name its Python in {OWN_PYTHON}'
        raise EdgedraftError(
            "Optimum's environment cannot be made here",
            got=error.got,
            remedy=f"check the network (the whole log is in {log}), or {own}",
        ) from error
