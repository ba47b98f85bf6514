"""Child process that compares a converted fp32 graph with its source, so that its memory is freed at the end.

Usage: python -m edgedraft.exporter.equality.worker_check MODEL_FOLDER GRAPH_FOLDER RESULT_FILE

The result file holds the deviation; the parent process decides what follows from it.
"""

import sys
from pathlib import Path

from edgedraft.exporter.equality.checking import check_weights, family_of
from edgedraft.exporter.equality.result import EqualityResult
from edgedraft.runtime.base.kept import write_record

if __name__ == "__main__":
    source, built, result = map(Path, sys.argv[1:])
    write_record(result, check_weights(source, built, EqualityResult(family=family_of(source))))
