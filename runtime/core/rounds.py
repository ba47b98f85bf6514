"""Round: the result of one target pass, the only record that decoding yields."""

from dataclasses import dataclass, field

ScoredToken = tuple[int, float]
"""A token's id and its log-probability."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """One target pass: the tokens it committed, how many were drafted for it, and how many of those it accepted.

    The first ``accepted`` tokens were drafted; the one after them is the target's own, unless the answer was cut.
    ``log_probs`` holds the target's log-probability of each token where it was asked for, and is empty otherwise;
    ``top_log_probs`` holds for each token the best ones in its place, as pairs of id and log-probability. ``cached``
    counts the tokens of the prompt that were not read again; it is 0 behind an answer's first round.
    ``target_seconds`` and ``drafter_seconds`` are those of the models' passes alone, on the clock that the loop was
    given (0 without one); an answer's first round has those of the prompt.
    """

    token_ids: tuple[int, ...]
    drafted: int = 0
    accepted: int = 0
    log_probs: tuple[float, ...] = ()
    top_log_probs: tuple[tuple[ScoredToken, ...], ...] = ()
    cached: int = field(default=0, compare=False)
    target_seconds: float = field(default=0.0, compare=False)
    drafter_seconds: float = field(default=0.0, compare=False)
