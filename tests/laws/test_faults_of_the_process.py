"""The command line meets the machine's limits and the user's ctrl-C with one line and an exit code, no traceback."""

import json
import re
import resource
import shutil
import signal
import subprocess
import sys

import onnx
import pytest

MEBIBYTE = 1 << 20

SLOWLY = """
import signal, sys, time
from edgedraft.runtime.onnx.memory import OnnxModel
signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent that runs in the background passes on "ignore"
read = OnnxModel.read
def slowly(self, token_ids):
    time.sleep(0.02)
    return read(self, token_ids)
OnnxModel.read = slowly
from edgedraft.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def generate(bundle, *options, mebibytes=None):
    """Run ``edgedraft generate``, in an address space of so many MiB."""

    def limited():
        if mebibytes is not None:
            resource.setrlimit(resource.RLIMIT_AS, (mebibytes * MEBIBYTE, mebibytes * MEBIBYTE))

    command = [sys.executable, "-m", "edgedraft", "generate", str(bundle), *options]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", preexec_fn=limited, timeout=60)


def one_line(done) -> str:
    """The error of a command that failed as a user's error should."""
    assert done.stdout == ""
    assert re.fullmatch(r"edgedraft: [^\n]+\n", done.stderr), done.stderr[-1500:]
    assert done.returncode == 2
    return done.stderr


def promise(bundle, **changes) -> None:
    """Change what the manifest says."""
    file = bundle / "edgedraft.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.fixture
def copied(tiny_bundle, tmp_path):
    return shutil.copytree(tiny_bundle, tmp_path / "bundle")


@pytest.mark.parametrize("context", [1_000_000, 100_000_000])
def test_a_context_too_large_for_the_memory_is_one_line(context, copied):
    """The graphs open; what has no room are numpy's buffers of the context."""
    promise(copied, context_length=context)
    error = one_line(generate(copied, "def merge", "--context-length", str(context), mebibytes=900))
    assert "memory" in error
    assert str(context) in error


@pytest.mark.parametrize("model", ["target", "drafter"])
def test_a_model_too_large_for_the_memory_is_one_line(model, copied):
    """Its embedding takes 2 GB (of a sparse file) where the process may have 900 MiB: onnxruntime cannot open it."""
    graph = copied / model / "model.onnx"
    proto = onnx.load(graph, load_external_data=False)
    weight = next(tensor for tensor in proto.graph.initializer if "embed_tokens" in tensor.name)
    weight.dims[0] = 4_000_000
    data = graph.with_name("model.onnx.data")
    place = {"location": data.name, "offset": str(data.stat().st_size), "length": str(4_000_000 * 128 * 4)}
    for entry in weight.external_data:
        entry.value = place[entry.key]
    with data.open("r+b") as file:
        file.truncate(int(place["offset"]) + int(place["length"]))
    onnx.save(proto, graph)
    files = json.loads((copied / "edgedraft.json").read_text())["files"]
    for file in (graph, data):
        files[file.relative_to(copied).as_posix()]["bytes"] = file.stat().st_size
    promise(copied, files=files)
    error = one_line(generate(copied, "def merge", "--no-verify", mebibytes=900))
    assert f"{graph}: not enough memory to open it" in error


def test_a_prompt_beyond_the_context_is_one_line(tiny_bundle):
    error = one_line(generate(tiny_bundle, "merge sort " * 200, "--context-length", "64"))
    assert "the prompt must be shorter than the context of 64 tokens" in error


def test_an_answer_that_fills_the_context_ends_without_an_error(tiny_bundle):
    done = generate(tiny_bundle, "def", "--context-length", "40", "--max-new-tokens", "1000", "--policy", "fixed")
    assert done.returncode == 0
    assert re.fullmatch(r"\[\d+ tokens, .*drafts kept \(.*\]\n", done.stderr)


@pytest.mark.parametrize(
    "options", [["--plain"], ["--policy", "fixed"], ["--policy", "adaptive", "--temperature", "1"]]
)
def test_an_interrupt_in_the_stream_is_one_line(options, tiny_bundle):
    """SIGINT after the first piece of text; every pass is slowed down so that it falls into the answer."""
    command = [sys.executable, "-c", SLOWLY, "generate", str(tiny_bundle), "def", "--max-new-tokens", "200", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    first = process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert first
    assert error.decode() == "edgedraft: stopped - run the same command again to go on from here\n"
    assert process.returncode == 130
