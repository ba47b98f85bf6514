"""Train an EAGLE-3 drafter for the packaged 1.5B target on its own answers to coding prompts; resumes.

    python -m tests.benchmarks.train_eagle [--folder FOLDER] [--start CHECKPOINT] [--minutes N] [--tokens N]

In turn, `edgedraft calibrate --features` writes answers and states of more prompts, and the drafter is trained on all
answers so far. Prompts are made from the Python sources that are installed; HumanEval is never trained on. The layer
is SpecForge's with a norm over each tapped state; token table and head are the target's, as deployed, and stay as they
are. The loss compares with the target's distribution over the K tokens that its answers use most, at three depths of a
training-time test. Each line of the log gives, for held-out answers and for HumanEval, how often the draft of depth 0,
1, 2 and 3 is the target's next token where all drafts before it were right.

FOLDER/checkpoint is in SpecForge's layout, as `edgedraft` reads it.
"""

import argparse
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from edgedraft.exporter.models.cache import cache_folder
from tests.benchmarks import code_prompts, eagle_files, humaneval
from tests.benchmarks.eagle_module import RATE, Drafter

TARGET, PRECISION = "qwen2.5-coder-1.5b-instruct", "int4"
DEPTHS, JUDGED_DEPTHS, TEXTS_A_STEP = 3, 4, 2
CLIP, AVERAGING, WARM_UP = 0.5, 0.99, 20
MOST_PROMPTS, LEAST_SECONDS = 2000, 120
ANSWER_TOKENS, CONTEXT, HELD_OUT_ONE_IN, JUDGED = 200, 768, 16, 24
DRAFT_VOCAB = 8192


@dataclass(kw_only=True)
class Training:
    """The drafter, its average, the optimizer, and how far it has come; ``seen`` counts tokens with repeats."""

    drafter: Drafter
    average: dict[str, Tensor]
    optimizer: torch.optim.Optimizer
    steps: int = 0
    seen: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The target's token table (vocab, hidden), mapped from its file, and the draft tokens with their head rows."""

    table: np.ndarray
    ids: Tensor
    head: Tensor
    rows: Tensor

    def embedded(self, token_ids: Tensor) -> Tensor:
        """Return the table's rows, (1, tokens, hidden)."""
        return torch.from_numpy(self.table[token_ids.numpy()].astype(np.float32))[None]


@dataclass(frozen=True, kw_only=True)
class Depth:
    """The drafts of one depth: logits (drafts, K) and the places of the tokens that they should be."""

    logits: Tensor
    places: Tensor


def depths(drafter: Drafter, data: dict[str, Tensor], words: Vocabulary, count: int) -> Iterator[Depth]:
    """Yield the drafts after every token of an answer but its last, depth by depth.

    Row t joins the state at token t with token t + 1 + depth, and drafts the token behind that.
    """
    ids, prompt = data["input_ids"], int((data["loss_mask"] == 0).sum())
    roots = len(ids) - prompt - 1
    states = drafter.fused(data["aux_hidden_state"][:, :-1].float())
    past: list[tuple[Tensor, Tensor]] = []
    for depth in range(min(count, roots)):
        # The rows whose token lies behind the text's end are filled with its last, and never judged.
        first = prompt if depth else 1
        rows = torch.arange(first, len(ids)) + depth
        embedded = words.embedded(ids[rows.clamp(max=len(ids) - 1)])
        states = drafter.step(embedded, states, past, skip=0 if depth else prompt - 1)
        valid = states.shape[1] - 1 - depth
        if valid < 1:
            return
        places = torch.arange(prompt + 1 + depth, prompt + 1 + depth + valid)
        yield Depth(logits=drafter.logits(states[0, :valid], words.head), places=places)


def loss_of(drafter: Drafter, data: dict[str, Tensor], words: Vocabulary) -> Tensor:
    """Return the cross entropy with the target's distribution, summed over depths with falling weights."""
    ids, total = data["input_ids"], torch.zeros(())
    for depth, drafts in enumerate(depths(drafter, data, words, DEPTHS)):
        known = words.rows[ids[drafts.places]] >= 0
        if bool(known.any()):
            final = data["hidden_state"][0, drafts.places[known] - 1]
            wanted = (final.float() @ words.head.float().T).softmax(-1)
            total = total - 0.8**depth * (wanted * log_softmax(drafts.logits[known], -1)).sum(-1).mean()
    return total


def agreement(drafter: Drafter, files: list[Path], words: Vocabulary) -> dict[str, list[float]]:
    """Return the share of right drafts by depth: of all, and of those behind right drafts alone."""
    right, all_, after = np.zeros(JUDGED_DEPTHS), np.zeros(JUDGED_DEPTHS), np.zeros(JUDGED_DEPTHS)
    behind = np.zeros(JUDGED_DEPTHS)
    for file in files:
        data = torch.load(file, weights_only=True)
        alive = np.ones(len(data["input_ids"]), dtype=bool)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            for depth, drafts in enumerate(depths(drafter, data, words, JUDGED_DEPTHS)):
                hits = (words.ids[drafts.logits.argmax(-1)] == data["input_ids"][drafts.places]).numpy()
                alive = alive[: len(hits)]
                right[depth] += hits.sum()
                all_[depth] += len(hits)
                behind[depth] += alive.sum()
                alive = alive & hits
                after[depth] += alive.sum()
    return {"right": _shares(right, all_), "right_behind_right": _shares(after, behind)}


def _shares(some: np.ndarray, whole: np.ndarray) -> list[float]:
    return [round(float(each), 4) for each in some / np.maximum(whole, 1)]


