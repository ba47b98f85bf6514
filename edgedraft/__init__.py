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


def load(
    path: str | Path,
    *,
    threads: int | None = None,
    context_length: int | None = None,
    verify_hashes: bool = True,
    target_provider: str = "cpu",
    drafter_provider: str = "cpu",
) -> "Engine":
    """Check the bundle in ``path`` and open it.

    ``threads`` overrides the plan's, ``context_length`` (tokens of prompt and answer together) is 2,048 unless given;
    providers are onnxruntime's execution providers by short name: `webgpu` is any GPU, with ``edgedraft[webgpu]``; the
    two may differ. Raises `edgedraft.runtime.base.errors.EdgedraftError` for anything that the bundle promises and
    does not keep, or for a provider that is not there.

    >>> model = load("quickstart-bundle")  # doctest: +SKIP
    >>> for piece in model.stream("Reverse a list in Python."):  # doctest: +SKIP
    ...     print(piece.text, end="", flush=True)
    """
    from edgedraft.runtime.core.model import CONTEXT_LENGTH
    from edgedraft.runtime.engine import Engine

    return Engine.open(
        Path(path),
        threads=threads,
        context_length=context_length or CONTEXT_LENGTH,
        verify_hashes=verify_hashes,
        target_provider=target_provider,
        drafter_provider=drafter_provider,
    )
