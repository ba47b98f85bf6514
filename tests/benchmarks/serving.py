"""Many clients of `edgedraft serve` at once: is every answer that of its prompt alone, and how fast are all together?

    python -m tests.benchmarks.serving BUNDLE [--clients 32] [--seconds 60] [--parallel 4] [--queue 32]
        [--max-tokens 64] [-- OPTIONS of edgedraft serve]

One client first asks for every prompt alone, without drafts: these are the right texts. It asks again with drafts,
which gives the speed of one client. Then all clients ask at once, half of them streaming. An answer is right, or
differs; a status of 429 counts as an answer, too; anything else is lost.
"""

import argparse
import contextlib
import http.client
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from edgedraft.calibration.data.samples import SCORE
from edgedraft.calibration.prompts import shipped_prompts, take
from edgedraft.console import Console

PROMPTS = 16
_PATIENCE_SECONDS = 600.0
_BUSY_PAUSE_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class ServeProcess:
    """A running `edgedraft serve`."""

    process: "subprocess.Popen[str]"
    port: int

    def ask(self, messages: Sequence[dict[str, Any]], **fields: Any) -> tuple[int, str, int]:
        """Return the status, the text and the number of tokens of an answer; OSError where there is none."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE_SECONDS)
        with contextlib.closing(link):
            body = json.dumps({"messages": messages, "stream_options": {"include_usage": True}, **fields})
            link.request("POST", "/v1/chat/completions", body, {"Connection": "close"})
            answer = link.getresponse()
            data = answer.read()
            if answer.status != 200:
                return answer.status, data.decode(), 0
            return 200, *(_streamed(data) if fields.get("stream") else _whole(data))

    def get(self, path: str) -> str:
        """Return what is at an address."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE_SECONDS)
        with contextlib.closing(link):
            link.request("GET", path)
            return link.getresponse().read().decode()

    @property
    def resident_bytes(self) -> int:
        """Return the memory that the process holds (Linux)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024


def _whole(data: bytes) -> tuple[str, int]:
    body = json.loads(data)
    return body["choices"][0]["message"]["content"], body["usage"]["completion_tokens"]


def _streamed(data: bytes) -> tuple[str, int]:
    *events, done = data.decode().removesuffix("\n\n").split("\n\n")
    if done != "data: [DONE]":
        raise ConnectionError(f"a stream ended with {done[:80]!r}")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    text = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    return text, chunks[-1]["usage"]["completion_tokens"]


@contextlib.contextmanager
def serve_process(bundle: Path, *options: str) -> Iterator[ServeProcess]:
    """Run `edgedraft serve` on a free port until the block ends, and stop it as Ctrl-C does."""
    command = [sys.executable, "-m", "edgedraft", "serve", str(bundle), "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            found = re.search(r":(\d+)/v1", first)
            assert found, f"the server did not start: {first!r}"
            yield ServeProcess(process=process, port=int(found[1]))
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()


@dataclass(kw_only=True)
class CrowdRecord:
    """What came back: statuses, texts that differ from those alone, requests without an answer, and tokens."""

    statuses: Counter[int] = field(default_factory=Counter)
    differing: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    tokens: int = 0
    seconds: float = 0.0

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds


def answers_alone(server: ServeProcess, prompts: Sequence[Any], **fields: Any) -> tuple[list[str], float]:
    """Return the text of every prompt, asked for one after the other, and the tokens per second."""
    texts, tokens, started = [], 0, time.perf_counter()
    for messages in prompts:
        status, text, count = server.ask(messages, **fields)
        assert status == 200, text
        texts.append(text)
        tokens += count
    return texts, tokens / (time.perf_counter() - started)


def crowd_of_clients(
    server: ServeProcess, prompts: Sequence[Any], texts: Sequence[str], *, clients: int, seconds: float, **fields: Any
) -> CrowdRecord:
    """Let so many clients ask at once for prompts by chance, and compare their answers with ``texts``."""
    record, lock = CrowdRecord(), threading.Lock()
    started = time.perf_counter()

    def run(number: int) -> None:
        rng = Random(number)
        while time.perf_counter() - started < seconds:
            place = rng.randrange(len(prompts))
            try:
                status, text, tokens = server.ask(prompts[place], stream=number % 2 == 0, **fields)
            except (OSError, http.client.HTTPException, ValueError) as error:
                with lock:
                    record.lost.append(f"{type(error).__name__}: {error}")
                continue
            with lock:
                record.statuses[status] += 1
                record.tokens += tokens
                if status == 200 and text != texts[place]:
                    record.differing.append(f"{texts[place]!r} became {text!r}")
                if status not in (200, 429):
                    record.lost.append(f"status {status}: {text}")
            if status == 429:
                time.sleep(_BUSY_PAUSE_SECONDS)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    record.seconds = time.perf_counter() - started
    return record


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 1 if an answer was lost or differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--parallel", type=int, default=4)
    parser.add_argument("--queue", type=int, default=32)
    parser.add_argument("--max-tokens", type=int, default=64)
    given = list(sys.argv[1:] if arguments is None else arguments)
    ours = given.index("--") if "--" in given else len(given)
    asked, options = parser.parse_args(given[:ours]), given[ours + 1 :]
    prompts = [list(prompt.messages) for prompt in take(shipped_prompts(), SCORE, PROMPTS)]
    limits = {"max_tokens": asked.max_tokens}
    places = ("--parallel", str(asked.parallel), "--queue", str(asked.queue))
    with serve_process(asked.bundle, *places, *options) as server:
        exactness = json.loads(server.get("/v1/models"))["data"][0]["edgedraft"]["exactness"]
        texts, _ = answers_alone(server, prompts, speculate=False, **limits)
        again, alone = answers_alone(server, prompts, **limits)
        warm = min(5.0, asked.seconds / 4)  # every slot has then held a long text
        crowd_of_clients(server, prompts, texts, clients=asked.clients, seconds=warm, **limits)
        before = server.resident_bytes
        record = crowd_of_clients(server, prompts, texts, clients=asked.clients, seconds=asked.seconds, **limits)
        after = server.resident_bytes
    differing = len(record.differing) + sum(one != other for one, other in zip(texts, again, strict=True))
    rows = [
        ("texts are", exactness),
        ("answers", str(record.statuses[200])),
        ("status 429", str(record.statuses[429])),
        ("lost", str(len(record.lost))),
        ("differing texts", str(differing)),
        ("memory at the start", f"{before / 2**20:.0f} MiB"),
        ("memory at the end", f"{after / 2**20:.0f} MiB"),
        ("one client", f"{alone:.1f} tokens/s"),
        (f"{asked.clients} clients in sum", f"{record.tokens_per_second:.1f} tokens/s"),
        ("in sum ÷ one", f"{record.tokens_per_second / alone:.2f}"),
    ]
    console = Console()
    console.table(("", "measured"), rows)
    for line in (*record.lost[:3], *record.differing[:3]):
        console.say(line)
    return 1 if record.lost or differing else 0


if __name__ == "__main__":
    sys.exit(main())
