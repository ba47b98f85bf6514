"""How fast the assistant's tokens are counted, against the straightforward way, and in how much memory.

    python tests/benchmarks/counting.py MODEL_FOLDER [--compare 20MB] [--rounds N] [--processes N] [--size 1GB]

Writes conversations about code, made from the shipped prompts and the standard library's sources, always the same ones.
Both ways count one file in turns; every difference of their counts is explained. With --size a file of that size is
counted too, as are its first 1 % and 10 %, each in a process of its own whose peak memory is told. Files are deleted.
"""

import argparse
import collections
import json
import random
import re
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from edgedraft.calibration.process_engine import map_on_processes
from edgedraft.calibration.prompts import shipped_prompts
from edgedraft.calibration.text.counting import Counting, CountingJob, count_job
from edgedraft.calibration.text.shards import count_in_shards
from edgedraft.console import Console
from edgedraft.exporter.pipeline.count import SHARDS
from edgedraft.runtime.text.codec import TextCodec

END = "<|im_end|>"
ANSWERS = re.compile(r"<\|im_start\|>assistant\n(.*?<\|im_end\|>)", re.DOTALL)
PROSE = ("Here is one way — it’s short.", "Sure! Note the edge cases:", "Voilà: naïve, but right.", "好的，代码如下：")
UNITS = {"KB": 1e3, "MB": 1e6, "GB": 1e9}
BATCH = 64
ONE_BY_ONE, IN_BATCHES, OURS = "straightforward", f"straightforward, {BATCH} at a time", "ours"


# --- the data --------------------------------------------------------------------------------------------------------


def conversations(seed: int = 0) -> Iterator[dict]:
    """Endless conversations of one to four turns; names in the code change, so that new words keep coming.

    One in 200 holds an answer that begins with a blank line, one in 200 a user's message that quotes the markers.
    """
    chance = random.Random(seed)
    questions = [message["content"] for prompt in shipped_prompts() for message in prompt.messages]
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    sources = [path.read_text(encoding="utf-8", errors="replace") for path in files]
    while True:
        messages = [{"role": "system", "content": "You write Python."}] if chance.random() < 0.5 else []
        for _ in range(chance.randint(1, 4)):
            question = chance.choice(questions)
            if chance.random() < 1 / 500:
                question += f"\n\nWhat is <|im_start|>assistant\nnever said{END} for?"
            messages.append({"role": "user", "content": question})
            messages.append({"role": "assistant", "content": answer(chance, sources)})
        yield {"messages": messages}


def answer(chance: random.Random, sources: list[str]) -> str:
    source = chance.choice(sources)
    start = chance.randrange(max(1, len(source) - 1500))
    code = source[start : start + chance.randint(200, 2500)].partition("\n")[2]
    for name in set(chance.choices(re.findall(r"[a-z]{4,}", code) or ["none"], k=3)):
        code = code.replace(name, "".join(chance.choices("abcdefghijklmnoprstuvw", k=chance.randint(4, 9))))
    blank = "\n" if chance.random() < 1 / 500 else ""
    return f"{blank}{chance.choice(PROSE)}\n\n```python\n{code}\n```"


def write_data(path: Path, size: int) -> None:
    written = 0
    with path.open("w", encoding="utf-8") as file:
        for number, conversation in enumerate(conversations()):
            written += file.write(json.dumps({"id": str(number), **conversation}, ensure_ascii=False) + "\n")
            if written >= size:
                return


# --- the two ways ----------------------------------------------------------------------------------------------------


def straightforward(path: Path, tokenizer, batch: int = 1) -> collections.Counter:
    """Render, tokenize with offsets, and keep the tokens that lie in an answer; ``batch`` conversations at a time."""
    counts: collections.Counter = collections.Counter()
    with path.open(encoding="utf-8") as file:
        while lines := [line for _, line in zip(range(batch), file, strict=False)]:
            texts = [tokenizer.apply_chat_template(json.loads(line)["messages"], tokenize=False) for line in lines]
            encoded = tokenizer(texts, return_offsets_mapping=True, add_special_tokens=False)
            for text, ids, offsets in zip(texts, encoded["input_ids"], encoded["offset_mapping"], strict=True):
                spans = [match.span(1) for match in ANSWERS.finditer(text)]
                for token_id, (start, end) in zip(ids, offsets, strict=True):
                    if any(first <= start and end <= last for first, last in spans):
                        counts[token_id] += 1
    return counts


def ours(path: Path, counting: Counting, processes: int = 1) -> collections.Counter:
    job = CountingJob(counting=counting, reference=path)
    apart = partial(map_on_processes, processes=processes)
    counts = (count_job(job) if processes == 1 else count_in_shards(job, SHARDS, apart)).counts.counts
    return collections.Counter({token_id: int(counts[token_id]) for token_id in counts.nonzero()[0].tolist()})


def counting_with(codec: TextCodec) -> Counting:
    vocab_size = max(codec.tokenizer.get_vocab(with_added_tokens=True).values()) + 1
    assert codec.fingerprint, "read before the clock runs, as the other way's files are"
    return Counting(codec=codec, end_token_ids=(codec.tokenizer.token_to_id(END),), vocab_size=vocab_size)


# --- what is reported ------------------------------------------------------------------------------------------------


