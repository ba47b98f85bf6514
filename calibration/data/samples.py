"""Sample: one entry of a data set, a conversation or a text, and the half of the data it belongs to."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RANK, SCORE = "rank", "score"

GROUPS = 32
"""Into how many groups samples fall by their content, so that counts can say how much they vary."""

_DIGEST_BITS = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A conversation (``messages``, with the ``tools`` it may call) or a plain ``text``; never both.

    ``split`` is the half that the data set assigns it to, None where it says nothing; ``category`` is the kind of its
    task, likewise. ``later_turns`` are what the user says after the answer, and after each answer to them.
    """

    id: str
    messages: tuple[Mapping[str, Any], ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()
    text: str | None = None
    split: str | None = None
    category: str | None = None
    later_turns: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 in hexadecimal over what the sample says; its id and split take no part."""
        said = [[dict(message) for message in self.messages], [dict(tool) for tool in self.tools], self.text]
        return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


def group_of(digest: str) -> int:
    """Return the group, 0..GROUPS - 1, of what has this digest."""
    return int(digest[:8], 16) % GROUPS


def add_digests(*digests: str) -> str:
    """Return the digest of a multiset from its members': their sum modulo 2^256, so that order and parts do not matter.

    Source: Bellare and Micciancio 1997, AdHash.
    """
    total: int = sum(int(digest, 16) for digest in digests) % 2**_DIGEST_BITS
    return f"{total:0{_DIGEST_BITS // 4}x}"
