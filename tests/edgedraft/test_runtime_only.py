"""`pip install edgedraft` with no extra: a bundle runs with the packages of the runtime alone."""

import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import venv

import pytest

RUNTIME = ("numpy", "onnxruntime", "tokenizers", "safetensors", "jinja2")
ABSENT = ("torch", "transformers", "onnx", "onnx_ir", "onnxruntime_genai", "optuna", "psutil", "typer", "rich")


@pytest.fixture(scope="module")
def runtime_only(wheel, tmp_path_factory):
    """An environment of its own with the wheel and the packages that the runtime may use."""
    folder = tmp_path_factory.mktemp("runtime-only")
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    for arguments in (RUNTIME, ("--no-deps", str(wheel))):
        subprocess.run([str(python), "-m", "pip", "install", "-q", *arguments], check=True, capture_output=True)
    return python


@pytest.fixture(scope="module")
def serve_only(wheel, tmp_path_factory):
    """An environment of its own with `edgedraft[serve]`."""
    folder = tmp_path_factory.mktemp("serve-only")
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    subprocess.run([str(python), "-m", "pip", "install", "-q", f"{wheel}[serve]"], check=True, capture_output=True)
    return python


def run(python, *arguments):
    command = [str(python.with_name("edgedraft")), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_nothing_else_is_installed(runtime_only):
    probe = f"import importlib.util as u; print([m for m in {ABSENT!r} if u.find_spec(m)])"
    found = subprocess.run([str(runtime_only), "-c", probe], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_generate_and_bench_run(runtime_only, tiny_bundle):
    answer = run(runtime_only, "generate", tiny_bundle, "sort the list", "--max-new-tokens", "8", "--json")
    assert answer.returncode == 0, answer.stderr
    assert len(json.loads(answer.stdout)["token_ids"]) <= 8
    bench = run(runtime_only, "bench", tiny_bundle, "-n", "2", "--max-new-tokens", "6")
    assert bench.returncode == 0, bench.stderr
    assert "| trimmed drafter" in bench.stdout


def test_a_bundle_is_tuned_in_under_forty_seconds_and_then_runs_by_it(runtime_only, tiny_bundle, tmp_path):
    path = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, path)
    started = time.monotonic()
    tuned = run(runtime_only, "tune", path, "--json")
    assert time.monotonic() - started < 40
    assert tuned.returncode == 0, tuned.stderr
    plan = json.loads(tuned.stdout)["tuning"]["plan"]
    answer = run(runtime_only, "generate", path, "sort the list", "--max-new-tokens", "8", "--json")
    assert answer.returncode == 0, answer.stderr
    drafted = json.loads(answer.stdout)["statistics"]["draft_tokens_proposed"]
    assert (drafted > 0) == (plan["speculate"] and plan["policy"] == "fixed")


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["export", "bundle"], "export"),
        (["plan"], "export"),
        (["devices", "probe"], "probe"),
        (["phone", "bundle"], "serve"),
        (["serve", "bundle"], "serve"),
    ],
)
def test_the_extra_that_is_missing_is_named_in_one_line(runtime_only, tiny_bundle, arguments, extra):
    result = run(runtime_only, *(tiny_bundle if each == "bundle" else each for each in arguments))
    assert result.returncode == 2
    *notes, line = result.stderr.strip().splitlines()
    assert line.endswith(f'is not installed - pip install "edgedraft[{extra}]"')
    assert all(note.startswith("The page ") for note in notes), "only phone says before what its page lacks"


def test_the_installation_is_examined(runtime_only):
    result = run(runtime_only, "doctor", "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert {trial["name"]: trial["runs"] for trial in found["providers"]}["cpu"]
    assert found["packages"]["extras"][""] == []
    assert "transformers" in found["packages"]["extras"]["export"]


def test_a_phone_is_served_with_the_extra_serve_alone(serve_only, tiny_bundle, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(serve_only.with_name("edgedraft")), "phone", str(tiny_bundle), "--port", str(port), "--quick"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as phone:
        said = ""
        for line in phone.stdout:
            said += line
            if found := re.search(r"http://\S+", line):
                break
        page = urllib.request.urlopen(found.group(), timeout=30).read().decode()
        session = json.load(urllib.request.urlopen(f"{found.group()}session.json", timeout=30))
        phone.terminate()
    assert "<title>" in page
    assert session["full_drafter"] is None
    assert 'without the full-vocabulary drafter: it needs onnx-ir - pip install "edgedraft[export]"' in said
