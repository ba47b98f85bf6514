"""Is edgedraft fast beside its peers? One interleaved run on the same prompts and the same source weights.

    python tests/benchmarks/peers.py BUNDLE [--full-bundle BUNDLE2] [--genai-model FOLDER] [--ways a,b,…]

Compares edgedraft with onnxruntime-genai, llama.cpp, OpenVINO GenAI and transformers. The first run installs the
peers into an environment of their own and builds llama.cpp under --work (ten minutes and 3 GB); nothing is added to
edgedraft's. The terms of our rounds stand below the table; `contexts.py` measures long prompts.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from peer_workers.host_process import Launch, Worker
from peer_workers.host_report import as_data, fastest_peer, markdown, rows, terms
from peer_workers.host_runs import Question, Run, measure
from peer_workers.host_setup import llama_programs, note, peer_python
from peer_workers.host_ways import BASELINE, KEYS, Inputs, Way, all_ways

from edgedraft.calibration.prompts import shipped_prompts
from edgedraft.devices.machine import this_machine, usable_cores
from edgedraft.exporter.models.cache import cache_folder
from edgedraft.exporter.models.packaged_models import packaged_model
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.bundle.reading import read_bundle
from edgedraft.runtime.text.codec import TextCodec

TARGET, DRAFTER = "qwen2.5-coder-1.5b-instruct", "qwen2.5-coder-0.5b-instruct"
_CONTEXT_ROOM = 64


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path, help="a folder written by edgedraft export")
    parser.add_argument("--full-bundle", type=Path, metavar="BUNDLE", help="one with the full draft vocabulary")
    parser.add_argument("--genai-model", type=Path, metavar="FOLDER", help="the target by genai's builder, defaults")
    parser.add_argument("--prompts", type=int, default=8, metavar="N", help="last N scoring prompts (default: 8)")
    parser.add_argument("--max-new-tokens", type=int, default=256, metavar="N", help="per answer (default: 256)")
    parser.add_argument("--ways", metavar="A,B,…", help=f"of {', '.join(KEYS)} (default: all but genai-draft-full)")
    parser.add_argument("--llama-draft-max", default="3", metavar="N,…", help="one way each (default: 3, as llama.cpp)")
    parser.add_argument("--ngram-size", type=int, default=3, metavar="N", help="genai's n-gram (default: 3)")
    parser.add_argument("--ngram-drafts", type=int, default=4, metavar="N", help="genai's n-gram (default: 4)")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"), help="of transformers' weights")
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="default: peers in edgedraft's cache folder")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every run")
    return parser.parse_args()


def wanted_keys(options: argparse.Namespace) -> list[str]:
    """The keys of the ways to run."""
    if options.ways is None:
        return [key for key in KEYS if key != "genai-draft-full"]
    keys = options.ways.split(",")
    if unknown := [key for key in keys if key not in KEYS]:
        raise SystemExit(f"peers: --ways: expected some of {', '.join(KEYS)}; got {', '.join(unknown)}")
    return keys


def packaged_gguf(name: str) -> Path:
    """A packaged model's GGUF file, which must have been fetched."""
    path = cache_folder() / "models" / packaged_model(name).file
    if not path.is_file():
        raise SystemExit(f"peers: {path}: no such file; run: edgedraft models fetch {name}")
    return path


def last_questions(bundle: Path, count: int) -> list[Question]:
    """The last ``count`` scoring prompts, rendered and encoded once for every engine."""
    codec = TextCodec(bundle)
    held_out = [prompt for prompt in shipped_prompts() if prompt.split == "score"][-count:]
    return [
        Question(
            id=prompt.id,
            prompt_ids=tuple(codec.encode_chat(prompt.messages)),
            prompt_text=codec.render_chat(prompt.messages),
        )
        for prompt in held_out
    ]


