"""Change one random number in every vector file and see that the tests of both languages fail for every file.

A number that no test notices proves nothing; this finds it. Run ``python -m tests.vectors.perturb --seeds 20`` (after
``npm ci`` in runtime/web), or with ``--every`` to change every number both ways, by pytest alone.
"""

import argparse
import contextlib
import io
import itertools
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent
WEB = FOLDER.parents[1] / "runtime" / "web"
VITEST = ("node_modules/.bin/vitest", "run", "--reporter=json", "--no-color")
LEAST, MOST = 0.05, 0.5  # of a number that is not whole
STEPS = 3  # of a whole number


def families() -> list[str]:
    """Return the names of the vector files."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def places(value: object) -> Iterator[tuple[str | int, ...]]:
    """Return where the numbers of a file are, as keys from the top."""
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        yield ()
    elif isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from ((key, *place) for place in places(item))


def moved(number: float, up: bool, share: float) -> float:
    """Return ``number`` moved up or down by ``share`` of the range; it keeps its sign, and 0 moves away from 0."""
    if isinstance(number, int):
        step = 1 + min(int(share * STEPS), STEPS - 1)
        return number + step if up or 0 <= number < step else number - step
    amount = (abs(number) or 1.0) * (LEAST + share * (MOST - LEAST))
    return number + amount if up or number == 0 else number - amount


def with_moved(text: str, place: tuple[str | int, ...], up: bool, share: float) -> tuple[str, str]:
    """Return the file with the number at ``place`` moved, and a line that says so."""
    data = json.loads(text)
    holder = data
    for key in place[:-1]:
        holder = holder[key]
    before = holder[place[-1]]
    holder[place[-1]] = moved(before, up, share)
    return json.dumps(data), f"{'.'.join(map(str, place))}: {before} -> {holder[place[-1]]}"


class Outcomes:
    """A pytest plugin that notes the test files in which something failed."""

    def __init__(self) -> None:
        self.failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._note(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._note(report.nodeid)

    def _note(self, nodeid: str) -> None:
        self.failed.add(Path(nodeid.split("::")[0]).stem.removeprefix("test_"))


def failed_in_python(folder: Path, wanted: list[str]) -> set[str]:
    """Run Python's tests of the ``wanted`` families, in this process, on ``folder``; return those that failed."""
    os.environ["EDGEDRAFT_VECTORS"] = str(folder)
    outcomes = Outcomes()
    options = ["-q", "--no-header", "--tb=no", "-p", "no:cacheprovider", "--import-mode=importlib"]
    files = [str(FOLDER / f"test_{family}.py") for family in wanted]
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main([*options, "--confcutdir", str(FOLDER), *files], plugins=[outcomes])
    return outcomes.failed


def failed_in_typescript(folder: Path, wanted: list[str]) -> set[str]:
    """Run TypeScript's tests of the ``wanted`` families on ``folder``; return those that failed."""
    files = [f"tests/vectors/{family}.test.ts" for family in wanted]
    environment = os.environ | {"EDGEDRAFT_VECTORS": str(folder)}
    run = subprocess.run([*VITEST, *files], cwd=WEB, env=environment, capture_output=True, text=True)
    report = json.loads(run.stdout[run.stdout.index("{") :])
    by_family = {Path(each["name"]).name.removesuffix(".test.ts"): each["status"] for each in report["testResults"]}
    assert set(by_family) == set(wanted), f"not every family was read: {sorted(by_family)}"
    return {family for family, status in by_family.items() if status != "passed"}


RUNS = {"pytest": failed_in_python, "Vitest": failed_in_typescript}


def survivors(folder: Path, changes: dict[str, str], runs: list[str]) -> list[str]:
    """Return the changes that the tests of some language did not notice."""
    lines = []
    for name in runs:
        failed = RUNS[name](folder, sorted(changes))
        lines += [
            f"{name} passes with {family}.json: {said}" for family, said in changes.items() if family not in failed
        ]
    return lines


def random_round(texts: dict[str, str], seed: int) -> dict[str, tuple[str, str]]:
    """Return every file with one number changed at random, and what was changed."""
    rng = random.Random(seed)
    return {
        family: with_moved(text, rng.choice(list(places(json.loads(text)))), rng.random() < 0.5, rng.random())
        for family, text in texts.items()
    }


def every_round(texts: dict[str, str], number: int) -> dict[str, tuple[str, str]]:
    """Return every file that has a change of this number: each of its numbers by the least amount, down and up."""
    found = {}
    for family, text in texts.items():
        changes = list(itertools.product(places(json.loads(text)), (False, True)))
        if number < len(changes):
            place, up = changes[number]
            found[family] = with_moved(text, place, up, 0.0)
    return found


def run_rounds(texts: dict[str, str], rounds: Iterator[dict[str, tuple[str, str]]], runs: list[str]) -> int:
    """Run every round, print what survived, and return how many changes did."""
    count, lines, began = 0, [], time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for changed in rounds:
            for family, text in texts.items():
                (folder / f"{family}.json").write_text(changed.get(family, (text, ""))[0], encoding="utf-8")
            found = survivors(folder, {family: said for family, (_, said) in changed.items()}, runs)
            print("".join(f"{line}\n" for line in found), end="")
            lines += found
            count += len(changed)
    seconds = math.ceil(time.perf_counter() - began)
    print(f"{count} changes in {len(texts)} files, {' and '.join(runs)}: {len(lines)} not noticed ({seconds} s)")
    return len(lines)


def main() -> int:
    """Run the rounds that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="random rounds, each over every file")
    parser.add_argument("--every", action="store_true", help="every number down and up, by pytest alone")
    options = parser.parse_args()
    texts = {family: (FOLDER / f"{family}.json").read_text(encoding="utf-8") for family in families()}
    if options.every:
        most = max(2 * len(list(places(json.loads(text)))) for text in texts.values())
        return min(run_rounds(texts, (every_round(texts, number) for number in range(most)), ["pytest"]), 1)
    for name, failed in ((name, run(FOLDER, families())) for name, run in RUNS.items()):
        if failed:
            sys.exit(f"{name} fails before anything is changed: {', '.join(sorted(failed))}")
    return min(run_rounds(texts, (random_round(texts, seed) for seed in range(options.seeds)), list(RUNS)), 1)


if __name__ == "__main__":
    sys.exit(main())
