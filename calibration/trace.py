"""AcceptanceTrace: what the drafter would have proposed at every position of the target's own answers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgedraft.calibration.sampling import Answer
from edgedraft.runtime.errors import EdgedraftError
from edgedraft.runtime.model import LanguageModel, Logits, prompt_pieces
from edgedraft.runtime.progress import Progress, silent
from edgedraft.runtime.records import require
from edgedraft.runtime.tensors import Array, read_tensors, write_tensors

Ids = npt.NDArray[np.int64]

TOP_TOKENS = 64


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AcceptanceTrace:
    """Greedy choices, position by position, over several answers laid end to end.

    ``target_ids``: int64 (positions,), the target's token; ``drafter_top``: int64 (positions, M), the drafter's best
    tokens, best first, equal logits by smaller id; ``offsets``: int64 (answers + 1,), where each answer begins. An
    answer's first token is left out: the target's pass over the prompt yields it and nothing is drafted for it.
    """

    target_ids: Ids
    drafter_top: Ids
    offsets: Ids

    def __post_init__(self) -> None:
        require(self.drafter_top.ndim == 2, "trace: drafter_top: expected (positions, M)", got=self.drafter_top.shape)
        require(
            len(self.target_ids) == len(self.drafter_top) == int(self.offsets[-1]),
            "trace: expected as many targets as draft rows",
            got=f"{len(self.target_ids)} and {len(self.drafter_top)}",
        )

    @property
    def answers(self) -> int:
        """How many answers the trace holds."""
        return len(self.offsets) - 1


def trace_answers(
    drafter: LanguageModel, answers: Sequence[Answer], top: int = TOP_TOKENS, progress: Progress = silent
) -> AcceptanceTrace:
    """Teacher-force the full-vocabulary drafter over the target's answers.

    A draft is judged only after all earlier drafts of its round were right, so its context is the target's own text:
    one pass over that text sees every draft that any draft length would propose.
    """
    tops, lengths = [], [0]
    for done, entry in enumerate(answers):
        progress("answers traced", done, len(answers))
        rows = [top_tokens(logits, top) for logits in _draft_logits(drafter, entry)]
        tops += rows
        lengths.append(sum(len(row) for row in rows))
    progress("answers traced", len(answers), len(answers))
    targets = [np.asarray(entry.token_ids[1:], dtype=np.int64) for entry in answers]
    return AcceptanceTrace(
        target_ids=np.concatenate(targets),
        drafter_top=np.concatenate(tops) if tops else np.zeros((0, top), dtype=np.int64),
        offsets=np.cumsum(lengths),
    )


def top_tokens(logits: Logits, top: int) -> Ids:
    """Ids of the ``top`` largest logits of each row (rows, vocab) -> (rows, top), best first, ties by smaller id."""
    top = min(top, logits.shape[-1])
    least_kept = np.partition(logits, -top, axis=-1)[:, -top]
    rows = [_best(row, least, top) for row, least in zip(logits, least_kept, strict=True)]
    return np.stack(rows).astype(np.int64)


def _best(row: Logits, least: float, top: int) -> Ids:
    """The first ``top`` ids by falling logit among those that reach ``least``, which may be more: ties go by id."""
    reaching = np.flatnonzero(row >= least)
    return reaching[np.argsort(-row[reaching], kind="stable")][:top]


def write_trace(path: Path, trace: AcceptanceTrace) -> None:
    """Save the trace as safetensors, ids as int32."""
    arrays: dict[str, Array] = {
        "target_ids": trace.target_ids.astype(np.int32),
        "drafter_top": trace.drafter_top.astype(np.int32),
        "offsets": trace.offsets.astype(np.int64),
    }
    write_tensors(path, arrays)


def read_trace(path: Path) -> AcceptanceTrace:
    """Read what `write_trace` wrote."""
    tensors, _ = read_tensors(path)
    try:
        return AcceptanceTrace(**{name: tensors[name].astype(np.int64) for name in AcceptanceTrace.__slots__})
    except KeyError as error:
        raise EdgedraftError(f"{path}: not an acceptance-trace file", got=f"no {error}") from error
    except EdgedraftError as error:
        raise EdgedraftError(f"{path}: {error.rule}", got=error.got) from error


def _draft_logits(drafter: LanguageModel, entry: Answer) -> Iterator[Logits]:
    """The drafter's logits for every token of the answer after its first, piece by piece."""
    drafter.rewind(0)
    for piece in prompt_pieces(entry.prompt_ids):
        drafter.read(piece)
    for piece in prompt_pieces(entry.token_ids[:-1]):
        yield drafter.read(piece)
