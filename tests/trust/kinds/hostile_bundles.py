"""Hostile bundles: any file of a bundle is mutated, with sums that are right again, and the bundle is opened."""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

from tests.trust.frame import Trial, Verdict, kind
from tests.trust.graph_mutations import mutate_graph
from tests.trust.isolated import Refusal, isolated
from tests.trust.mutations import (
    mutate_bytes,
    mutate_json,
    mutate_safetensors,
    mutate_template,
    replace_by_no_file,
)
from tests.trust.subjects import export_arguments, make_pair

MANIFEST = "edgedraft.json"
_PROMPT, _TOKENS = "def merge", 6
# What may change the text of the target alone.
_OF_THE_TARGET = ("target/", "tokenizer", "chat_template", MANIFEST)


@kind(
    "hostile-bundles",
    promise="a mutated bundle is refused in one line, or answers as its target alone does",
    trials=6000,
    weight=3.0,
)
def hostile_bundles(folder: Path) -> Iterator[Trial]:
    """Mutate a file, mostly with its sum made right, and answer a prompt in a child."""
    bundle = made_bundle(folder)
    usual, plain = isolated(lambda: answers(bundle))
    assert usual == plain, "the bundle itself answers wrongly"
    names = [*sorted(json.loads((bundle / MANIFEST).read_text())["files"]), MANIFEST]

    def trial(number: int, rng: Random) -> Verdict:
        return mutated_bundle(bundle, folder / "trial", names[number % len(names)], rng, usual)

    yield trial


def made_bundle(folder: Path) -> Path:
    """Export a tiny bundle in a child, and load everything that later children need."""
    import onnx  # noqa: F401 - loaded before the forks, not in each

    make_pair(folder / "pair")

    def export() -> int:
        from edgedraft.__main__ import main

        return main(export_arguments(folder / "pair", folder / "cache", folder / "bundle"))

    assert isolated(export, 120.0) == 0, "the bundle could not be exported"
    return folder / "bundle"


def answers(bundle: Path) -> list[str]:
    """Return the bundle's answer, and that of its target alone."""
    from edgedraft.runtime.core.options import DecodingOptions
    from edgedraft.runtime.engine import Engine

    engine = Engine.open(bundle, threads=1, context_length=64)
    fixed, plain = (DecodingOptions(policy=policy) for policy in ("fixed", "plain"))
    return [engine.generate(_PROMPT, max_new_tokens=_TOKENS, options=each).text for each in (fixed, plain)]


def mutated_bundle(bundle: Path, copy: Path, name: str, rng: Random, usual: str) -> Verdict:
    """Mutate one file of a copy, and judge what becomes of it."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(bundle, copy)
    file, relisted = copy / name, rng.random() < 0.85
    before = file.read_bytes()
    if rng.random() < 0.04:
        replace_by_no_file(file, rng)
    else:
        file.write_bytes(mutation_of(name)(before, rng))
        if file.read_bytes() == before:
            return Verdict.HELD
        if relisted and name != MANIFEST:
            relist(copy, name)
    outcome = isolated(lambda: answers(copy))
    if isinstance(outcome, Refusal):
        return Verdict.REFUSED
    assert relisted or name == MANIFEST, f"{name}: a changed file was accepted"
    assert outcome[0] == outcome[1], f"{name}: {outcome[0]!r} is not the target's {outcome[1]!r}"
    assert name.startswith(_OF_THE_TARGET) or outcome[0] == usual, f"{name}: {outcome[0]!r} instead of {usual!r}"
    return Verdict.HELD


def mutation_of(name: str) -> Callable[[bytes, Random], bytes]:
    """Return the mutation for a file of that name."""
    by_ending: Mapping[str, Callable[[bytes, Random], bytes]] = {
        ".onnx": mutate_graph,
        ".safetensors": mutate_safetensors,
        ".jinja": mutate_template,
        ".json": lambda content, rng: (mutate_json if rng.random() < 0.7 else mutate_bytes)(content, rng),
    }
    return by_ending.get(Path(name).suffix, mutate_bytes)


def relist(bundle: Path, name: str) -> None:
    """Give the manifest the size and the sum that the file has now, as a hostile author would."""
    manifest: dict[str, Any] = json.loads((bundle / MANIFEST).read_text())
    content = (bundle / name).read_bytes()
    manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    if name == "tokenizer.json":
        from edgedraft.runtime.base.errors import EdgedraftError
        from edgedraft.runtime.base.tokenizer_files import tokenizer_fingerprint

        with contextlib.suppress(EdgedraftError):
            manifest["tokenizer_fingerprint"] = tokenizer_fingerprint(bundle / name)
    (bundle / MANIFEST).write_text(json.dumps(manifest))


KINDS = (hostile_bundles,)