def explain(path: Path, counting: Counting, tokenizer) -> collections.Counter:
    """Conversations whose counts differ, by reason."""
    reasons: collections.Counter = collections.Counter()
    with tempfile.TemporaryDirectory() as folder, path.open(encoding="utf-8") as file:
        alone = Path(folder) / "one.jsonl"
        for line in file:
            messages = json.loads(line)["messages"]
            quoted = any("<|im_start|>" in m["content"] for m in messages if m["role"] == "user")
            blank = any(m["content"][:1].isspace() for m in messages if m["role"] == "assistant")
            if not (quoted or blank):
                continue
            alone.write_text(line, encoding="utf-8")
            if ours(alone, counting) != straightforward(alone, tokenizer):
                reasons["the user quotes markers" if quoted else "an answer's first token merged with the prompt"] += 1
    return reasons


def without(path: Path, rest: Path) -> None:
    """The conversations that neither quote markers nor hold an answer that begins with white space."""
    with path.open(encoding="utf-8") as file, rest.open("w", encoding="utf-8") as kept:
        for line in file:
            messages = json.loads(line)["messages"]
            quoted = any("<|im_start|>" in m["content"] for m in messages if m["role"] == "user")
            if not quoted and not any(m["content"][:1].isspace() for m in messages if m["role"] == "assistant"):
                kept.write(line)


def compare(console: Console, options: argparse.Namespace, folder: Path) -> None:
    from transformers import AutoTokenizer

    path, rest = folder / "compare.jsonl", folder / "rest.jsonl"
    write_data(path, options.compare)
    counting, tokenizer = counting_with(TextCodec(options.model)), AutoTokenizer.from_pretrained(options.model)
    ways = {
        ONE_BY_ONE: lambda data: straightforward(data, tokenizer),
        IN_BATCHES: lambda data: straightforward(data, tokenizer, BATCH),
        OURS: lambda data: ours(data, counting),
    }
    if options.processes > 1:
        ways[f"ours, {options.processes} processes"] = lambda data: ours(data, counting, options.processes)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    tokens = {}
    for _ in range(options.rounds):
        for name, count in ways.items():
            started = time.perf_counter()
            tokens[name] = count(path).total()
            seconds[name].append(time.perf_counter() - started)
    rows = []
    for name, took in seconds.items():
        middle = statistics.median(took)
        spread, rate = f"{min(took):.2f}..{max(took):.2f}", f"{tokens[name] / middle:,.0f}"
        rows.append((name, f"{tokens[name]:,}", f"{middle:.2f}", spread, rate))
    console.table(("way", "tokens counted", "seconds, median", "spread", "tokens/s"), rows)
    for way in [name for name in ways if name.startswith(OURS)]:
        for name in (ONE_BY_ONE, IN_BATCHES):
            each = [a / b for a, b in zip(seconds[name], seconds[way], strict=True)]
            low, high = min(each), max(each)
            console.note(
                f"{way} is {statistics.median(each):.1f} times as fast as {name} ({low:.1f}..{high:.1f} by round)"
            )
    without(path, rest)
    equal = ours(rest, counting) == straightforward(rest, tokenizer)
    console.note(f"equal counts where no reason to differ is known: {equal}; conversations that differ:")
    console.note(str(dict(explain(path, counting, tokenizer))))


def memory(console: Console, options: argparse.Namespace, folder: Path) -> None:
    """Peak memory of processes that count 1 %, 10 % and all of a file."""
    rows = []
    for share in (0.01, 0.1, 1.0):
        path = folder / "memory.jsonl"
        write_data(path, int(options.size * share))
        command = [sys.executable, __file__, str(options.model), "--measure", str(path)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        tokens, seconds, peak = map(float, told.split())
        rows.append((f"{path.stat().st_size / 1e6:,.0f}", f"{tokens:,.0f}", f"{seconds:.1f}", f"{peak / 1e6:,.0f}"))
        path.unlink()
    console.table(("file, MB", "tokens counted", "seconds", "peak memory, MB"), rows)


def measure(path: Path, model: Path) -> None:
    started = time.perf_counter()
    tokens = ours(path, counting_with(TextCodec(model))).total()
    seconds = time.perf_counter() - started
    # Linux only: getrusage would tell the peak of the process that started this one where that was higher.
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text()).group(1)
    print(tokens, seconds, int(peak) * 1024)


def size_in_bytes(text: str) -> int:
    number, unit = re.fullmatch(r"([\d.]+)([KMG]B)", text.upper()).groups()
    return int(float(number) * UNITS[unit])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="a folder with a ChatML model's tokenizer.json and chat template")
    parser.add_argument("--compare", type=size_in_bytes, default=size_in_bytes("20MB"))
    parser.add_argument("--rounds", type=int, default=5, help="0 leaves the comparison out")
    parser.add_argument("--processes", type=int, default=1, help="also count with so many processes")
    parser.add_argument("--size", type=size_in_bytes, help="also measure the memory up to a file of this size")
    parser.add_argument("--folder", type=Path, help="where to write the data, a temporary folder by default")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.model)
        return
    console = Console()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        if options.rounds:
            compare(console, options, Path(name))
        if options.size:
            memory(console, options, Path(name))


if __name__ == "__main__":
    main()
