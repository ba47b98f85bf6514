"""Do other engines run a bundle's drafter as ours does? Optimum's model class, and ONNX Runtime in node.

    python -m tests.benchmarks.other_engines BUNDLE [--prompts 2] [--tokens 48] [--json FILE]

From the checkout's root. Optimum's environment and the npm package are fetched into the cache folder once. Optimum gets
the bundle's folder and generates with `drafter/expanded.onnx`: token ids beside our runtime's with the same graph. node
gets `drafter/expanded.onnx` and `drafter/model.onnx`: the logits of one pass beside Python's.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from edgedraft.console import Console
from edgedraft.devices.machine import usable_cores
from edgedraft.exporter.models.cache import cache_folder
from edgedraft.exporter.models.via_optimum import optimum_python
from edgedraft.runtime.base.files import read_json, write_json
from edgedraft.runtime.base.records import to_plain
from edgedraft.runtime.base.replacing import replacing_folder
from edgedraft.runtime.core.model import prefill
from edgedraft.runtime.onnx.memory import OnnxModel
from edgedraft.runtime.onnx.providers import share_thread_pool
from edgedraft.runtime.onnx.session import SessionSettings, open_model
from tests.benchmarks.genai_bundle import coding_prompts, first_difference

DRAFTER, EXPANDED, REDUCED = "drafter", "expanded.onnx", "model.onnx"
NODE_PACKAGE = "onnxruntime-node@1.30.0"
_WORKERS = Path(__file__).with_name("engine_workers")
_ELEMENTS = {"tensor(int64)": "int64", "tensor(float)": "float32", "tensor(float16)": "float16"}


@dataclass(frozen=True, kw_only=True)
class Generated:
    """What Optimum said, by which class, and the versions of what it ran on."""

    tokens: tuple[int, ...]
    model: str
    versions: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Logits of one graph in node beside Python's: the largest difference where both are finite, 0 for the same bits.

    ``same_gaps``: -inf stands in the same places.
    """

    graph: str
    shape: tuple[int, ...]
    difference: float
    same_gaps: bool


# --- ours ------------------------------------------------------------------------------------------------------------


def our_text(model: OnnxModel, prompt: Sequence[int], count: int, ends: Sequence[int]) -> tuple[int, ...]:
    """At most ``count`` greedy tokens; one of ``ends`` is the last."""
    model.rewind(0)
    tokens = [int(prefill(model, prompt).argmax())]
    while len(tokens) < count and tokens[-1] not in ends:
        tokens.append(int(model.read(tokens[-1:]).logits[0].argmax()))
    return tuple(tokens)


def feeds(session: onnxruntime.InferenceSession, prompt: Sequence[int]) -> dict[str, dict[str, Any]]:
    """What a pass over ``prompt`` reads: by input its type, dims, and data; an empty past has none."""
    count = len(prompt)
    known = {"input_ids": list(prompt), "attention_mask": [1] * count, "position_ids": list(range(count))}
    found = {}
    for value in session.get_inputs():
        element = _ELEMENTS[value.type]
        if value.name in known:
            found[value.name] = {"type": element, "dims": [1, count], "data": known[value.name]}
        else:
            found[value.name] = {"type": element, "dims": [1, value.shape[1], 0, value.shape[3]]}
    return found


def logits_here(graph: Path, prompt: Sequence[int], threads: int) -> tuple[np.ndarray, dict[str, dict[str, Any]]]:
    """Python's logits of one pass, and what it read."""
    share_thread_pool(threads)
    settings = onnxruntime.SessionOptions()
    settings.use_per_session_threads = False
    session = onnxruntime.InferenceSession(graph, settings, providers=["CPUExecutionProvider"])
    told = feeds(session, prompt)
    arrays = {
        name: np.array(feed.get("data", []), dtype=feed["type"]).reshape(feed["dims"]) for name, feed in told.items()
    }
    return session.run(["logits"], arrays)[0], told


# --- theirs ----------------------------------------------------------------------------------------------------------


def optimum_text(bundle: Path, python: Path, prompt: Sequence[int], count: int) -> Generated:
    """What `ORTModelForCausalLM` says with the bundle's expanded drafter, loaded out of the bundle's folder."""
    arguments = [str(bundle), DRAFTER, EXPANDED, json.dumps(list(prompt)), str(count)]
    told = child([str(python), "-I", str(_WORKERS / "optimum_generate.py"), *arguments])
    return Generated(tokens=tuple(told["tokens"]), model=told["model"], versions=told["versions"])


