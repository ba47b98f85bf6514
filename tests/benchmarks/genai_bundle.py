"""What stock onnxruntime-genai makes of a bundle: its target alone, with the full drafter, and with the trimmed one.

    python -m tests.benchmarks.genai_bundle BUNDLE [--prompts 12] [--max-new-tokens 128] [--drafts N] [--json FILE]

From the checkout's root. The full drafter is the one that the trimmed one was cut from, out of the cache. Every way is
a process of its own (about 1.5 GB for the packaged pair); prompt by prompt they answer in a turning order. Where a text
leaves the target's own, our runtime tells how far apart the target holds the two tokens there.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgedraft.calibration.data.samples import SCORE
from edgedraft.calibration.prompts import shipped_prompts, take
from edgedraft.console import Console
from edgedraft.devices.machine import this_machine, usable_cores
from edgedraft.exporter.models.cache import cache_folder
from edgedraft.exporter.models.convert import GRAPH_NAME
from edgedraft.exporter.models.trimmed import full_graph
from edgedraft.runtime.base.files import read_json, write_json
from edgedraft.runtime.base.intervals import Interval
from edgedraft.runtime.base.records import to_plain
from edgedraft.runtime.bundle.reading import read_bundle
from edgedraft.runtime.core.model import LanguageModel, prefill
from edgedraft.runtime.core.statistics import median_interval
from edgedraft.runtime.onnx.session import SessionSettings, open_model
from edgedraft.runtime.text.codec import TextCodec
from tests.benchmarks.peer_workers.host_graphs import plain_config
from tests.benchmarks.peer_workers.host_process import Launch, Worker

ALONE, FULL, TRIMMED = "target alone", "full-vocabulary drafter", "trimmed drafter"
WAYS = (ALONE, FULL, TRIMMED)
WARM_UP_TOKENS = 8
_SETTINGS = "genai_config.json"


@dataclass(frozen=True, kw_only=True)
class Said:
    """One greedy answer: its tokens, how many of them a second, and of the drafts how many the target kept."""

    tokens: tuple[int, ...]
    tokens_per_second: float
    proposed: int
    accepted: int


@dataclass(frozen=True, kw_only=True)
class Parting:
    """Where a text leaves the target's own, and how sure the target is there.

    ``apart`` is how far apart it holds the two tokens; ``wobble`` how far its own logits differ at most between a pass
    that reads that place alone and one that reads it with others, which is what genai verifies drafts by.
    """

    place: int
    apart: float
    wobble: float

    @property
    def is_a_tie(self) -> bool:
        """Whether the target's own rounding can turn one choice into the other: each of the two may wobble."""
        return self.apart <= 2 * self.wobble


def genai_folders(bundle: Path, full: Path, room: Path, session_options: Mapping[str, Any]) -> dict[str, Path]:
    """A folder for genai a way: the bundle's own configuration, changed only in its drafter and ``session_options``.

    The graphs stay where they are: ``bundle`` and ``full``, the drafter's folder, are linked, as genai refuses paths
    that lead out by themselves.
    """
    config = read_json(bundle / _SETTINGS)
    for decoder in (config["model"]["decoder"], config["model"]["draft"]):
        decoder["filename"] = f"bundle/{decoder['filename']}"
        decoder["session_options"] |= session_options
    whole = json.loads(json.dumps(config))
    whole["model"]["draft"]["filename"] = f"full/{GRAPH_NAME}"
    folders = {}
    for way, own in {ALONE: plain_config(config), FULL: whole, TRIMMED: config}.items():
        folders[way] = room / way.replace(" ", "-")
        folders[way].mkdir()
        for name, models in (("bundle", bundle), ("full", full)):
            (folders[way] / name).symlink_to(models.resolve(), target_is_directory=True)
        write_json(folders[way] / _SETTINGS, own)
    return folders


@contextmanager
def engine(way: str, folder: Path, logs: Path) -> Iterator[Worker]:
    """A process with stock onnxruntime-genai that has opened ``folder``."""
    launch = Launch(
        name=f"genai-{way.replace(' ', '-')}",
        python=Path(sys.executable),
        script="onnx_genai.py",
        config=json.dumps({"folder": str(folder)}),
    )
    worker = Worker(launch, logs, usable_cores())
    try:
        yield worker
    finally:
        worker.close()


