"""Describe the files that a command wrote, by what they hold and not by how they are laid out in bytes."""

import hashlib
import json
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import numpy as np

from tests.golden.normalising import without_versions

_LIBRARIES = (
    "onnx",
    "onnx-ir",
    "onnxruntime",
    "onnxruntime-genai",
    "safetensors",
    "tokenizers",
    "torch",
    "transformers",
)
_UNREAD = ("tokenizer.json", "tokenizer_config.json")  # the libraries' own, copied
_CONVERSION = b"tiny-"  # counts name the conversion of the model that answered, which is of this run's folder
_BY_PROCESSOR = "log_probs"
_OF_PROCESSOR = ("trace.safetensors",)  # holds log-probabilities
_PROSE = ("README.md", "edgedraft.json")  # the card's text is free, and the manifest holds the card's sum


def describe(path: Path) -> object:
    """Return plain JSON data about a file, or about every file of a folder by its name."""
    if path.is_dir():
        return {file.relative_to(path).as_posix(): describe(file) for file in _files(path)}
    if path.name in _UNREAD:
        return "<file>"
    if path.suffix == ".json":
        content = json.loads(path.read_text(encoding="utf-8"))
        return without_versions(content) if path.name == "edgedraft.json" else content
    readers = {".safetensors": _tensors, ".onnx": _graph, ".txt": _lines, ".md": _front_matter}
    return readers[path.suffix](path) if path.suffix in readers else "<file>"


def sums(path: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a folder, or of one file, but for prose."""
    files = [path] if path.is_file() else _files(path)
    named = {(file.relative_to(path).as_posix() if path.is_dir() else file.name): file for file in files}
    contents = {name: file.read_bytes() for name, file in named.items() if file.name not in (*_PROSE, *_OF_PROCESSOR)}
    return {
        name: hashlib.sha256(content).hexdigest()
        for name, content in contents.items()
        if not (name.endswith(".safetensors") and _CONVERSION in content)
    }


def versions() -> dict[str, str]:
    """Return the versions of the libraries that decide how graphs and tensors are laid out."""
    return {name: version(name) for name in _LIBRARIES}


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _tensors(path: Path) -> object:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as opened:
        arrays = {name: opened.get_tensor(name) for name in sorted(opened.keys())}
        metadata = dict(sorted((opened.metadata() or {}).items()))  # in no order when read
    if "sha256" in metadata:
        metadata["sha256"] = "<sha256>"  # of all that is in the file, names of temporary folders included
    tensors = {
        name: {
            "dtype": str(array.dtype),
            "shape": list(array.shape),
            **_content(name, array),
        }
        for name, array in arrays.items()
    }
    return {"metadata": metadata, "tensors": tensors}


def _content(name: str, array: np.ndarray) -> dict[str, object]:
    """Return the sum of an array's bytes; of log-probabilities, whose last bits differ by processor, the mean."""
    if name.startswith(_BY_PROCESSOR):
        return {"mean": round(float(array.mean()), 3)}
    return {"sha256": hashlib.sha256(array.tobytes()).hexdigest()}


def _graph(path: Path) -> object:
    import onnx

    model = onnx.load(path, load_external_data=False)
    operators = Counter(f"{node.domain}{'.' if node.domain else ''}{node.op_type}" for node in model.graph.node)
    return {
        "inputs": [_value(each) for each in model.graph.input],
        "outputs": [_value(each) for each in model.graph.output],
        "operators": dict(sorted(operators.items())),
        "metadata": {each.key: each.value for each in model.metadata_props},
    }


def _value(value: object) -> str:
    import onnx

    tensor = value.type.tensor_type
    sides = [side.dim_param or str(side.dim_value) for side in tensor.shape.dim]
    return f"{value.name}: {onnx.TensorProto.DataType.Name(tensor.elem_type).lower()}[{', '.join(sides)}]"


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _front_matter(path: Path) -> list[str]:
    """The card's YAML, without its text."""
    return path.read_text(encoding="utf-8").split("---\n")[1].splitlines()
