"""edgedraft: trim a drafter's vocabulary for your domain and device, run it there, and measure what it gains.

import edgedraft

model = edgedraft.load("quickstart-bundle")
print(model.generate("Write a function that reverses a linked list."))
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgedraft.runtime.engine import Engine

__version__ = "0.1.0"

__all__ = ["__version__", "load"]


def load(path: str | Path, *, threads: int | None = None, verify_hashes: bool = True) -> "Engine":
    """Check the bundle in ``path`` and open it; ``threads`` overrides the plan's.

    Raises `edgedraft.runtime.errors.EdgedraftError` for anything the bundle promises and does not keep.
    """
    from edgedraft.runtime.engine import Engine

    return Engine.open(Path(path), threads=threads, verify_hashes=verify_hashes)
