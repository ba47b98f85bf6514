"""Traces on disk: safetensors, ids as int32, with the format and what the answers are in the header.

Format 2 has one depth. Format 3 has several: the arrays of depth d ≥ 1 are named ``depth d.``, and each has its cap.
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from edgedraft.calibration.trace.rows import AcceptanceTrace, DrawnTrace
from edgedraft.runtime.base.arrays import AnyArray
from edgedraft.runtime.base.errors import EdgedraftError, naming
from edgedraft.runtime.base.json_text import parsed_json
from edgedraft.runtime.base.records import to_plain
from edgedraft.runtime.base.tensors import read_tensors, write_tensors
from edgedraft.runtime.core.sampling import SamplingSettings

FORMAT = "edgedraft acceptance trace 2"
DEPTHS_FORMAT = "edgedraft acceptance trace 3"

Trace = AcceptanceTrace | DrawnTrace

_RECORDS: dict[str, type[Trace]] = {"greedy": AcceptanceTrace, "drawn": DrawnTrace}
_ON_DISK = {"target_ids": np.int32, "wanted": np.int32}


def write_trace(path: Path, trace: Trace, tokenizer_fingerprint: str = "") -> None:
    """Save the trace, its cap, the share of rows it cuts, whose ids it holds; drawn answers with their settings."""
    arrays: dict[str, AnyArray] = {}
    for depth, rows in enumerate(trace.depths):
        for name in _arrays(type(trace)):
            value = getattr(rows, name)
            arrays[_prefix(depth) + name] = value.astype(_ON_DISK.get(name, value.dtype))
    answers = next(name for name, record in _RECORDS.items() if isinstance(trace, record))
    facts = {"format": FORMAT, "answers": answers, "cap": str(trace.cap), "cut_share": str(trace.cut_share)}
    facts["tokenizer"] = tokenizer_fingerprint
    if trace.deeper:
        facts |= {"format": DEPTHS_FORMAT, "caps": json.dumps([rows.cap for rows in trace.depths])}
    if isinstance(trace, DrawnTrace):
        facts["settings"] = json.dumps(to_plain(trace.settings))
    write_tensors(path, arrays, facts, summed=True)


def read_trace(path: Path) -> Trace:
    """Read what `write_trace` wrote; a trace of an older format raises `EdgedraftError` as any other file does."""
    tensors, facts = read_tensors(path)
    record = _RECORDS.get(facts.get("answers", ""))
    if facts.get("format") not in (FORMAT, DEPTHS_FORMAT) or record is None:
        other_format = facts.get("format", "another format")
        raise EdgedraftError(
            f"{path}: not an acceptance-trace file", got=other_format, remedy="trace the answers again"
        )
    try:
        with naming(path):
            return _trace(record, tensors, facts)
    except EdgedraftError:
        raise
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise EdgedraftError(f"{path}: not an acceptance-trace file", got=f"{type(error).__name__} {error}") from error


def _trace(record: type[Trace], tensors: dict[str, AnyArray], facts: dict[str, str]) -> Trace:
    """Build the record from a file's arrays and facts."""
    shared: dict[str, Any] = {"settings": _settings(facts["settings"])} if record is DrawnTrace else {}
    caps = json.loads(facts["caps"]) if facts["format"] == DEPTHS_FORMAT else [int(facts["cap"])]

    def rows(depth: int, **deeper: Any) -> Trace:
        values: dict[str, Any] = {name: tensors[_prefix(depth) + name] for name in _arrays(record)}
        values |= {name: values[name].astype(np.int64) for name in _ON_DISK}
        return record(cap=caps[depth], **values, **shared, **deeper)

    return rows(0, deeper=tuple(rows(depth) for depth in range(1, len(caps))))


def _prefix(depth: int) -> str:
    """Return what the names of a depth's arrays begin with."""
    return f"depth {depth}." if depth else ""


def traced_tokenizer(path: Path) -> str:
    """Return the fingerprint of the tokenizer whose ids a trace file holds; empty where it is not given."""
    return read_tensors(path)[1].get("tokenizer", "")


def _arrays(record: type[Trace]) -> list[str]:
    """Return the fields that are arrays."""
    return [field.name for field in fields(record) if field.name not in ("cap", "deeper", "settings")]


def _settings(text: str) -> SamplingSettings:
    """JSON knows no numbers as keys."""
    plain = parsed_json(text, "settings", infinite=True)
    bias = {int(token): float(value) for token, value in plain.pop("logit_bias").items()}
    return SamplingSettings(logit_bias=bias, **plain)
