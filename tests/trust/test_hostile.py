"""Run `forked_checks.py` in an interpreter of its own: its children need a parent that never used ONNX Runtime."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_hostile_files_in_forked_children():
    command = ("pytest", "-q", "-p", "no:cacheprovider", "tests/trust/forked_checks.py")
    done = subprocess.run([sys.executable, "-m", *command], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
