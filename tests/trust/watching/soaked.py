"""A process that answers as often as it is asked to, and says what it holds: memory, descriptors and threads."""

import gc
import json
import sys
from pathlib import Path
from random import Random
from typing import Any

_CHECKED = "def merge sort"
_WORDS = ("def", "return", "list", "the", "index", "é", "\n", "merge")


def answer_some(model: Any, count: int, rng: Random, leaked: list[bytes] | None) -> None:
    """Give ``count`` answers of every form; ``leaked`` is a planted fault that keeps something of each."""
    for _ in range(count):
        text = " ".join(rng.choices(_WORDS, k=rng.randrange(1, 30)))
        options: dict[str, Any] = {"max_new_tokens": rng.randrange(1, 24)}
        if rng.random() < 0.5:
            options |= {"temperature": rng.random() + 0.1, "seed": rng.randrange(1000)}
        match rng.randrange(4):
            case 0:
                model.generate(text, **options)
            case 1:
                model.chat([{"role": "user", "content": text}], **options)
            case 2:
                list(model.stream(text, **options))
            case _:
                next(iter(model.stream(text, **options)), None)  # a user who stops reading
        if leaked is not None:
            leaked.append(rng.randbytes(20_000))


def main(bundle: Path, seed: int, leaking: bool) -> None:
    """Open the bundle; for every number that comes in a line, give so many answers and print one line of JSON."""
    import psutil

    import edgedraft

    model, rng, process = edgedraft.load(bundle), Random(seed), psutil.Process()
    right = model.generate(_CHECKED, max_new_tokens=16).text
    leaked: list[bytes] | None = [] if leaking else None
    for line in sys.stdin:
        answer_some(model, int(line), rng, leaked)
        same = model.generate(_CHECKED, max_new_tokens=16).text == right
        gc.collect()
        held = {"bytes": process.memory_info().rss, "files": process.num_fds(), "threads": process.num_threads()}
        print(json.dumps({"same": same, **held}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), "leaking" in sys.argv[3:])
