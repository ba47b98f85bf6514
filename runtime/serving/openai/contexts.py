"""The context of a server's slots: as long as the model's, or as memory allows."""

LEAST_CONTEXT = 512
_USABLE_SHARE = 0.5


def fitting_context(longest: int, bytes_per_token: int, slots: int, free_bytes: int | None) -> int:
    """Return the longest context, in tokens, of which all ``slots`` together fill no more than half of free memory.

    ``bytes_per_token`` are those of keys and values of both models. It is at least `LEAST_CONTEXT`, unless the model's
    own, ``longest``, is less; without ``free_bytes`` it is the model's.
    """
    if free_bytes is None or bytes_per_token == 0:
        return longest
    fits = int(_USABLE_SHARE * free_bytes / (bytes_per_token * slots))
    return min(longest, max(fits, LEAST_CONTEXT))