def train(training: Training, files: list[Path], words: Vocabulary, seconds: float) -> None:
    """Take steps for so many seconds, each on a few answers in an order that differs from pass to pass."""
    order: list[Path] = []
    ends = time.monotonic() + seconds
    parameters = [*training.drafter.parameters()]
    while time.monotonic() < ends:
        for _ in range(TEXTS_A_STEP):
            if not order:
                order = random.Random(training.steps).sample(files, len(files))
            data = torch.load(order.pop(), weights_only=True)
            with torch.autocast("cpu", torch.bfloat16):
                loss = loss_of(training.drafter, data, words) / TEXTS_A_STEP
            if loss.requires_grad:
                loss.backward()
            training.seen += len(data["input_ids"])
        for group in training.optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (training.steps + 1) / WARM_UP)
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        training.optimizer.step()
        training.optimizer.zero_grad(set_to_none=True)
        training.steps += 1
        kept = min(AVERAGING, 1 - 1 / (training.steps + 1))
        for name, weight in training.drafter.named_parameters():
            training.average[name].lerp_(weight.detach(), 1 - kept)


def judge(training: Training, held: dict[str, list[Path]], words: Vocabulary, distinct: int) -> None:
    """Add a line to the log: how the average of the weights agrees with the target."""
    judged = Drafter()
    judged.load_state_dict(training.average)
    found = {name: agreement(judged, files, words) for name, files in held.items() if files}
    line = {"distinct_tokens": distinct, "seen_tokens": training.seen, "steps": training.steps, **found}
    training.log.append(line)
    print(time.strftime("%H:%M:%S"), json.dumps(line), flush=True)


def extend(folder: Path, number: int, count: int) -> None:
    """Write answers and states of the next prompts; number 0 is HumanEval, for judging alone."""
    if number == 0:
        asked = [{"messages": humaneval.chat(problem)} for problem in humaneval.problems(JUDGED)]
        lines = [{"id": f"h{place}", "split": ("rank", "score")[place % 2], **each} for place, each in enumerate(asked)]
    else:
        every = folder / "prompts.json"
        if not every.is_file():
            every.write_text(json.dumps(code_prompts.prompts(MOST_PROMPTS)), encoding="utf-8")
        texts = json.loads(every.read_text(encoding="utf-8"))[(number - 1) * count : number * count]
        lines = [
            {"id": f"c{number}-{place}", "split": "rank" if place % HELD_OUT_ONE_IN else "score", "prompt": text}
            for place, text in enumerate(texts)
        ]
    prompts = folder / f"prompts-{number:03d}.jsonl"
    prompts.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    command = [sys.executable, "-m", "edgedraft", "calibrate", "--features", str(_chunk(folder, number))]
    command += [
        "--target",
        TARGET,
        "--target-precision",
        PRECISION,
        "--prompts",
        str(prompts),
        "--vocab-size",
        str(DRAFT_VOCAB),
    ]
    command += ["--max-new-tokens", str(ANSWER_TOKENS), "--context-length", str(CONTEXT)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def examples(folder: Path, part: str, humaneval_alone: bool = False) -> list[Path]:
    """Return the answers to one half of the prompts, of all that are written whole; or HumanEval's alone."""
    numbers = range(1) if humaneval_alone else range(1, MOST_PROMPTS)
    chunks = [_chunk(folder, number) for number in numbers if _complete(folder, number)]
    return [file for chunk in chunks for file in sorted(chunk.glob(f"{part}/*/*.ckpt"))]


def _chunk(folder: Path, number: int) -> Path:
    return folder / f"features-{number:03d}"


def _complete(folder: Path, number: int) -> bool:
    marker = _chunk(folder, number) / "features.json"
    return marker.is_file() and bool(json.loads(marker.read_text())["complete"])


def vocabulary(table: np.ndarray, files: list[Path]) -> Vocabulary:
    """Return the tokens that the answers use most, and behind them those of the smallest ids."""
    ids = np.sort(eagle_files.token_order(files, len(table))[:DRAFT_VOCAB])
    rows = np.full(len(table), -1)
    rows[ids] = np.arange(len(ids))
    head = torch.from_numpy(table[ids].astype(np.float32)).bfloat16()
    return Vocabulary(table=table, ids=torch.from_numpy(ids), head=head, rows=torch.from_numpy(rows))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=cache_folder(None) / "train-eagle")
    parser.add_argument("--start", type=Path, help="a checkpoint of the same layout whose weights are taken first")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--tokens", type=int, default=200_000, help="distinct tokens to train on at most")
    parser.add_argument("--prompts", type=int, default=48, help="prompts that are answered at a time")
    options = parser.parse_args()
    torch.set_num_threads(2)
    options.folder.mkdir(parents=True, exist_ok=True)
    ends, folder = time.monotonic() + 60 * options.minutes, options.folder
    table = eagle_files.token_table(folder / "table.npy", TARGET, PRECISION)
    training = eagle_files.opened(folder, options.start, Training)
    if not _complete(folder, 0):
        extend(folder, 0, options.prompts)
    while time.monotonic() < ends:
        started = time.monotonic()
        if sum(map(eagle_files.tokens_of, examples(folder, "train"))) < options.tokens:
            extend(
                folder, next(each for each in range(1, MOST_PROMPTS) if not _complete(folder, each)), options.prompts
            )
        files = examples(folder, "train")
        words = vocabulary(table, files)
        held = {
            "held out": examples(folder, "eval")[:JUDGED],
            "humaneval": [*examples(folder, "train", True), *examples(folder, "eval", True)],
        }
        distinct = sum(map(eagle_files.tokens_of, files))
        if not training.log:
            judge(training, held, words, distinct)
        train(training, files, words, max(time.monotonic() - started, LEAST_SECONDS))
        judge(training, held, words, distinct)
        eagle_files.save(folder, training)
    return 0


if __name__ == "__main__":
    sys.exit(main())
