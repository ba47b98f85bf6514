"""What the runtime costs beside the weights: import time, installed size, peak memory over the bundle's files.

    python tests/benchmarks/footprint.py BUNDLE [--max-new-tokens N]

Import time is the median of fresh interpreters. The installed size is that of an environment of its own with nothing
but the runtime. Peak memory is that of one process which opens the bundle and answers a prompt.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from edgedraft.console import Console

REPOSITORY = Path(__file__).resolve().parents[2]
IMPORTS = 9
NOT_OURS = ("onnxruntime", "numpy", "numpy.libs", "pip", "setuptools", "_distutils_hack", "pkg_resources")

_IMPORT = "import time; t = time.perf_counter(); import edgedraft.runtime.engine; print(time.perf_counter() - t)"
_ANSWER = """
import json, re, sys
from pathlib import Path
import edgedraft
model = edgedraft.load(sys.argv[1], verify_hashes=False)
model.generate("Write a Python function that merges two sorted lists.", max_new_tokens=int(sys.argv[2]))
status = Path("/proc/self/status").read_text()
sizes = {key: int(value) * 1024 for key, value in re.findall(r"(VmHWM|RssAnon|RssFile):\\s+(\\d+)", status)}
print(json.dumps({"kernels": str(model.kernels)} | sizes))
"""


def import_seconds(python: str) -> float:
    """Median over fresh interpreters."""
    runs = [
        subprocess.run([python, "-I", "-c", _IMPORT], check=True, capture_output=True, text=True)
        for _ in range(IMPORTS)
    ]
    return statistics.median(float(run.stdout) for run in runs)


def folder_bytes(folder: Path) -> int:
    """Bytes of the files below ``folder``."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())


def installed_bytes(site: Path) -> int:
    """Bytes of the packages in ``site`` that are neither onnxruntime nor numpy nor the installer's own."""
    kept = [entry for entry in site.iterdir() if not entry.name.startswith(NOT_OURS)]
    return sum(folder_bytes(entry) if entry.is_dir() else entry.stat().st_size for entry in kept)


def runtime_environment(folder: Path) -> tuple[str, Path]:
    """An environment with the runtime alone: its Python and its site-packages."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = str(folder / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", str(REPOSITORY)], check=True)
    return python, next((folder / "lib").glob("python*/site-packages"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--max-new-tokens", type=int, default=128)
    options = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        python, site = runtime_environment(Path(folder))
        rows = [
            ("import", f"{import_seconds(python):.3f} s"),
            ("installed beside onnxruntime and numpy", f"{installed_bytes(site) / 2**20:.1f} MiB"),
        ]
        command = [python, "-I", "-c", _ANSWER, str(options.bundle.resolve()), str(options.max_new_tokens)]
        memory = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    models = sum(folder_bytes(options.bundle / name) for name in ("target", "drafter"))
    rows += [
        ("kernels", memory["kernels"]),
        ("model files", f"{models / 2**20:.0f} MiB"),
        ("peak resident memory", f"{memory['VmHWM'] / 2**20:.0f} MiB, {memory['VmHWM'] / models:.2f} of the files"),
        ("of it not backed by files, at the end", f"{memory['RssAnon'] / 2**20:.0f} MiB"),
    ]
    console.table(("what", "figure"), rows)


if __name__ == "__main__":
    main()
