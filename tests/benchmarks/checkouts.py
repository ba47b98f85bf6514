"""Compare the decoding speed of two installations of edgedraft on one bundle, prompt by prompt in turn.

python tests/benchmarks/checkouts.py BUNDLE --before OLD/bin/python --after NEW/bin/python --prompts 20

Each installation answers in a process of its own. Both read the same prompts; which one begins changes from prompt to
prompt. The ratio of a prompt is after ÷ before, in tokens per second after the first token. Exact mode is off.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# -P keeps the folder that this is started in off the path: a checkout there would be imported instead.
WORKER = """
import inspect, json, sys, time
import edgedraft
from edgedraft.runtime.engine import DecodingOptions
alike = {"exact": False} if "exact" in inspect.signature(edgedraft.load).parameters else {}
model = edgedraft.load(sys.argv[1], threads=int(sys.argv[2]), verify_hashes=False, **alike)
for line in sys.stdin:
    asked = json.loads(line)
    ids = model.codec.encode_chat([{"role": "user", "content": asked["prompt"]}])
    tokens, first = [], None
    for one in model.rounds(ids, model.limits(asked["tokens"]), DecodingOptions(policy=asked["policy"])):
        now = time.perf_counter()
        first = first or (now, len(one.token_ids))
        tokens += one.token_ids
    decoded = len(tokens) - first[1]
    print(json.dumps({"tokens": tokens, "speed": decoded / (now - first[0]) if decoded else None}), flush=True)
"""


@dataclass(frozen=True, kw_only=True)
class Installation:
    """One installation, answering in a process of its own."""

    process: subprocess.Popen

    @classmethod
    def start(cls, python: Path, bundle: Path, threads: int) -> "Installation":
        command = [str(python), "-P", "-c", WORKER, str(bundle), str(threads)]
        return cls(process=subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))

    def answer(self, prompt: str, policy: str, tokens: int) -> dict:
        self.process.stdin.write(json.dumps({"prompt": prompt, "policy": policy, "tokens": tokens}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def interval(ratios: list[float]) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the median."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(ratios, size=(2000, len(ratios))), axis=1)
    return tuple(np.quantile(medians, (0.025, 0.975)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--before", type=Path, required=True, metavar="PYTHON")
    parser.add_argument("--after", type=Path, default=Path(sys.executable), metavar="PYTHON")
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    from edgedraft.calibration.prompts import shipped_prompts

    chosen = [prompt for prompt in shipped_prompts() if prompt.split == "score"][: options.prompts]
    before, after = (
        Installation.start(python, options.bundle, options.threads) for python in (options.before, options.after)
    )
    for policy in ("plain", "fixed"):
        ratios, equal = [], 0
        for number, prompt in enumerate(chosen):
            order = (before, after) if number % 2 == 0 else (after, before)
            content = prompt.messages[-1]["content"]
            answers = {id(each): each.answer(content, policy, options.max_new_tokens) for each in order}
            old, new = answers[id(before)], answers[id(after)]
            equal += old["tokens"] == new["tokens"]
            if old["speed"] and new["speed"]:
                ratios.append(new["speed"] / old["speed"])
        low, high = interval(ratios)
        middle = np.median(ratios)
        print(f"{policy}: after / before {middle:.3f} [{low:.3f}-{high:.3f}], {equal} of {len(chosen)} texts equal")


if __name__ == "__main__":
    main()
