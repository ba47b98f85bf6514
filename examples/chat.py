"""Chat with a bundle: type a line, read the answer, until the input ends (Ctrl+D). Each turn processes only new text.

python examples/chat.py BUNDLE
"""

import sys
from collections.abc import Mapping
from typing import Any

import edgedraft


def main(bundle: str) -> None:
    """Answer every line of standard input as one conversation."""
    model = edgedraft.load(bundle)
    messages: list[Mapping[str, Any]] = [{"role": "system", "content": "Answer in one short sentence."}]
    for line in sys.stdin:
        messages.append({"role": "user", "content": line.strip()})
        messages.append(model.chat(messages, max_new_tokens=48, temperature=0.7, seed=1))
        print(messages[-1]["content"], flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
