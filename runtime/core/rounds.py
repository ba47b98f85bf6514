"""Round: what one target pass settled. The one record that decoding yields."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """One target pass: the tokens it settled, how many drafts it was given and how many of those it kept.

    The first ``accepted`` tokens were drafted; the one after them is the target's own, unless the answer was cut.
    ``log_probs`` holds the target's log-probability of each token where it was asked for, and is empty otherwise.
    """

    token_ids: tuple[int, ...]
    proposed: int = 0
    accepted: int = 0
    log_probs: tuple[float, ...] = ()
