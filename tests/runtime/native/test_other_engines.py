"""One line makes stock onnxruntime-genai use our kernels: the path of the library in its configuration."""

import json
import shutil
import subprocess
import sys

import pytest

from edgedraft.exporter.graph.loading import load_graph, save_graph
from edgedraft.exporter.graph.packing import pack_model
from edgedraft.exporter.graph.precisions import TABLE as PRECISIONS
from tests.needs import package

# A process of its own: the count must be this engine's, and it brings a thread pool of its own.
CHILD = """
import sys
import onnxruntime_genai as genai
from pathlib import Path
from edgedraft.runtime.native.library import load_library

model = genai.Model(sys.argv[1])
parameters = genai.GeneratorParams(model)
parameters.set_search_options(max_length=24, do_sample=False)
generator = genai.Generator(model, parameters)
generator.append_tokens([5, 6, 7, 8])
while not generator.is_done():
    generator.generate_next_token()
print(load_library(Path(sys.argv[2])).products(), len(generator.get_sequence(0)))
"""


@pytest.fixture(scope="module")
def genai_folder(tiny_opened, tmp_path_factory):
    """The tiny target in int4, as stock onnxruntime-genai opens it."""
    package("onnxruntime_genai", extra="export")
    folder = tmp_path_factory.mktemp("genai") / "model"
    shutil.copytree(tiny_opened.target.graph.parent, folder)
    model = load_graph(folder / "model.onnx")
    pack_model(model, PRECISIONS["int4"])
    save_graph(model, folder / "model.onnx", "packed.data")
    return folder


def products_and_tokens(folder, library, **session_options):
    """Let genai write a text in a process of its own; return our products there, and the text's length."""
    path = folder / "genai_config.json"
    configuration = json.loads(path.read_text())
    configuration["model"]["decoder"]["session_options"] = session_options
    path.write_text(json.dumps(configuration))
    command = [sys.executable, "-c", CHILD, str(folder), str(library.path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return tuple(int(number) for number in done.stdout.split()[-2:])


def test_stock_genai_runs_our_kernels(genai_folder, library):
    ours, tokens = products_and_tokens(genai_folder, library, custom_ops_library=str(library.path))
    assert tokens > 5
    products = sum(node.op_type == "MatMulNBits" for node in load_graph(genai_folder / "model.onnx").graph)
    # One pass over the prompt and one for each token but the first and the last; the last may be read as well.
    assert ours in [products * (tokens - 4 + more) for more in (0, 1)]
    assert products_and_tokens(genai_folder, library)[0] == 0
