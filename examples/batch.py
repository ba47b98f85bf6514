"""Answer every line of a file, two at a time, and print JSON lines in the order of the prompts.

python examples/batch.py BUNDLE PROMPTS.txt

PROMPTS.txt holds one prompt per line. An answer ends at an empty line or after 48 tokens.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import edgedraft


def main(bundle: str, file: str) -> None:
    """Print one JSON object for each prompt."""
    model = edgedraft.load(bundle)
    prompts = Path(file).read_text(encoding="utf-8").splitlines()
    answer = partial(model.generate, max_new_tokens=48, stop="\n\n")
    with ThreadPoolExecutor(max_workers=2) as pool:  # one engine serves several threads; each answer has its own cache
        for prompt, answered in zip(prompts, pool.map(answer, prompts), strict=True):
            usage = answered.usage
            record = {"prompt": prompt, "answer": answered.text, "finish_reason": answered.finish_reason}
            print(json.dumps({**record, "tokens": usage.completion_tokens, "seconds": round(usage.seconds, 3)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