def ask(worker: Worker, prompt: Sequence[int], size: int, **speculative: int) -> Said:
    """At most ``size`` greedy tokens after ``prompt``; ``speculative`` options stand above the configuration's."""
    drafts = "alone" not in worker.launch.name
    options = {"drafts": drafts, **({"speculative": speculative} if drafts and speculative else {})}
    texts = {"prompt_ids": list(prompt), "prompt_text": "", "max_new_tokens": size, "end_token_ids": []}
    told = worker.ask(texts | {"options": options})
    return Said(
        tokens=tuple(told["answer"]),
        tokens_per_second=told["timed_tokens"] / told["decode_seconds"] if told["timed_tokens"] else 0.0,
        proposed=told["proposed"] or 0,
        accepted=told["accepted"] or 0,
    )


def first_difference(text: Sequence[int], other: Sequence[int]) -> int | None:
    """The first place where two texts differ; where one ends earlier, its end."""
    pairs = zip(text, other, strict=False)
    found = next((place for place, (mine, theirs) in enumerate(pairs) if mine != theirs), None)
    return min(len(text), len(other)) if found is None and len(text) != len(other) else found


def parting(target: LanguageModel, prompt: Sequence[int], own: Sequence[int], other: Sequence[int]) -> Parting | None:
    """Where ``other`` leaves the target's ``own`` text; None where it does not."""
    place = first_difference(own, other)
    if place is None or place == min(len(own), len(other)):
        return None if place is None else Parting(place=place, apart=np.inf, wobble=0.0)
    context = [*prompt, *own[:place]]
    target.rewind(0)
    together = prefill(target, context).copy()
    target.rewind(len(context) - 1)
    alone = target.read(context[-1:]).logits[0]
    return Parting(
        place=place,
        apart=float(abs(together[own[place]] - together[other[place]])),
        wobble=float(np.abs(together - alone).max()),
    )


def coding_prompts(bundle: Path, count: int) -> dict[str, list[int]]:
    """Shipped held-out prompts by their names, as token ids."""
    codec, asked = TextCodec(bundle), take(shipped_prompts(), SCORE, count)
    return {prompt.id: codec.encode_chat([dict(message) for message in prompt.messages]) for prompt in asked}


def full_drafter(bundle: Path, folder: Path) -> Path:
    """``folder``, made, with the full drafter that the bundle's was cut from, prepared for the same provider."""
    manifest = read_bundle(bundle, verify_hashes=False).manifest
    folder.mkdir()
    found = full_graph(manifest, cache_folder() / "onnx", folder)
    if found is None:
        raise SystemExit(f"genai_bundle: {manifest.drafter.conversion}: the full drafter cannot be had; export again")
    for name in found.needs.data:
        shutil.copyfile(found.data_folder / name, folder / name)  # onnxruntime refuses links that lead out
    return folder


def measured(
    workers: Mapping[str, Worker], prompts: Mapping[str, list[int]], options: argparse.Namespace, console: Console
) -> dict[str, list[Said]]:
    """What every way says to every prompt; the first prompt is begun once beforehand, uncounted."""
    said: dict[str, list[Said]] = {way: [] for way in WAYS}
    drafts = {"max_draft_tokens": options.drafts} if options.drafts else {}
    questions = list(prompts.values())
    for turn, prompt in enumerate([questions[0], *questions]):
        for step in range(len(WAYS)):
            way = WAYS[(turn + step) % len(WAYS)]
            size = options.max_new_tokens if turn else min(options.max_new_tokens, WARM_UP_TOKENS)
            answer = ask(workers[way], prompt, size, **drafts)
            if turn:
                said[way].append(answer)
        console.progress("prompts", turn, len(questions))
    return said


def ratio(said: Sequence[Said], others: Sequence[Said]) -> Interval:
    """Speed over that of another way, prompt by prompt; answers of one token have none."""
    pairs = [(one.tokens_per_second, other.tokens_per_second) for one, other in zip(said, others, strict=True)]
    return median_interval([one / other for one, other in pairs if one and other])


