"""Are a server's answers what it says, at any number of requests at once? Asks a running OpenAI-compatible server.

    llama-server -m model.gguf -np 4 --port 8080
    python tests/benchmarks/endpoint.py http://127.0.0.1:8080/v1 FOLDER [--prompts 8] [--concurrency 1,4]

FOLDER is the converted model (tokenizer, template, genai_config.json). The first run's answers are compared with those
of the later runs, and with the text that the server's own chat gives.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edgedraft.calibration.answers.completions import AnswerSpec, Way, answer_ids, request_body
from edgedraft.calibration.answers.endpoint import EndpointAnswering
from edgedraft.calibration.answers.sampling import Question, SampledAnswer
from edgedraft.calibration.answers.server import Endpoint, Server
from edgedraft.calibration.prompts import SCORE, shipped_prompts, take
from edgedraft.exporter.models.convert import end_token_ids
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.core.limits import Limits
from edgedraft.runtime.text.codec import TextCodec


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is asked, and of whom."""

    endpoint: partial[Endpoint]
    codec: TextCodec
    wanted: AnswerSpec
    questions: tuple[Question, ...]


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="ends in /v1")
    parser.add_argument("folder", type=Path, help="the converted model")
    parser.add_argument("--model", default="", metavar="NAME", help="where the server has several")
    parser.add_argument("--prompts", type=int, default=8, metavar="N", help="first N scoring prompts (default: 8)")
    parser.add_argument("--max-new-tokens", type=int, default=64, metavar="N", help="per answer (default: 64)")
    parser.add_argument("--concurrency", default="1,4", metavar="N,…", help="one run each (default: 1,4)")
    return parser.parse_args()


def prepare(options: argparse.Namespace) -> Job:
    """Encode the prompts."""
    codec = TextCodec(options.folder)
    prompts = take(shipped_prompts(), SCORE, options.prompts)
    return Job(
        endpoint=partial(Endpoint, url=options.url, model=options.model),
        codec=codec,
        wanted=AnswerSpec(
            limits=Limits(max_new_tokens=options.max_new_tokens, end_token_ids=end_token_ids(options.folder)),
            vocab_size=read_json(options.folder / "genai_config.json")["model"]["vocab_size"],
        ),
        questions=tuple(
            Question(prompt=each, prompt_ids=tuple(codec.encode_chat(each.messages, each.tools))) for each in prompts
        ),
    )


def timed_run(job: Job, concurrency: int) -> tuple[list[SampledAnswer], float]:
    """The answers by prompt, and the seconds they took."""
    answering = EndpointAnswering(endpoint=job.endpoint(concurrency=concurrency), codec=job.codec, spec=job.wanted)
    start = time.perf_counter()
    found = {answer.prompt_id: answer for answer in answering(job.questions)}
    seconds = time.perf_counter() - start
    return [found[question.prompt.id] for question in job.questions], seconds


async def chat_replies(job: Job) -> list[Any]:
    """What the server's own template, tokenizer and chat make of the same conversations."""
    server = Server(job.endpoint())
    model = await server.model_name()
    replies = []
    for question in job.questions:
        body = request_body(Way.CHAT, question, job.codec, job.wanted, model)
        replies.append(await server.post(Way.CHAT.path, body))
    await server.close()
    return replies


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens agree before the first that does not."""
    pairs = zip(first, second, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))


def compare(title: str, first: Sequence[Sequence[int]], second: Sequence[Sequence[int]]) -> None:
    """One line on how many answers are equal, and how far the others agree."""
    equal = sum(tuple(a) == tuple(b) for a, b in zip(first, second, strict=True))
    parted = [f"{common_prefix(a, b)}/{len(a)}" for a, b in zip(first, second, strict=True) if tuple(a) != tuple(b)]
    print(
        f"{title}: {equal} of {len(first)} answers equal"
        + (f"; others agree for {', '.join(parted)}" if parted else "")
    )


def main() -> None:
    """Run, compare, print."""
    options = parse_arguments()
    try:
        job = prepare(options)
        first: list[tuple[int, ...]] = []
        for concurrency in map(int, options.concurrency.split(",")):
            load = os.getloadavg()[0]
            answers, seconds = timed_run(job, concurrency)
            tokens = [answer.token_ids for answer in answers]
            total = sum(map(len, tokens))
            speed = f"{seconds:.1f} s, {total / seconds:.1f} tokens/s, load {load:.1f}"
            print(f"{concurrency} at once: {total} tokens, {speed}", flush=True)
            if first:
                compare("  beside the first run", first, tokens)
            first = first or tokens
        replies = asyncio.run(chat_replies(job))
    except EdgedraftError as error:
        raise SystemExit(f"endpoint: {error}") from error
    texts = [reply["choices"][0]["message"]["content"] for reply in replies]
    same = sum(job.codec.decode(ids) == text for ids, text in zip(first, texts, strict=True))
    print(f"the server's own chat wrote {same} of {len(texts)} texts letter for letter")
    pairs = zip(replies, job.questions, strict=True)
    compare(
        "its texts, encoded anew", first, [answer_ids(reply, asked, job.codec, job.wanted) for reply, asked in pairs]
    )


if __name__ == "__main__":
    main()