def node_packages(cache: Path) -> Path:
    """A folder with `NODE_PACKAGE` in it; fetched once. No script of a package is run: its binaries come along."""
    folder = cache / "node" / NODE_PACKAGE
    if not folder.is_dir():
        with replacing_folder(folder) as temporary:
            write_json(temporary / "package.json", {"private": True})
            quietly = ["--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
            child([required("npm"), "install", *quietly, "--prefix", str(temporary), NODE_PACKAGE], answers=False)
    return folder


def logits_in_node(
    graph: Path, told: Mapping[str, Mapping[str, Any]], packages: Path, room: Path
) -> tuple[np.ndarray, str]:
    """node's logits of the same pass, and the version of its ONNX Runtime."""
    write_json(room / "feeds.json", told)
    paths = [str(path) for path in (packages, graph, room / "feeds.json", room / "logits")]
    answer = child([required("node"), str(_WORKERS / "node_logits.cjs"), *paths])
    return np.fromfile(room / "logits", dtype=answer["type"]).reshape(answer["dims"]), answer["version"]


def compared(graph: Path, here: np.ndarray, there: np.ndarray) -> Compared:
    """Both sets of logits, side by side."""
    assert (here.shape, here.dtype) == (there.shape, there.dtype)
    finite = np.isfinite(here) & np.isfinite(there)
    return Compared(
        graph=graph.name,
        shape=here.shape,
        difference=float(np.abs(here[finite] - there[finite]).max()) if here.tobytes() != there.tobytes() else 0.0,
        same_gaps=np.array_equal(np.isneginf(here), np.isneginf(there)),
    )


def required(program: str) -> str:
    """Where ``program`` is; a line that says so where it is not."""
    found = shutil.which(program)
    if found is None:
        raise SystemExit(f"other_engines: {program}: not found; install Node.js 20 or newer")
    return found


def child(command: Sequence[str], *, answers: bool = True) -> dict[str, Any]:
    """Run a program that must succeed; the JSON on the last line of what it prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise SystemExit(f"other_engines: {' '.join(command[:3])} … failed: {lines[-1] if lines else done.returncode}")
    return dict(json.loads(done.stdout.splitlines()[-1])) if answers else {}


# --- the command -----------------------------------------------------------------------------------------------------


def by_optimum(options: argparse.Namespace, prompts: Mapping[str, list[int]], console: Console) -> list[dict[str, Any]]:
    """Prompt by prompt Optimum's text beside ours."""
    python = optimum_python(cache_folder(), console.progress)
    model = open_model(options.bundle / DRAFTER / EXPANDED, SessionSettings(threads=usable_cores()))
    ends = read_json(options.bundle / "generation_config.json")["eos_token_id"]
    found = []
    for name, prompt in prompts.items():
        ours = our_text(model, prompt, options.tokens, ends)
        theirs = optimum_text(options.bundle, python, prompt, options.tokens)
        place = first_difference(ours, theirs.tokens)
        said = f"the same {len(ours)} tokens" if place is None else f"other tokens from {place} on"
        engine = ", ".join(f"{key} {value}" for key, value in theirs.versions.items())
        console.say(f"{theirs.model} ({engine}), {DRAFTER}/{EXPANDED}, {name}: {said}")
        found.append({"prompt": name, "ours": ours, "optimum": theirs, "first_difference": place})
    return found


def by_node(options: argparse.Namespace, prompt: Sequence[int], console: Console) -> list[Compared]:
    """Both layouts in node beside Python."""
    packages, found = node_packages(cache_folder()), []
    for graph in (options.bundle / DRAFTER / name for name in (EXPANDED, REDUCED)):
        here, told = logits_here(graph, prompt, usable_cores())
        with tempfile.TemporaryDirectory() as room:
            there, version = logits_in_node(graph, told, packages, Path(room))
        found.append(compared(graph, here, there))
        largest = found[-1].difference
        said = f"up to {largest:.1e} away from" if largest else "the same bits as"
        gaps = "" if found[-1].same_gaps else ", -inf in other places"
        beside = f"in Python with onnxruntime {onnxruntime.__version__}"
        console.say(f"onnxruntime-node {version}, {DRAFTER}/{graph.name}: logits {here.shape}, {said} {beside}{gaps}")
    return found


def main() -> None:
    """Compare, and print a line for each prompt and graph."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path, help="a folder written by edgedraft export")
    parser.add_argument("--prompts", type=int, default=2, metavar="N", help="held-out coding prompts for Optimum")
    parser.add_argument("--tokens", type=int, default=48, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options, console = parser.parse_args(), Console()
    prompts = coding_prompts(options.bundle, options.prompts)
    found = {"optimum": by_optimum(options, prompts, console)}
    found["node"] = by_node(options, next(iter(prompts.values())), console)
    if options.json:
        write_json(options.json, to_plain(found))


if __name__ == "__main__":
    main()
