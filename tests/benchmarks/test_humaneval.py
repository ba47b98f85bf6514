"""The judge judges right: good code passes, everything that goes wrong fails and none of it gets out."""

import importlib.util
import sys
import time
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("limits are set the POSIX way", allow_module_level=True)
SPEC = importlib.util.spec_from_file_location("humaneval", Path(__file__).with_name("humaneval.py"))
humaneval = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(humaneval)

PROBLEM = humaneval.Problem(
    name="double",
    prompt='from typing import List\n\n\ndef double(numbers: List[int]) -> List[int]:\n    """Twice each number."""\n',
    entry_point="double",
    test="def check(candidate):\n    assert candidate([1, 2]) == [2, 4]\n",
)
GOOD = "def double(numbers: List[int]) -> List[int]:\n    return [2 * number for number in numbers]\n"


@pytest.mark.parametrize("answer", [GOOD, f"Here it is:\n```python\n{GOOD}```\nIt doubles.", f"```\n{GOOD}"])
def test_right_code_passes_however_it_is_wrapped(answer):
    assert humaneval.passes(PROBLEM, answer)


@pytest.mark.parametrize(
    "body",
    [
        "return numbers",
        "raise SystemExit(0)",
        "import os; os._exit(0)",
        "return [",
        "return 'x' * (3 << 30)",
        "open('big', 'wb').write(bytes(1 << 22)); return [2, 4]",
        "import socket; socket.create_connection(('192.0.2.1', 9), 1); return [2, 4]",
        "import os; return [2, 4] if os.environ.get('HOME') else []",
    ],
)
def test_wrong_code_and_code_that_reaches_out_fails(body):
    assert not humaneval.passes(PROBLEM, f"def double(numbers):\n    {body}\n")


def test_code_that_never_ends_is_ended(monkeypatch):
    monkeypatch.setattr(humaneval, "WALL_SECONDS", 1)
    started = time.monotonic()
    assert not humaneval.passes(PROBLEM, "def double(numbers):\n    while True: pass\n")
    assert time.monotonic() - started < 10


def test_a_block_of_another_kind_is_taken_as_it_is():
    assert humaneval.code_block("no block") == "no block"
    assert humaneval.code_block("a ```x = 1``` b") == "x = 1"
