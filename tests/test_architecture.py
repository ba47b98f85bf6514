"""The house keeps its shape: imports run down, third-party packages stay in their rooms, packaging is complete."""

import ast
import subprocess
import sys
import tomllib
import zipfile
from functools import cache
from pathlib import Path

import pytest

import edgedraft

REPOSITORY = Path(__file__).resolve().parents[1]
ROOMS = ("runtime", "devices", "calibration", "exporter", "edgedraft")
# Floors inside a room, lowest first. A floor imports itself and those left of it. Peers joined by "·" do not import
# each other, parts joined by "," may. A name is a folder, or a file that stands directly in the room.
FLOORS = {
    "runtime": "base → core → bundle · text · native → onnx → engine, slots, bench → serving · talk",
    "exporter": "graph · vocab → equality → models → planning → methods · bundle → pipeline → pages",
}
OURS = {"edgedraft", "_typeshed"}  # the second holds types alone, and is never loaded
NO_ONNXRUNTIME = ("edgedraft.runtime.core", "edgedraft.exporter.planning")
RUNTIME_PACKAGES = {"numpy", "onnxruntime", "tokenizers", "huggingface_hub", "jinja2", "safetensors"}
ALLOWED = {
    "runtime": RUNTIME_PACKAGES
    | {"onnxruntime_ep_webgpu", "starlette", "uvicorn", "segno", "cryptography", "adbutils"},
    "devices": {"numpy", "psutil", "onnx", "tomli_w"},
    "calibration": {"numpy", "pyarrow", "datasets", "httpx", "ray"},
    "exporter": {
        *(
            "numpy",
            "onnx_ir",
            "torch",
            "transformers",
            "matplotlib",
            "optuna",
            "psutil",
            "huggingface_hub",
        ),
        *("gguf", "flatbuffers", "optimum", "onnxruntime_genai"),
    },
    "edgedraft": {"argcomplete"},
}
# Libraries that only one file may know, so that changing one stays a change in one place.
ONE_FILE = {
    "onnxruntime": "runtime/onnx/providers.py",
    "onnxruntime_ep_webgpu": "runtime/onnx/providers.py",
    "torch": {
        "exporter/equality/reference.py",
        "exporter/equality/tiny_copy.py",
        "exporter/models/builder_mends.py",
        "exporter/models/rotary.py",
        "exporter/vocab/torch_files.py",
    },
    "onnxruntime_genai": "exporter/models/worker_build.py",
    "matplotlib": "exporter/planning/figures.py",
    "onnx": "devices/probing/graphs.py",
    "optuna": "exporter/planning/search.py",
    "safetensors": "runtime/base/tensors.py",
    "gguf": "exporter/vocab/engine_files.py",
    "optimum": "exporter/models/worker_optimum.py",
    "flatbuffers": "exporter/vocab/engine_files.py",
    "tomli_w": "devices/profile_file.py",
    "tokenizers": {"runtime/text/codec.py", "runtime/text/special_tokens.py", "runtime/text/tokenizer_limits.py"},
    "jinja2": {
        "runtime/text/chat_template.py",
        "runtime/text/template_budget.py",
        "runtime/text/template_growth.py",
        "runtime/text/template_sandbox.py",
    },
    "starlette": {"runtime/serving/openai/app.py", "runtime/serving/page_server.py"},
    "uvicorn": "runtime/serving/front/server.py",
    "segno": "runtime/serving/listening.py",
    "cryptography": "runtime/serving/certificate.py",
    "adbutils": "runtime/serving/adb.py",
    "pyarrow": "calibration/data/tables.py",
    "datasets": "calibration/data/tables.py",
    "httpx": "calibration/answers/server.py",
    "ray": "calibration/ray_engine.py",
    "argcomplete": "edgedraft/commands/completion.py",
}


def sources():
    return [path for room in ROOMS for path in sorted((REPOSITORY / room).rglob("*.py"))]


def room_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).parts[0]