def row(way: str, said: Mapping[str, list[Said]], partings: Mapping[str, list[Parting | None]]) -> tuple[str, ...]:
    """A way's line of the table."""
    own, proposed = said[way], sum(each.proposed for each in said[way])
    return (
        way,
        told(median_interval([each.tokens_per_second for each in own if each.tokens_per_second]), ".1f"),
        told(ratio(own, said[ALONE]), ".2f", "×"),
        told(ratio(own, said[FULL]), ".2f", "×"),
        f"{sum(each.accepted for each in own) / proposed:.1%} of {proposed:,}" if proposed else "–",
        f"{sum(each is None for each in partings[way])} of {len(own)}",
    )


def told(value: Interval, form: str, unit: str = "") -> str:
    """Median and quartiles in words."""
    return f"{value.value:{form}}{unit} [{value.low:{form}}–{value.high:{form}}]"


def main() -> None:
    """Run every way, print the table and where texts part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path, help="a folder written by edgedraft export")
    parser.add_argument("--prompts", type=int, default=12, metavar="N")
    parser.add_argument("--max-new-tokens", type=int, default=128, metavar="N")
    parser.add_argument("--drafts", type=int, metavar="N", help="in a round (default: what the bundle says)")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="of each session; 0 leaves it to genai")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every answer")
    options, console = parser.parse_args(), Console()
    prompts = coding_prompts(options.bundle, options.prompts)
    threads = {"intra_op_num_threads": options.threads} if options.threads else {}
    with tempfile.TemporaryDirectory() as name:
        room = Path(name)
        folders = genai_folders(options.bundle, full_drafter(options.bundle, room / "full"), room, threads)
        logs = cache_folder() / "logs"
        with (
            engine(ALONE, folders[ALONE], logs) as alone,
            engine(FULL, folders[FULL], logs) as full,
            engine(TRIMMED, folders[TRIMMED], logs) as trimmed,
        ):
            versions = alone.facts["versions"]
            said = measured({ALONE: alone, FULL: full, TRIMMED: trimmed}, prompts, options, console)
    report(options, prompts, said, versions, console)


def report(
    options: argparse.Namespace,
    prompts: Mapping[str, list[int]],
    said: Mapping[str, list[Said]],
    versions: Mapping[str, str],
    console: Console,
) -> None:
    """The table, its conditions, and a line for each text that is not the target's own."""
    bundle = read_bundle(options.bundle, verify_hashes=False)
    target = open_model(bundle.target_graph, SessionSettings(threads=usable_cores()))
    answers = list(zip(prompts.values(), said[ALONE], strict=True))
    partings = {
        way: [
            parting(target, prompt, own.tokens, other.tokens)
            for (prompt, own), other in zip(answers, said[way], strict=True)
        ]
        for way in WAYS
    }
    engines = ", ".join(f"{name} {version}" for name, version in versions.items())
    drafts = options.drafts or read_json(options.bundle / _SETTINGS)["speculative"]["max_draft_tokens"]
    console.say(f"{this_machine().name}; {options.threads or 'unset'} threads; {engines}")
    size = f"K {bundle.manifest.plan.draft_vocab_size:,} of {bundle.manifest.target_vocab_size:,}"
    asked = f"{len(prompts)} prompts of up to {options.max_new_tokens} tokens"
    console.say(f"{size}, {drafts} drafts a round; {asked}, interleaved; medians [quartiles]")
    header = ("in stock onnxruntime-genai", "tokens/s", "÷ alone", "÷ full drafter", "accepted", "texts as alone")
    console.table(header, [row(way, said, partings) for way in WAYS])
    for way in WAYS[1:]:
        for name, found in zip(prompts, partings[way], strict=True):
            if found is not None:
                console.say(
                    f"{way}, {name}: other text from token {found.place} on, where the target holds the two tokens "
                    f"{found.apart:.2f} logits apart and its own passes differ by up to {found.wobble:.2f}"
                )
    if options.json:
        write_json(options.json, to_plain({"versions": versions, "said": said, "partings": partings}))


if __name__ == "__main__":
    main()
