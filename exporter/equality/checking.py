"""The two steps of a check: first a tiny copy of the configuration, then the converted weights."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from transformers import AutoConfig

from edgedraft.exporter.equality.comparing import TooLittleMemoryError, compare, missing_memory
from edgedraft.exporter.equality.result import EqualityResult
from edgedraft.exporter.equality.tiny_copy import write_tiny_copy
from edgedraft.runtime.base.errors import EdgedraftError, first_line

Converter = Callable[[Path, Path], None]
"""Writes the float graph of the model in one folder to another folder."""


def family_of(source: Path) -> str:
    """Return the architecture that config.json names, or the model's type."""
    config = AutoConfig.from_pretrained(source)
    return str((getattr(config, "architectures", None) or [config.model_type])[0])


def check_configuration(source: Path, convert: Converter, scratch: Path) -> EqualityResult:
    """Convert and compare a tiny random copy of the configuration in ``source``; no weight is read.

    If the converter does not know the architecture, the result is a refusal. If the copy cannot be made, the result
    says that it was not checked.
    """
    result = EqualityResult(family=family_of(source))
    tiny, built = scratch / "tiny", scratch / "tiny-built"
    try:
        write_tiny_copy(source, tiny)
        convert(tiny, built)
        return replace(result, configuration=compare(tiny, built))
    except TooLittleMemoryError as error:
        return replace(result, not_checked=(first_line(error),))
    except (NotImplementedError, EdgedraftError) as error:
        return replace(result, refusal=first_line(error).replace(str(tiny), result.family).replace(str(built), ""))
    except Exception as error:  # the copy may miss what an architecture needs; the weights are compared all the same
        return replace(result, not_checked=(f"a tiny copy of the configuration: {first_line(error)}",))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def check_weights(source: Path, built: Path, result: EqualityResult) -> EqualityResult:
    """Compare the float graph in ``built`` with its source, where memory allows it."""
    reason = missing_memory(built)
    if reason:
        return replace(result, not_checked=(*result.not_checked, reason))
    try:
        return replace(result, weights=compare(source, built))
    except TooLittleMemoryError as error:
        return replace(result, not_checked=(*result.not_checked, first_line(error)))
