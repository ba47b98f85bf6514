"""The computed vector files are those that the scripts beside them compute."""

import subprocess
import sys
from pathlib import Path


def test_the_committed_files_are_what_make_makes():
    command = [sys.executable, str(Path(__file__).with_name("make.py")), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
