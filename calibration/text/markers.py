"""A tokenizer's own tokens, such as ``<|im_end|>``, cut out of a text before its words are."""

import re
import unicodedata
from collections.abc import Iterable

from edgedraft.runtime.text.codec import TextCodec


class Markers:
    """Cuts texts as the tokenizer does. ``ids`` are the token ids by the markers' text."""

    def __init__(self, codec: TextCodec) -> None:
        added = codec.tokenizer.get_added_tokens_decoder()
        self.ids = {token.content: token_id for token_id, token in added.items()}
        self._raw = _any_of(token.content for token in added.values() if not token.normalized)
        later = [token.content for token in added.values() if token.normalized]
        self._normalized = _any_of(later) if later else None
        self._normalizer = codec.tokenizer.normalizer

    def sections(self, text: str) -> Iterable[tuple[str, bool]]:
        """The parts of ``text`` in order, normalized, and which of them are markers."""
        for place, part in enumerate(self._raw.split(text)):
            if place % 2:
                yield part, True
            elif part:
                normalized = part if part.isascii() else self._normalize(part)
                if self._normalized is None:
                    yield normalized, False
                    continue
                for inner, section in enumerate(self._normalized.split(normalized)):
                    if section:
                        yield section, bool(inner % 2)

    def _normalize(self, text: str) -> str:
        if self._normalizer is None or unicodedata.is_normalized("NFC", text):
            return text
        return str(self._normalizer.normalize_str(text))


def cuts_plainly(codec: TextCodec) -> bool:
    """Whether the tokenizer looks for its own tokens as `Markers` does: anywhere, and nothing around them."""
    added = codec.tokenizer.get_added_tokens_decoder().values()
    plain = all(not (token.single_word or token.lstrip or token.rstrip) for token in added)
    return plain and all(token.content.isascii() for token in added if token.normalized)


def _any_of(texts: Iterable[str]) -> re.Pattern[str]:
    """Any of ``texts``, the longest first, as one group; where there are none, what never matches."""
    ordered = sorted(filter(None, texts), key=lambda text: (-len(text), text))
    return re.compile(f"({'|'.join(map(re.escape, ordered)) or '(?!)'})")
