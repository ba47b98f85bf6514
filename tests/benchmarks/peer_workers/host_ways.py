"""The ways of decoding that are compared, and the worker each of them needs."""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peer_workers.host_graphs import plain_config, read_genai_config, weights_of, write_genai_folder
from peer_workers.host_process import Launch
from peer_workers.host_setup import Programs

from edgedraft.runtime.bundle.reading import read_bundle
from edgedraft.runtime.native.library import library_path

OURS, GENAI, LLAMA, TRANSFORMERS = "edgedraft", "onnxruntime-genai", "llama.cpp", "transformers"
OPENVINO = "OpenVINO GenAI"
BASELINE = "genai-plain"
KEYS = (
    *("ours-plain", "ours-full", "ours-trimmed", "ours-lookup", "ours-adaptive"),
    *("genai-plain", "genai-our-kernels", "genai-builder", "genai-ngram", "genai-draft", "genai-draft-full"),
    *("llama-plain", "llama-draft", "openvino-plain", "transformers-plain", "transformers-draft"),
)


@dataclass(frozen=True, kw_only=True)
class Way:
    """One row of the table. ``plain`` is the way whose text an exact speculation must repeat.

    One that is not ``counted`` is shown, but is no peer: it runs with our kernels.
    """

    key: str
    title: str
    engine: str
    launch: Launch
    plain: str
    weights: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    counted: bool = True

    @property
    def kind(self) -> str:
        """Its name on the command line; llama.cpp's draft lengths share one."""
        return "llama-draft" if self.engine == LLAMA and "draft_length" in self.options else self.key


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Everything the ways are made from; what a way needs and is None, leaves that way out."""

    bundle: Path
    full_bundle: Path | None
    genai_model: Path | None
    target_gguf: Path
    drafter_gguf: Path
    threads: int
    context_length: int
    work: Path
    python: Path
    programs: Programs | None
    llama_draft_lengths: tuple[int, ...]
    ngram: Mapping[str, Any]
    dtype: str


def all_ways(inputs: Inputs) -> list[Way]:
    """Every way that the inputs allow, in the order of the table."""
    return [*_ours(inputs), *_genai(inputs), *_llama(inputs), *_openvino(inputs), *_transformers(inputs)]


def _launch(name: str, python: Path, script: str, **config: Any) -> Launch:
    return Launch(name=name, python=python, script=script, config=json.dumps(config, sort_keys=True, default=str))


def _draft_facts(bundle: Path) -> str:
    plan = read_bundle(bundle, verify_hashes=False).manifest.plan
    return f"K {plan.draft_vocab_size:,}, draft length {plan.draft_length}"


def _target_weights(models: Path, what: str) -> str:
    return weights_of(models / read_genai_config(models, what)["model"]["decoder"]["filename"])


def _ours(inputs: Inputs) -> Iterator[Way]:
    python, common = Path(sys.executable), {"engine": OURS, "plain": "ours-plain"}
    weights = _target_weights(inputs.bundle, "bundle")
    launch = _launch("ours", python, "ours.py", bundle=inputs.bundle, **_sizes(inputs))
    yield Way(key="ours-plain", title="plain", launch=launch, weights=weights, options={"policy": "plain"}, **common)
    if full := inputs.full_bundle:
        yield Way(
            key="ours-full",
            title=f"full-vocabulary drafter ({_draft_facts(full)})",
            launch=_launch("ours-full", python, "ours.py", bundle=full, **_sizes(inputs)),
            weights=_target_weights(full, "full-vocabulary bundle"),
            options={"policy": "fixed"},
            **common,
        )
    title = f"trimmed drafter ({_draft_facts(inputs.bundle)})"
    policies = {"ours-trimmed": "fixed", "ours-lookup": "ngram-or-drafter", "ours-adaptive": "adaptive"}
    for key, policy in policies.items():
        named = f"{title}, {policy}"
        yield Way(key=key, title=named, launch=launch, weights=weights, options={"policy": policy}, **common)


def _sizes(inputs: Inputs) -> dict[str, int]:
    return {"threads": inputs.threads, "context_length": inputs.context_length}


def _genai(inputs: Inputs) -> Iterator[Way]:
    plain = _genai_way(inputs, "genai-plain", "plain, our target", inputs.bundle, drafts=False)
    yield plain
    library = library_path()
    if library is not None:
        yield _genai_way(inputs, "genai-our-kernels", "plain, our target, our kernels", inputs.bundle, kernels=library)
    if inputs.genai_model:
        yield _genai_way(inputs, "genai-builder", "plain (builder default)", inputs.genai_model, drafts=False)
    size, width = inputs.ngram["ngram_size"], inputs.ngram["max_draft_tokens"]
    yield Way(
        key="genai-ngram",
        title=f"n-gram {size}, at most {width} drafts",
        engine=GENAI,
        launch=plain.launch,
        plain="genai-plain",
        weights=plain.weights,
        options={"drafts": True, "speculative": dict(inputs.ngram)},
    )
    yield _genai_way(inputs, "genai-draft", "draft model, trimmed", inputs.bundle, drafts=True)
    if inputs.full_bundle:
        yield _genai_way(inputs, "genai-draft-full", "draft model, full vocabulary", inputs.full_bundle, drafts=True)


def _genai_way(
    inputs: Inputs, key: str, title: str, models: Path, *, drafts: bool = False, kernels: Path | None = None
) -> Way:
    config = read_genai_config(models, key)
    if drafts and "draft" not in config["model"]:
        raise SystemExit(f"peers: {key}: {models}: its genai_config.json has no draft model; export the bundle again")
    width = f", {config['speculative']['max_draft_tokens']} drafts" if drafts else ""
    kept = config if drafts else plain_config(config)
    folder = write_genai_folder(inputs.work / "genai" / key, kept, models, inputs.threads, kernels)
    return Way(
        key=key,
        title=f"{title}{width}",
        engine=GENAI,
        launch=_launch(key, inputs.python, "onnx_genai.py", folder=folder),
        plain="genai-plain" if drafts or kernels else key,
        weights=_target_weights(models, key),
        options={"drafts": drafts},
        counted=kernels is None,
    )


def _llama(inputs: Inputs) -> Iterator[Way]:
    if inputs.programs is None:
        return
    launch = _launch(
        "llama",
        inputs.python,
        "llama_cpp.py",
        programs=inputs.programs.folder,
        version=inputs.programs.version,
        target=inputs.target_gguf,
        drafter=inputs.drafter_gguf,
        tokenizer=inputs.bundle / "tokenizer.json",
        threads=inputs.threads,
        context_length=inputs.context_length,
    )
    yield Way(key="llama-plain", title="plain", engine=LLAMA, launch=launch, plain="llama-plain")
    for length in inputs.llama_draft_lengths:
        yield Way(
            key=f"llama-draft-{length}",
            title=f"draft-simple, {length} drafts",
            engine=LLAMA,
            launch=launch,
            plain="llama-plain",
            options={"draft_length": length},
        )


def _openvino(inputs: Inputs) -> Iterator[Way]:
    launch = _launch("openvino", inputs.python, "openvino_gguf.py", target=inputs.target_gguf, threads=inputs.threads)
    yield Way(key="openvino-plain", title="plain", engine=OPENVINO, launch=launch, plain="openvino-plain")


def _transformers(inputs: Inputs) -> Iterator[Way]:
    launch = _launch(
        "transformers",
        inputs.python,
        "transformers_generate.py",
        target=inputs.target_gguf,
        drafter=inputs.drafter_gguf,
        work=inputs.work / "transformers",
        threads=inputs.threads,
        dtype=inputs.dtype,
    )
    common = {"engine": TRANSFORMERS, "launch": launch, "plain": "transformers-plain"}
    yield Way(key="transformers-plain", title="generate", **common)
    yield Way(key="transformers-draft", title="generate with assistant_model", options={"assistant": True}, **common)