def choose_ways(options: argparse.Namespace, questions: Sequence[Question]) -> list[Way]:
    """Set up what the chosen ways need, and make them."""
    keys = wanted_keys(options)
    work = (options.work or cache_folder() / "peers").resolve()
    threads = usable_cores()
    python = peer_python(work) if any(not key.startswith("ours") for key in keys) else Path(sys.executable)
    needs_llama = any(key.startswith("llama") for key in keys)
    longest = max(len(question.prompt_ids) for question in questions)
    inputs = Inputs(
        bundle=options.bundle.resolve(),
        full_bundle=options.full_bundle.resolve() if options.full_bundle else None,
        genai_model=options.genai_model.resolve() if options.genai_model else None,
        target_gguf=packaged_gguf(TARGET),
        drafter_gguf=packaged_gguf(DRAFTER),
        threads=threads,
        context_length=longest + options.max_new_tokens + _CONTEXT_ROOM,
        work=work,
        python=python,
        programs=llama_programs(work, python, threads) if needs_llama else None,
        llama_draft_lengths=tuple(int(length) for length in options.llama_draft_max.split(",")),
        ngram={"ngram_size": options.ngram_size, "max_draft_tokens": options.ngram_drafts},
        dtype=options.dtype,
    )
    chosen = [way for way in all_ways(inputs) if way.kind in keys]
    missing = sorted(set(keys) - {way.kind for way in chosen})
    if missing and options.ways:
        raise SystemExit(f"peers: {', '.join(missing)}: needs --full-bundle or --genai-model")
    return chosen


def start_workers(ways: Sequence[Way], logs: Path, threads: int, started: dict[Launch, Worker]) -> list[Way]:
    """Start one worker a launch into ``started``; the ways with the weights their engines tell."""
    for launch in dict.fromkeys(way.launch for way in ways):
        started[launch] = Worker(launch, logs, threads)
        memory = psutil.virtual_memory().available / 2**30
        note(f"loaded {launch.name}: {started[launch].memory_bytes() / 2**30:.1f} GiB; {memory:.1f} GiB still free")
    return [replace(way, weights=way.weights or started[way.launch].facts["weights"]) for way in ways]


def conditions(options: argparse.Namespace, workers: dict[Launch, Worker], load: float) -> dict[str, Any]:
    """What the figures depend on."""
    versions: dict[str, set[str]] = {}
    for worker in workers.values():
        for name, version in worker.facts["versions"].items():
            versions.setdefault(name, set()).add(version)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": this_machine().name,
        "threads": usable_cores(),
        "versions": {name: ", ".join(sorted(found)) for name, found in versions.items()},
        "max_new_tokens": options.max_new_tokens,
        "load_at_start": load,
    }


def print_report(facts: dict[str, Any], ways: Sequence[Way], runs: dict[str, list[Run]]) -> None:
    """Conditions, table, and the remarks below it."""
    every = [run for own in runs.values() for run in own]
    print(f"{facts['machine']}; {facts['threads']} threads everywhere; {facts['date']}")
    print("; ".join(f"{name} {version}" for name, version in facts["versions"].items()))
    count = len(runs[ways[0].key])
    print(f"{count} prompts, at most {facts['max_new_tokens']} new tokens, interleaved; medians [quartiles]", end="")
    print(f"; load {facts['load_at_start']:.2f} before, {max(run.load for run in every):.2f} at most during the runs\n")
    print(markdown(rows(ways, runs)))
    print(f"\n{terms(ways, runs)}")
    fastest = next((way for way in ways if way.key == fastest_peer(ways, runs)), None)
    print(f"\nFastest peer: {f'{fastest.engine}, {fastest.title}' if fastest else 'none ran'}.", end=" ")
    print("tokens/s leave the prompt out. accepted = accepted ÷ proposed drafts.")
    idle = max(run.idle_share for run in every)
    print(f"While one worker ran, all waiting ones together used at most {idle:.1%} of a core.")
    if BASELINE in runs and "ours-plain" in runs:
        equal = sum(a.same_text(b) for a, b in zip(runs["ours-plain"], runs[BASELINE], strict=True))
        print(f"edgedraft plain and genai plain (the same target/model.onnx) wrote {equal}/{count} equal texts.")
    for remark in sorted({f"{run.way}: {remark}" for run in every for remark in run.remarks}):
        print(remark)


def main() -> None:
    """Set up, measure, report."""
    options = parse_arguments()
    workers: dict[Launch, Worker] = {}
    try:
        manifest = read_bundle(options.bundle, verify_hashes=False).manifest
        questions = last_questions(options.bundle, options.prompts)
        ways = choose_ways(options, questions)
        logs = (options.work or cache_folder() / "peers") / "logs"
        load = os.getloadavg()[0]
        ways = start_workers(ways, logs, usable_cores(), workers)
        runs = measure(ways, workers, questions, options.max_new_tokens, manifest.end_token_ids)
        facts = conditions(options, workers, load)
    except EdgedraftError as error:
        raise SystemExit(f"peers: {error}") from error
    finally:
        for worker in workers.values():
            worker.close()
    print_report(facts, ways, runs)
    if options.json:
        data = as_data(facts, rows(ways, runs), runs)
        options.json.write_text(json.dumps(data, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
