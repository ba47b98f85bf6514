"""Does a bundle, unchanged, open in a browser and say what Python says? Tokens and seconds, in headless Chromium.

    python -m tests.benchmarks.page BUNDLE [--provider wasm|webgpu] [--tokens N] [--threads N] [--prompt TEXT]

Python's answer is greedy and without drafts, the page's greedy with the bundle's drafter. Needs chromium, Node.js and
the npm packages of runtime/web. Seconds show that an answer comes in a usable time here, never how fast a phone is. The
exit status is 1 where fewer tokens came than Python gave; tokens that differ are shown, as packed products round
activations in each provider's own way.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgedraft.console import Console
from edgedraft.runtime.engine import DecodingOptions, Engine
from tests.browser.driving import build_harness, drive_browser, harness_site, serving

PROMPT, TOKENS, CONTEXT = "Write a Python function that sorts a list.", 10, 256
SECONDS = 3600

SCRIPT = """
const { Engine } = window.edgedraft;
const started = performance.now();
const providers = { targetProvider: "PROVIDER", drafterProvider: "PROVIDER" };
const settings = { contextLength: CONTEXT, withFull: false, threads: THREADS, ...providers };
const engine = await Engine.open(new URL("./", location.href), settings, () => {});
const opened = performance.now();
const ids = [];
let accepted = 0;
const prompt = engine.encodeChat([{ role: "user", content: PROMPT }]);
for await (const round of engine.rounds(prompt, { maxNewTokens: TOKENS, policy: "fixed" })) {
  ids.push(...round.tokenIds);
  accepted += round.accepted;
}
const ended = performance.now();
const result = {
  ids, accepted, text: engine.decode(ids), providers: engine.providers,
  openingSeconds: (opened - started) / 1000, answerSeconds: (ended - opened) / 1000,
};
await engine.close();
return result;
"""


@dataclass(frozen=True, kw_only=True)
class PageRun:
    """How a bundle is asked in the page."""

    bundle: Path
    provider: str = "wasm"
    tokens: int = TOKENS
    threads: int = 2
    prompt: str = PROMPT


def python_ids(run: PageRun) -> list[int]:
    """Return the greedy answer of the target alone, in Python."""
    with Engine.open(run.bundle, context_length=CONTEXT, verify_hashes=False) as engine:
        prompt = engine.codec.encode_chat([{"role": "user", "content": run.prompt}])
        rounds = engine.rounds(prompt, engine.limits(run.tokens), DecodingOptions(speculate=False))
        return [token for round_ in rounds for token in round_.token_ids]


def page_answer(run: PageRun) -> dict[str, Any]:
    """Return the page's answer: ids, text, accepted drafts, providers and seconds; the page must have been quiet."""
    script = SCRIPT
    values = {"CONTEXT": CONTEXT, "THREADS": run.threads, "TOKENS": run.tokens, "PROVIDER": run.provider}
    for name, value in values.items():
        script = script.replace(name, str(value))
    script = script.replace("PROMPT", json.dumps(run.prompt))
    build_harness()
    with serving(harness_site(run.bundle)) as root:
        step = {"evaluate": script, "as": "answer", "timeout_seconds": SECONDS}
        driven = drive_browser(root, [step], seconds=SECONDS + 60)
        driven.require_quiet(root)
    answer: dict[str, Any] = driven.results["answer"]
    return answer


def main() -> int:
    """Ask both, and print what came."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--provider", choices=("wasm", "webgpu"), default="wasm")
    parser.add_argument("--tokens", type=int, default=TOKENS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt", default=PROMPT)
    run = PageRun(**vars(parser.parse_args()))
    console = Console()
    expected, found = python_ids(run), page_answer(run)
    ids = found["ids"]
    same = sum(a == b for a, b in zip(ids, expected, strict=False))
    console.say(f"Python: {expected}")
    console.say(f"Page:   {ids}")
    console.say(f"{same} of {len(expected)} tokens are equal, {found['accepted']} were drafted. {found['text']!r}")
    console.say(f"Opened in {found['openingSeconds']:.0f} s, answered in {found['answerSeconds']:.0f} s.")
    return 0 if len(ids) >= len(expected) else 1


if __name__ == "__main__":
    sys.exit(main())
