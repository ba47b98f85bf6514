"""Counts on disk: safetensors that hold what is not zero, with their provenance in the header."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from edgedraft.calibration.counts import Provenance, TokenCounts
from edgedraft.calibration.data.samples import GROUPS
from edgedraft.runtime.base.errors import EdgedraftError, naming
from edgedraft.runtime.base.json_text import parsed_json
from edgedraft.runtime.base.outputs import require_file_name, require_own_file
from edgedraft.runtime.base.records import from_plain, require, to_plain
from edgedraft.runtime.base.tensors import read_tensors, write_tensors

_MOST_TOKENS = 2**24
_FORMAT = "edgedraft token counts 1"


def require_counts_file(path: Path) -> None:
    """Refuse to replace a file that holds no counts; callers check this before they count."""
    require_file_name(path)
    require_own_file(path, "a file of counts", _FORMAT.encode())


def write_counts(path: Path, counts: TokenCounts) -> None:
    """Save counts; equal counts make equal files, byte for byte."""
    groups, token_ids = np.nonzero(counts.by_group)
    tensors = {
        "groups": groups.astype(np.int64),
        "token_ids": token_ids.astype(np.int64),
        "counts": counts.by_group[groups, token_ids],
        "prompts_by_group": counts.prompts_by_group,
    }
    provenance = json.dumps(to_plain(counts.provenance), sort_keys=True)
    facts = {"format": _FORMAT, "vocab_size": str(counts.vocab_size), "provenance": provenance}
    write_tensors(path, tensors, facts, summed=True)


def read_counts(path: Path) -> TokenCounts:
    """Read what `write_counts` wrote."""
    tensors, metadata = read_tensors(path)
    file_format = metadata.get("format")
    require(file_format == _FORMAT, f"{path}: not a token-counts file", got=f"format {file_format}")
    try:
        with naming(path):
            return _counts(tensors, metadata, f"{path}: provenance")
    except EdgedraftError:
        raise
    except (KeyError, ValueError, TypeError, IndexError, OverflowError) as error:
        raise EdgedraftError(f"{path}: not a token-counts file", got=f"{type(error).__name__}: {error}") from error


def _counts(tensors: dict[str, Any], metadata: dict[str, str], where: str) -> TokenCounts:
    groups, token_ids, counts = (tensors[name] for name in ("groups", "token_ids", "counts"))
    for name, array in (("groups", groups), ("token_ids", token_ids), ("counts", counts)):
        fits = array.dtype == np.int64 and array.shape == (len(counts),)
        require(fits, f"{name}: expected one int64 a count", got=f"{array.dtype} {array.shape}")
    inside = bool((groups >= 0).all() and (token_ids >= 0).all())
    require(inside, "expected no negative group or token id")
    vocab_size = int(metadata["vocab_size"])
    require(1 <= vocab_size <= _MOST_TOKENS, f"vocab_size: expected 1..{_MOST_TOKENS}", got=vocab_size)
    by_group = np.zeros((GROUPS, vocab_size), dtype=np.int64)
    by_group[groups, token_ids] = counts
    require(np.count_nonzero(by_group) == len(counts), "expected every count once and none of zero")
    provenance = from_plain(Provenance, parsed_json(metadata["provenance"], where), where)
    int(provenance.prompts_digest, 16)  # a ValueError here is reported like every other
    return TokenCounts(by_group=by_group, prompts_by_group=tensors["prompts_by_group"], provenance=provenance)
