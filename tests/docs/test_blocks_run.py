"""Code blocks of the documentation run as they stand, unless a comment before them says why they cannot."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import blocks, runnable


@pytest.mark.parametrize("block", runnable("sh"), ids=lambda block: block.name)
def test_a_shell_block_runs(block, documented_folder):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.code],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", runnable("python"), ids=lambda block: block.name)
def test_a_python_block_runs(block, documented_folder):
    done = subprocess.run([sys.executable, "-c", block.code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", runnable("json"), ids=lambda block: block.name)
def test_a_json_block_is_json_lines(block):
    assert all(isinstance(json.loads(line), dict) for line in block.code.splitlines())


def test_there_is_something_to_run():
    assert len(runnable("sh")) >= 6
    assert len(runnable("python")) >= 1
    assert {block.language for block in blocks("bash")} == set(), "shell blocks are marked sh"
