"""ONNX folders as the peers need them: configurations for onnxruntime-genai, and what a graph's weights are."""

import copy
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

_CONFIG = "genai_config.json"


def read_genai_config(folder: Path, what: str) -> dict[str, Any]:
    """The onnxruntime-genai configuration of a model folder that must be there."""
    path = folder / _CONFIG
    if not path.is_file():
        raise SystemExit(f"peers: {what}: {path}: no such file")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def plain_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same target without its draft model."""
    plain = copy.deepcopy(dict(config))
    plain["model"].pop("draft", None)
    plain.pop("speculative", None)
    return plain


def write_genai_folder(
    folder: Path, config: Mapping[str, Any], models: Path, threads: int, kernels: Path | None = None
) -> Path:
    """A folder with ``config``, ``threads`` threads a session, and a link to ``models`` where the graphs stay.

    With ``kernels``, the library of our kernels, sessions take these.

    The link is to the folder: onnxruntime-genai refuses paths that lead out by themselves, and a second hard link to
    a weight file would make onnx_ir refuse that file everywhere.
    """
    written = copy.deepcopy(dict(config))
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "models"
    link.unlink(missing_ok=True)
    link.symlink_to(models, target_is_directory=True)
    for decoder in (written["model"][role] for role in ("decoder", "draft") if role in written["model"]):
        decoder["filename"] = f"{link.name}/{decoder['filename']}"
        decoder.setdefault("session_options", {})["intra_op_num_threads"] = threads
        if kernels is not None:
            decoder["session_options"]["custom_ops_library"] = str(kernels)
    (folder / _CONFIG).write_text(json.dumps(written, indent=2), encoding="utf-8")
    return folder


def weights_of(graph: Path) -> str:
    """How a graph's matrices are stored, commonest first, from the attributes of its MatMulNBits nodes."""
    nodes = onnx.load(str(graph), load_external_data=False).graph.node
    kinds = Counter(_kind(node) for node in nodes if node.op_type == "MatMulNBits")
    if not kinds:
        return "dense onnx"
    return ", ".join(f"{kind} ×{count}" for kind, count in kinds.most_common()) + ", onnx"


def _kind(node: onnx.NodeProto) -> str:
    numbers = {attribute.name: attribute.i for attribute in node.attribute}
    has_zero_points = len(node.input) > 3 and bool(node.input[3])
    symmetry = "asymmetric" if has_zero_points else "symmetric"
    bits, block, level = numbers["bits"], numbers["block_size"], numbers.get("accuracy_level", 0)
    return f"int{bits} block {block} {symmetry} (accuracy level {level})"