@cache
def imported_modules(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def imported_roots(path: Path) -> set[str]:
    return {module.split(".")[0] for module in imported_modules(path)}


def inside_package(path: Path) -> Path:
    return path if path.parts[0] == "edgedraft" else Path("edgedraft") / path


def our_room(module: str) -> str | None:
    parts = module.split(".")
    if parts[0] != "edgedraft":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else "edgedraft"


def floors_of(room: str) -> dict[str, tuple[int, int]]:
    """Where each part of a room stands: its floor's number, and which of the floor's peers it belongs to."""
    return {
        name.strip(): (number, peer)
        for number, floor in enumerate(FLOORS[room].split("→"))
        for peer, names in enumerate(floor.split("·"))
        for name in names.split(",")
    }


def part_of(module: str, room: str) -> str | None:
    """The part of ``room`` that a dotted module name leads to; None outside the room."""
    parts = module.split(".")
    return parts[2] if parts[:2] == ["edgedraft", room] and len(parts) > 2 else None


def importable(package: str) -> list[str]:
    folder = REPOSITORY.joinpath(*package.split(".")[1:])
    return [f"{package}.{path.stem}" for path in sorted(folder.glob("*.py")) if path.stem != "__init__"]


def test_the_type_checkers_see_every_part_of_the_front_door():
    parts = {path.name for path in (REPOSITORY / "edgedraft").iterdir()} - {"__pycache__", "py.typed"}
    assert parts - {path.name for path in (REPOSITORY / "tests" / "typing" / "edgedraft").iterdir()} == set()


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_imports_run_down(path):
    here = ROOMS.index(room_of(path))
    rooms = {our_room(module) for module in imported_modules(path)} - {None}
    assert {room for room in rooms if ROOMS.index(room) > here} == set()


@pytest.mark.parametrize("room", FLOORS)
def test_every_part_of_a_room_stands_on_a_floor(room):
    folders = {path.parent.name for path in (REPOSITORY / room).glob("*/__init__.py")}
    files = {path.stem for path in (REPOSITORY / room).glob("*.py")} - {"__init__"}
    assert (folders | files) - set(floors_of(room)) == set()


@pytest.mark.parametrize(
    "path", [path for path in sources() if room_of(path) in FLOORS], ids=lambda path: str(path.relative_to(REPOSITORY))
)
def test_imports_run_down_inside_a_room(path):
    room = room_of(path)
    floors = floors_of(room)
    part = path.relative_to(REPOSITORY / room).parts[0].removesuffix(".py")
    if part == "__init__":
        return
    number, peer = floors[part]
    reached = {part_of(module, room) for module in imported_modules(path)} - {None}
    upward = {name for name in reached if floors[name][0] > number}
    sideways = {name for name in reached if floors[name][0] == number and floors[name][1] != peer}
    assert (upward, sideways) == (set(), set())


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_only_the_command_line_knows_argparse_and_the_commands(path):
    """The parser turns options into requests; what is below takes requests, never a Namespace."""
    parsers = {REPOSITORY / "edgedraft" / "__main__.py", *(REPOSITORY / "edgedraft" / "commands").glob("*.py")}
    if path not in parsers:
        names = {
            node.id for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Name)
        }
        assert "argparse" not in imported_roots(path) | names
        assert {module for module in imported_modules(path) if module.startswith("edgedraft.commands")} == set()


def test_the_command_line_stays_thin():
    lines = sum(path.read_text(encoding="utf-8").count("\n") for path in (REPOSITORY / "edgedraft").rglob("*.py"))
    assert lines <= 3000


@pytest.mark.parametrize("path", sorted((REPOSITORY / "runtime" / "core").glob("*.py")), ids=lambda path: path.stem)
def test_the_algorithm_knows_no_file_and_no_clock(path):
    assert imported_roots(path) & {"time", "pathlib", "os", "io", "mmap", "tempfile", "datetime"} == set()


@pytest.mark.parametrize("package", NO_ONNXRUNTIME)
def test_pure_parts_load_no_onnxruntime(package):
    script = f"import sys, {', '.join(importable(package))}; print('onnxruntime' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_third_party_packages_stay_in_their_rooms(path):
    foreign = {root for root in imported_roots(path) - OURS if root not in sys.stdlib_module_names}
    assert foreign <= ALLOWED[room_of(path)]


def test_a_class_name_has_one_meaning():
    """Names of private classes count too: a reader meets them in the same tracebacks."""
    places = {}
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name.lstrip("_"), []).append(str(path.relative_to(REPOSITORY)))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_array_types_get_their_names_in_one_file():
    named = {
        str(path.relative_to(REPOSITORY))
        for path in sources()
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and "NDArray[" in ast.unparse(node)
    }
    assert named == {"runtime/base/arrays.py"}


def test_some_libraries_are_known_to_one_file_only():
    users = {
        library: {
            str(p.relative_to(REPOSITORY))
            for p in sources()
            if library in {m.split(".")[0] for m in imported_modules(p)}
        }
        for library in ONE_FILE
    }
    assert users == {library: {files} if isinstance(files, str) else files for library, files in ONE_FILE.items()}


def test_runtime_dependencies_are_the_runtimes_own():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert {line.split(">")[0] for line in project["dependencies"]} == RUNTIME_PACKAGES


def test_the_list_of_packages_matches_the_tree():
    listed = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {path.parent.relative_to(REPOSITORY) for path in sources() if path.name == "__init__.py"}
    names = {
        ".".join(folder.parts if folder.parts[0] == "edgedraft" else ("edgedraft", *folder.parts)) for folder in folders
    }
    assert set(listed) == names


def test_the_wheel_holds_every_source_and_data_file(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    wanted = set(sources()) | {
        *(REPOSITORY / "calibration" / "prompts").glob("*.jsonl"),
        *(REPOSITORY / "exporter" / "models" / "packaged").iterdir(),
        *(REPOSITORY / "devices" / "profiles").iterdir(),
        *(REPOSITORY / "devices" / "priors" / "shipped").iterdir(),
        REPOSITORY / "edgedraft" / "py.typed",
    }
    assert {inside_package(path.relative_to(REPOSITORY)).as_posix() for path in wanted} <= held
    assert {name for name in held if not name.startswith(("edgedraft/", "edgedraft-"))} == set()


def test_the_version_stands_in_one_place(wheel):
    assert wheel.name.startswith(f"edgedraft-{edgedraft.__version__}-")


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_files_and_functions_stay_small_and_say_what_they_own(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a file says in one line what it owns"
    assert text.count("\n") <= 350
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert {f.name: f.end_lineno - f.lineno + 1 for f in functions if f.end_lineno - f.lineno + 1 > 55} == {}
