"""Worker: llama.cpp's own programs, called once a prompt; loading is left out by their own clocks."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gguf import GGUFReader, LlamaFileType
from tokenizers import Tokenizer
from worker_protocol import Engine, Task, Timed, serve

_NUMBER = r"\s+([\d.]+)"
_PLAIN_PROMPT = re.compile(rf"prompt eval time ={_NUMBER} ms /{_NUMBER} tokens")
_PLAIN_RUNS = re.compile(rf"(?<!prompt)\s+eval time ={_NUMBER} ms /{_NUMBER} runs")
_PLAIN_TOTAL = re.compile(rf"total time ={_NUMBER} ms")
_ENCODED = re.compile(rf"encoded{_NUMBER} tokens in{_NUMBER} seconds")
_DECODED = re.compile(rf"decoded{_NUMBER} tokens in{_NUMBER} seconds")
_DRAFTED = re.compile(r"n_drafted = (\d+)")
_ACCEPTED = re.compile(r"n_accept  = (\d+)")
_END = " [end of text]"


def numbers(pattern: re.Pattern[str], log: str) -> list[float]:
    """The numbers of one line of a program's log."""
    found = pattern.search(log)
    if found is None:
        raise SystemExit(f"llama.cpp's log has no line like {pattern.pattern!r}; it ends: {log[-300:]!r}")
    return [float(number) for number in found.groups()]


def call(command: Sequence[str]) -> tuple[str, str]:
    """Standard output and standard error of a program that must succeed."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    text, log = (part.decode("utf-8", errors="replace") for part in (done.stdout, done.stderr))
    if done.returncode != 0:
        raise SystemExit(f"{Path(command[0]).name} ended with {done.returncode}: {log[-500:]!r}")
    return text, log


def prompt_remarks(read: int, task: Task) -> list[str]:
    """The same prompt must make the same number of tokens."""
    expected = len(task.prompt_ids)
    return [] if read == expected else [f"llama.cpp read the prompt as {read} tokens, others as {expected}"]


def plain_result(text: str, log: str, task: Task) -> Timed:
    """llama-completion: every decoded token is one run; the clock's total less the prompt is decoding and sampling."""
    prompt_milliseconds, prompt_tokens = numbers(_PLAIN_PROMPT, log)
    runs = int(numbers(_PLAIN_RUNS, log)[1])
    total_milliseconds = numbers(_PLAIN_TOTAL, log)[0]
    return Timed(
        answer=text.rstrip().removesuffix(_END).rstrip(),
        tokens=runs + 1,
        timed_tokens=runs,
        prompt_seconds=prompt_milliseconds / 1e3,
        decode_seconds=(total_milliseconds - prompt_milliseconds) / 1e3,
        overshoots=runs + 1 >= task.max_new_tokens,
        remarks=prompt_remarks(int(prompt_tokens), task),
    )


def drafted_result(text: str, log: str, task: Task, tokenizer: Tokenizer) -> Timed:
    """llama-speculative-simple: it decodes from the prompt's last token on, so every token is timed.

    It may run a few tokens past the limit, and it also counts drafts accepted after an end of turn: an answer that
    ended by itself is counted again from its text.
    """
    prompt_tokens, prompt_seconds = numbers(_ENCODED, log)
    decoded, decode_seconds = numbers(_DECODED, log)
    _, found, answer = text.partition(task.prompt_text)
    if not found:
        raise SystemExit(f"llama-speculative-simple did not repeat the prompt; it wrote {text[:300]!r}")
    answer = answer.rstrip()
    tokens = int(decoded)
    if tokens < task.max_new_tokens:
        tokens = min(tokens, len(tokenizer.encode(answer, add_special_tokens=False).ids) + 1)
    return Timed(
        answer=answer,
        tokens=tokens,
        timed_tokens=tokens,
        prompt_seconds=prompt_seconds,
        decode_seconds=decode_seconds,
        proposed=int(numbers(_DRAFTED, log)[0]),
        accepted=int(numbers(_ACCEPTED, log)[0]),
        overshoots=int(decoded) >= task.max_new_tokens,
        remarks=prompt_remarks(int(prompt_tokens), task),
    )


def load(config: Mapping[str, Any]) -> Engine:
    """Nothing stays loaded: each call opens the files again, from the system's file cache."""
    programs, threads = Path(config["programs"]), str(config["threads"])
    tokenizer = Tokenizer.from_file(config["tokenizer"])
    common = ("-m", config["target"], "-t", threads, "-tb", threads, "-c", str(config["context_length"]))
    greedy = ("--temp", "0", "--top-k", "1", "--samplers", "top_k", "--no-escape", "--perf")

    def answer(task: Task) -> Timed:
        prompt = ("-p", task.prompt_text)
        if length := task.options.get("draft_length"):
            # It stops at one token more than asked for, or a few when it still drafts there.
            drafting = ("-md", config["drafter"], "--spec-type", "draft-simple", "--spec-draft-n-max", str(length))
            size = ("-td", threads, "-tbd", threads, "-n", str(task.max_new_tokens - 1))
            program = str(programs / "llama-speculative-simple")
            text, log = call([program, *common, *greedy, *drafting, *size, *prompt])
            return drafted_result(text, log, task, tokenizer)
        quiet = ("-no-cnv", "--no-display-prompt", "--simple-io", "-n", str(task.max_new_tokens))
        text, log = call([str(programs / "llama-completion"), *common, *greedy, *quiet, *prompt])
        return plain_result(text, log, task)

    weights = sorted({file_type(Path(config[role])) for role in ("target", "drafter")})
    return Engine(answer=answer, versions={"llama.cpp": config["version"]}, weights=", ".join(weights))


def file_type(path: Path) -> str:
    """A GGUF file's own word for its quantization."""
    field = GGUFReader(path).get_field("general.file_type")
    return LlamaFileType(int(field.contents())).name.removeprefix("MOSTLY_") if field else "unknown"


if __name__ == "__main__":
    serve(load)
