"""Child process that writes a tiny random copy of a configuration, for a converter in another environment.

Usage: python -m edgedraft.exporter.equality.worker_copy MODEL_FOLDER OUTPUT_FOLDER
"""

import sys
from pathlib import Path

from edgedraft.exporter.equality.tiny_copy import write_tiny_copy

if __name__ == "__main__":
    write_tiny_copy(Path(sys.argv[1]), Path(sys.argv[2]))
