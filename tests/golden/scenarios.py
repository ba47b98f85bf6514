"""The commands that are recorded, in the order in which they run: later ones read what earlier ones wrote.

``{target}``, ``{bundle}`` and the like stand for paths, see `workspace.places`. Every command runs with two threads,
as all tests do. Numbers that depend on this machine's speed are replaced only in scenarios marked ``measured``: the
others plan for a named device, so each of their numbers is exact.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """One command line, what is typed into it, and the files of it that are recorded.

    ``files`` name files or folders below the work folder; ``keeps`` names a file that takes what it prints.
    """

    name: str
    command: str
    typed: str = ""
    measured: bool = False
    files: tuple[str, ...] = ()
    keeps: str = ""


_PAIR = (
    "--target {target} --drafter {drafter} --cache {cache} --target-precision fp32 --drafter-precision fp32 "
    "--max-new-tokens 24 --threads 2 --prompts {prompts}"
)
_RUN = "--threads 2 --max-new-tokens 24"
_MAP_KINDS = (
    *("fr-spec", "eagle3", "eagle3-cache", "speculators", "modelopt", "executorch", "text", "json", "edgedraft"),
)

_EXPORTS = (
    Scenario(
        name="export",
        command=f"export {{work}}/bundle {_PAIR} --device rpi5 --vocab-size 256 --draft-length 3 --json",
        files=("bundle",),
    ),
    Scenario(
        name="export measured here",
        command=f"export {{work}}/measured {_PAIR} --vocab-size 192 --draft-length 2 --json",
        measured=True,
        files=("measured/edgedraft.json", "measured/genai_config.json"),
    ),
    Scenario(
        name="export int4 drafter for webgpu",
        command=f"export {{work}}/webgpu {_PAIR} --drafter-precision int4 --device 'snapdragon 8 gen 3' "
        "--provider webgpu --rank-by target --vocab-size 128 --draft-length 2 --json",
        files=("webgpu",),
    ),
    Scenario(
        name="export with a given map",
        command=f"export {{work}}/mapped {_PAIR} --device rpi5 --vocab {{work}}/ends.txt --draft-length 2 "
        "--max-divergence 1 --json",
        files=("mapped/edgedraft.json", "mapped/drafter/index_map.safetensors"),
    ),
)

_CALIBRATIONS = (
    Scenario(name="calibrate", command=f"calibrate {_PAIR} --output {{work}}/saved --json", files=("saved",)),
    Scenario(
        name="calibrate with drawn answers",
        command=f"calibrate {_PAIR} --temperature 0.9 --top-k 20 --seed 1 --json",
    ),
    Scenario(
        name="calibrate count",
        command="calibrate count {chats} --target {target} --cache {cache} --output {work}/text.safetensors --json",
        files=("text.safetensors",),
    ),
    *(
        Scenario(
            name=f"calibrate count, shard {number} of 2",
            command="calibrate count {chats} --target {target} --cache {cache} "
            f"--output {{work}}/part{number}.safetensors --shard {number}/2 --json",
            files=(f"part{number}.safetensors",),
        )
        for number in (1, 2)
    ),
    Scenario(
        name="calibrate merge",
        command="calibrate merge {work}/part2.safetensors {work}/part1.safetensors --output {work}/sum.safetensors "
        "--json",
        files=("sum.safetensors",),
    ),
    Scenario(
        name="calibrate ranked by text",
        command=f"calibrate {_PAIR} --rank-by text drafter --text-counts {{work}}/text.safetensors "
        "--output {work}/by-text --json",
        files=("by-text",),
    ),
    Scenario(
        name="calibrate compare",
        command="calibrate compare {work}/by-text {work}/saved --vocab-size 64 256 1024 --json",
    ),
    Scenario(
        name="calibrate compare counts",
        command="calibrate compare {work}/text.safetensors {work}/saved --vocab-size 64 --draft-length 2 --json",
    ),
)

_PLANS = (
    Scenario(name="plan for a device", command=f"plan {_PAIR} --device rpi5 --json"),
    Scenario(
        name="plan for a device's gpu", command=f"plan {_PAIR} --device 'macbook air m2' --provider webgpu --json"
    ),
    Scenario(
        name="plan within limits",
        command=f"plan {_PAIR} --device rpi5 --min-coverage 0.8 --memory-budget 1GB --json",
    ),
    Scenario(
        name="plan from a saved calibration",
        command=f"plan {_PAIR} --device rpi5 --calibration {{work}}/saved --trials 6 --explain --json",
    ),
    Scenario(
        name="plan among precisions",
        command=f"plan {_PAIR} --device apple-m4 --drafter-precision int4 fp32 --vocab-size 256 --json",
    ),
    Scenario(
        name="plan measured here", command=f"plan {_PAIR} --vocab-size 256 --draft-length 3 --json", measured=True
    ),
    Scenario(name="plan mbsu", command=f"plan {_PAIR} --method mbsu --json"),
    Scenario(
        name="plan mbsu, fixed",
        command=f"plan {_PAIR} --method mbsu --vocab-size 256 --draft-length 2 --json",
    ),
    Scenario(
        name="plan balanced",
        command=f"plan {_PAIR} --method balanced --n-calls 5 --max-vocab-size 1000 --output-dir {{work}}/balanced "
        "--json",
        files=("balanced/summary.json", "balanced/full_results.json"),
    ),
    Scenario(
        name="plan balanced for a data set",
        command="plan --method balanced --dataset-path {chats} --tokenizer-path {target} --n-calls 5 "
        "--max-vocab-size 1000 --config-path {eagle} --cache {cache} --output-dir {work}/balanced-data --json",
        files=("balanced-data/summary.json", "eagle.json"),
    ),
)

_TRIMS = (
    Scenario(
        name="trim a bundle",
        command="trim {work}/bundle --vocab-size 100 --output {work}/trimmed --cache {cache} --json",
        files=("trimmed",),
    ),
    Scenario(
        name="trim a folder like a bundle",
        command="trim {drafter_onnx} --like {work}/bundle --output {work}/like --cache {cache} --json",
        files=("like",),
    ),
    Scenario(
        name="trim a folder by a calibration",
        command="trim {drafter_onnx} --calibration {work}/saved --vocab-size 200 --output {work}/counted "
        "--cache {cache} --json",
        files=("counted/index_map.safetensors",),
    ),
    Scenario(
        name="trim a folder by a map",
        command="trim {drafter_onnx} --vocab {work}/ids.json --kind absolute --output {work}/by-map --cache {cache} "
        "--json",
        files=("by-map/index_map.safetensors",),
    ),
)

_ANSWERS = (
    Scenario(name="generate as planned", command=f"generate {{work}}/bundle 'sort the list' {_RUN} --json"),
    Scenario(
        name="generate speculating",
        command=f"generate {{work}}/bundle 'sort the list' --speculate --policy fixed --log-probs {_RUN} --json",
    ),
    Scenario(
        name="generate adapting to this machine",
        command=f"generate {{work}}/bundle 'sort the list' --speculate {_RUN} --json",
        measured=True,
    ),
    Scenario(name="generate text only", command=f"generate {{work}}/bundle 'sort the list' --plain {_RUN}"),
    Scenario(
        name="generate raw from standard input",
        command=f"generate {{work}}/bundle - --raw --speculate --policy fixed --draft-length 2 {_RUN} --json",
        typed="def merge(left, right):",
    ),
    *(
        Scenario(
            name=f"generate with policy {policy}",
            command=f"generate {{work}}/bundle 'merge the list' --policy {policy} {_RUN} --json",
        )
        for policy in ("fixed", "confident --p-min 0.3", "ngram", "ngram-or-drafter")
    ),
    Scenario(
        name="generate drawn",
        command=f"generate {{work}}/bundle 'merge the list' --speculate --temperature 0.9 --top-p 0.95 --top-k 50 "
        f"--min-p 0.01 --repetition-penalty 1.1 --logit-bias 300=-2 --seed 3 --log-probs {_RUN} --json",
    ),
    Scenario(name="generate until a stop", command=f"generate {{work}}/bundle 'sort' --stop e {_RUN} --json"),
    Scenario(
        name="chat",
        command="chat {work}/bundle --system 'be brief' --threads 2 --max-new-tokens 8 --json",
        typed="sort the list\nand merge\n\n",
    ),
    Scenario(
        name="chat as text",
        command="chat {work}/bundle --speculate --threads 2 --max-new-tokens 8",
        typed="sort the list\n",
    ),
    Scenario(
        name="bench",
        command="bench {work}/bundle --prompts {prompts} -n 2 --max-new-tokens 8 --threads 2 --policy confident "
        "--policy ngram --full-drafter {drafter_onnx} --json",
        measured=True,
        keeps="bench.json",
    ),
)

_REST = (
    Scenario(name="the options of serve", command="serve --help"),
    Scenario(name="devices list", command="devices list --json"),
    Scenario(name="devices list of a kind", command="devices list --kind phone --json"),
    Scenario(name="devices show", command="devices show rpi5 --json"),
    Scenario(name="devices show this machine", command="devices show --json", measured=True),
    Scenario(name="devices validate", command="devices validate --json"),
    Scenario(name="models list", command="models list --json"),
    Scenario(name="vocab inspect", command="vocab inspect {work}/ends.txt --tokenizer {target} --json"),
    Scenario(name="vocab inspect with problems", command="vocab inspect {work}/freq.pt --tokenizer {target} --json"),
    Scenario(name="vocab inspect a kind", command="vocab inspect {work}/ids.json --kind absolute --json"),
    *(
        scenario
        for kind in _MAP_KINDS
        for scenario in (
            Scenario(
                name=f"vocab convert to {kind}",
                command=f"vocab convert {{work}}/freq.pt {{work}}/converted-{kind} --to {kind} --repair --sort "
                "--tokenizer {target} --json",
            ),
            Scenario(
                name=f"vocab inspect what was converted to {kind}",
                command=f"vocab inspect {{work}}/converted-{kind} --tokenizer {{target}} --json",
            ),
        )
    ),
    Scenario(
        name="vocab export from a calibration",
        command="vocab export {work}/saved {work}/kept.safetensors --to eagle3 --vocab-size 128 --tokenizer {target} "
        "--json",
        files=("kept.safetensors",),
    ),
    Scenario(
        name="vocab export from counts",
        command="vocab export {work}/text.safetensors {work}/kept.txt --to text --vocab-size 64 --tokenizer {target} "
        "--json",
        files=("kept.txt",),
    ),
    Scenario(name="push", command="push {work}/bundle org/tiny --json", files=("hub.json",)),
)

SCENARIOS = (*_EXPORTS, *_CALIBRATIONS, *_PLANS, *_TRIMS, *_ANSWERS, *_REST)

_WORDS = (
    *("def", "return", "for", "in", "range", "print", "list", "dict", "value", "index", "node"),
    *("left", "right", "sort", "merge", "the", "of", "a", "to"),
)


def write_inputs(work: Path) -> None:
    """Write the files that scenarios read: prompts, conversations, token maps, an EAGLE-3 configuration."""
    import torch

    asked = [" ".join(_WORDS[(number * step) % len(_WORDS)] for step in range(1, 6)) for number in range(16)]
    prompts = [{"id": f"p{number}", "prompt": text} for number, text in enumerate(asked)]
    chats = [
        {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": asked[-number]}]}
        for number, text in enumerate(asked)
    ]
    lines = [json.dumps(chat) for chat in chats]
    broken = [*lines[:3], "{broken", json.dumps({"messages": [{"role": "user", "content": "why"}]}), *lines[3:]]
    (work / "prompts.jsonl").write_text("\n".join(map(json.dumps, prompts)), encoding="utf-8")
    (work / "chats.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (work / "broken.jsonl").write_text("\n".join(broken), encoding="utf-8")
    (work / "empty.jsonl").write_text("\n", encoding="utf-8")
    (work / "ends.txt").write_text("\n".join(map(str, [1, *range(280, 343)])), encoding="utf-8")
    (work / "endless.txt").write_text("\n".join(map(str, range(280, 344))), encoding="utf-8")
    (work / "ids.json").write_text(json.dumps(list(range(128))), encoding="utf-8")
    torch.save([0, 900, 7, 42, 0], work / "freq.pt")
    torch.save(torch.tensor([3, 5, 9]), work / "ambiguous.pt")
    shape = {"hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2}
    eagle = {**shape, "vocab_size": 1024, "draft_vocab_size": 1024, "head_dim": 32, "num_hidden_layers": 1}
    (work / "eagle.json").write_text(json.dumps(eagle), encoding="utf-8")


def write_broken_bundles(work: Path) -> None:
    """Write copies of the first bundle: with a flipped byte, without a file, of a later schema, with a wrong value."""
    flipped, lacking, later, wrong = (
        shutil.copytree(work / "bundle", work / name) for name in ("flipped", "lacking", "later", "wrong")
    )
    data = bytearray((flipped / "drafter" / "model.onnx.data").read_bytes())
    data[1000] ^= 1
    (flipped / "drafter" / "model.onnx.data").write_bytes(data)
    (lacking / "drafter" / "model.onnx").unlink()
    manifest = json.loads((later / "edgedraft.json").read_text(encoding="utf-8"))
    (later / "edgedraft.json").write_text(json.dumps(manifest | {"schema_version": 99}), encoding="utf-8")
    plan = manifest["plan"] | {"draft_vocab_size": 0}
    (wrong / "edgedraft.json").write_text(json.dumps(manifest | {"plan": plan}), encoding="utf-8")
