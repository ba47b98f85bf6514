"""Suggest the known name that a mistyped one probably means."""

import difflib
from collections.abc import Iterable

_CLOSE_ENOUGH = 0.7


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Return ``did you mean NAME?`` for the closest of the ``known`` names; None if no name is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=_CLOSE_ENOUGH)
    return f"did you mean {close[0]}?" if close else None
