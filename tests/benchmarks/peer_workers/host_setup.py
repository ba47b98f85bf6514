"""What the peers need on disk, made once: their own environment and llama.cpp's programs."""

import subprocess
import sys
import tarfile
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Newer torch wheels pull gigabytes of CUDA libraries.
REQUIREMENTS = (
    *("onnxruntime-genai>=0.18,<0.19", "onnxruntime", "torch==2.13.0", "transformers>=5,<6"),
    *("accelerate", "gguf", "tokenizers", "openvino-genai==2026.4.1.0"),
)
LLAMA_CARRIER = "llama-cpp-python==0.3.36"
PROGRAMS = ("llama-bench", "llama-completion", "llama-speculative-simple")
# Virtual machines may announce AMX and then stop programs that use it; llama.cpp runs its AVX-512 kernels instead.
_NO_AMX = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
_CMAKE = (
    *(f"-DCMAKE_C_FLAGS={_NO_AMX}", f"-DCMAKE_CXX_FLAGS={_NO_AMX}"),
    *("-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DLLAMA_CURL=OFF", "-DLLAMA_OPENSSL=OFF"),
    *("-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_SERVER=OFF", "-DLLAMA_BUILD_UI=OFF"),
    *("-DLLAMA_BUILD_EXAMPLES=ON", "-DLLAMA_BUILD_TOOLS=ON"),
)


@dataclass(frozen=True, kw_only=True)
class Programs:
    """Where llama.cpp's programs lie, and which llama.cpp they are."""

    folder: Path
    version: str


def peer_python(work: Path) -> Path:
    """The interpreter of the peers' own environment, installed the first time and when the requirements change."""
    folder = work / "environment"
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    marker, wanted = folder / "requirements.installed", "\n".join(REQUIREMENTS)
    if not (marker.is_file() and marker.read_text(encoding="utf-8") == wanted):
        note(f"installing the peers into {folder}")
        venv.create(folder, with_pip=True, clear=True, symlinks=sys.platform != "win32")
        _run([str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS], work / "logs" / "install.log")
        marker.write_text(wanted, encoding="utf-8")
    return python


def llama_programs(work: Path, python: Path, jobs: int) -> Programs:
    """llama.cpp as `LLAMA_CARRIER` carries it, built in release mode for this processor the first time."""
    folder = work / "llama"
    binaries = folder / "build" / "bin"
    if not all((binaries / name).is_file() for name in PROGRAMS):
        note(f"building llama.cpp in {folder} (several minutes)")
        source = _llama_source(folder, python, work / "logs")
        build = str(folder / "build")
        _run(["cmake", "-S", str(source), "-B", build, *_CMAKE], work / "logs" / "llama-configure.log")
        command = ["cmake", "--build", build, "--parallel", str(jobs), "--target", *PROGRAMS]
        _run(command, work / "logs" / "llama-build.log")
    told = subprocess.run([str(binaries / PROGRAMS[1]), "--version"], capture_output=True, text=True, check=True)
    lines = [line for line in (told.stdout + told.stderr).splitlines() if line.startswith("version:")]
    version = lines[0].removeprefix("version:").strip() if lines else "unknown"
    return Programs(folder=binaries, version=f"{version}, of {LLAMA_CARRIER.replace('==', ' ')}")


def note(text: str) -> None:
    """A line about progress, beside the report."""
    print(text, file=sys.stderr, flush=True)


def _llama_source(folder: Path, python: Path, logs: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pattern = f"{LLAMA_CARRIER.partition('==')[0].replace('-', '_')}-*.tar.gz"
    if not list(folder.glob(pattern)):
        download = ("-m", "pip", "download", "--no-deps", "--no-binary", ":all:", LLAMA_CARRIER, "-d", str(folder))
        _run([str(python), *download], logs / "llama-download.log")
    archive = next(iter(folder.glob(pattern)))
    source = folder / archive.name.removesuffix(".tar.gz") / "vendor" / "llama.cpp"
    if not (source / "CMakeLists.txt").is_file():
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
    return source


def _run(command: Sequence[str], log: Path) -> None:
    """Run a command that must succeed, its output in ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        try:
            code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
        except FileNotFoundError:
            raise SystemExit(f"peers: {command[0]} is not installed") from None
    if code != 0:
        raise SystemExit(f"peers: {' '.join(command[:4])} … failed with {code}: see {log}")
